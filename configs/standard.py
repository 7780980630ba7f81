"""The undefended network: standard training, no denoiser.

Threat model of the evaluation: Linf, epsilon = 0.125 °C, white box. The simulated
cohort of 1,837 patients. Its workdir serves other runs as
`config.evaluation.surrogate`.

    python -m experiments.train --config=configs/standard.py

A small version, to see that it runs:

    python -m experiments.train --config=configs/standard.py:smoke

Result: none of this config itself; `configs/sweeps/headline.py` has its arms on sealed
patients, see `docs/results.md`.
"""

from configs import default
from configs.default import Config


def get_config(mode: str = "full") -> Config:
    """The config; `mode` is "full" or "smoke"."""
    default.check_mode(mode)
    config = default.get_config()
    config.name = "standard"
    config.arms = ("undefended",)
    if mode == "smoke":
        default.shrink_for_smoke(config)
    return config
