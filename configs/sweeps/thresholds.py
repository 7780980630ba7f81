"""What a threshold rule buys: one network behind many denoisers.

    python -m experiments.ablate --config=configs/sweeps/thresholds.py
    python -m experiments.ablate --config=configs/sweeps/thresholds.py:smoke

One factor at a time, from the universal rule with soft shrinkage on two levels of db2:
all rules, then levels, wavelets and shrinkage functions. A full grid would be 432 runs.

Result: not measured yet.
"""

from typing import Any

import ml_collections

from configs import default, wbad

RULES: dict[str, dict[str, Any]] = {
    "fixed": {"denoiser.threshold_rule": "fixed", "denoiser.threshold": 0.01},
    "universal": {"denoiser.threshold_rule": "universal"},
    "bayes": {"denoiser.threshold_rule": "bayes"},
    "sure": {"denoiser.threshold_rule": "sure"},
    "learned": {"denoiser.threshold_rule": "learned"},
    "predicted": {"denoiser.threshold_rule": "predicted"},
}
OTHERS: dict[str, dict[str, Any]] = {
    "level_1": {"denoiser.level": 1},
    "level_3": {"denoiser.level": 3},
    "haar": {"denoiser.wavelet": "haar"},
    "db4": {"denoiser.wavelet": "db4"},
    "sym4": {"denoiser.wavelet": "sym4"},
    "hard": {"denoiser.shrinkage": "hard"},
    "garrote": {"denoiser.shrinkage": "garrote"},
}


def get_config(mode: str = "full") -> ml_collections.ConfigDict:
    """The sweep; `mode` is "full" or "smoke"."""
    default.check_mode(mode)
    base = wbad.get_config(mode)
    base.arms = ("undefended", "wbad")
    runs = RULES | OTHERS
    seeds = (0, 1, 2)
    if mode == "smoke":
        runs = {name: RULES[name] for name in ("universal", "learned")}
        seeds = (0,)
    return default.make_sweep("thresholds", base, runs, seeds, reference="universal")
