"""WBAD with learned thresholds.

One threshold a level and orientation, trained with the network, as multiples of the
noise level of each image, starting at a third of the universal threshold. Threat model:
Linf, epsilon = 0.125 °C, graybox and white box.

    python -m experiments.train --config=configs/wbad_learned.py

A small version, to see that it runs:

    python -m experiments.train --config=configs/wbad_learned.py:smoke

Result: none of this config itself; `docs/thresholds.md` has learned thresholds on this
cohort and on a smaller one.
"""

from configs import default
from configs.default import Config


def get_config(mode: str = "full") -> Config:
    """The config; `mode` is "full" or "smoke"."""
    default.check_mode(mode)
    config = default.get_config()
    config.name = "wbad_learned"
    config.arms = ("undefended", "wbad")
    config.denoiser.threshold_rule = "learned"
    config.denoiser.initial_scale = 0.33
    config.training.threshold_learning_rate = 2e-2
    if mode == "smoke":
        default.shrink_for_smoke(config)
    return config
