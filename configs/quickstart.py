"""A few minutes on a laptop: what an attack does, and what the two-stage defence saves.

Simulated thermograms, an undefended network and one trained adversarially behind the
wavelet denoiser (WBAD). Threat model: Linf, epsilon = 0.25 °C (4/255 of the window of
16 °C), white box and graybox.

    python -m experiments.train --config=configs/quickstart.py

A half-minute version:

    python -m experiments.train --config=configs/quickstart.py:smoke
"""

import ml_collections

from configs import default


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
    """The config; `mode` is "full" or "smoke"."""
    config = default.get_config()
    default.check_mode(mode)
    config.name = "quickstart"
    config.data.builder = "simulated_thermograms/quickstart"
    config.arm.undefended.num_steps = 300
    config.arm.wbad.num_steps = 200
    config.training.pgd.num_steps = 4
    config.training.cw.num_steps = 4
    config.evaluation.graybox_confidences = (1.0,)
    if mode == "smoke":
        default.shrink_for_smoke(config)
    return config
