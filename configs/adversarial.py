"""Adversarial training without denoiser (Madry et al. 2018).

Starts from the undefended network. Threat model: Linf, epsilon = 0.125 °C.

    python -m experiments.train --config=configs/adversarial.py

A small version, to see that it runs:

    python -m experiments.train --config=configs/adversarial.py:smoke

Result: none of this config itself; `configs/sweeps/headline.py` has its arms on sealed
patients, see `docs/results.md`.
"""

from configs import default
from configs.default import Config


def get_config(mode: str = "full") -> Config:
    """The config; `mode` is "full" or "smoke"."""
    default.check_mode(mode)
    config = default.get_config()
    config.name = "adversarial"
    config.arms = ("undefended", "adversarial")
    if mode == "smoke":
        default.shrink_for_smoke(config)
    return config
