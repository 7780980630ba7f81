"""The denoiser alone, in two forms.

Arm `denoise_frozen` puts the denoiser before the undefended weights; arm `denoise`
trains a network behind it. No adversarial training. Threat model: Linf, epsilon =
0.125 °C, graybox and white box.

    python -m experiments.train --config=configs/denoise_only.py

A small version, to see that it runs:

    python -m experiments.train --config=configs/denoise_only.py:smoke

Result: none of this config itself; `configs/sweeps/headline.py` has its arms on sealed
patients, see `docs/results.md`.
"""

from configs import default
from configs.default import Config


def get_config(mode: str = "full") -> Config:
    """The config; `mode` is "full" or "smoke"."""
    default.check_mode(mode)
    config = default.get_config()
    config.name = "denoise_only"
    config.arms = ("undefended", "denoise_frozen", "denoise")
    if mode == "smoke":
        default.shrink_for_smoke(config)
    return config
