"""WBAD: adversarial training behind the wavelet denoiser, and its parts.

All four arms: undefended, denoise only, adversarial only, WBAD. Threat model: Linf,
epsilon = 0.125 °C, graybox and white box. Wavelet, levels, threshold rule, budgets and
mix of the published run are not public (Shamshiri, Liu and Sohn 2025): all are choices
made here, in this config and `default.py`.

    python -m experiments.train --config=configs/wbad.py

A small version, to see that it runs:

    python -m experiments.train --config=configs/wbad.py:smoke

Result: none of this config itself; `configs/sweeps/headline.py` has its arms on sealed
patients, see `docs/results.md`.
"""

from configs import default
from configs.default import Config


def get_config(mode: str = "full") -> Config:
    """The config; `mode` is "full" or "smoke"."""
    default.check_mode(mode)
    config = default.get_config()
    config.name = "wbad"
    config.arms = ("undefended", "denoise", "adversarial", "wbad")
    config.evaluation.sets = ("test", "test_pairs")
    if mode == "smoke":
        default.shrink_for_smoke(config)
    return config
