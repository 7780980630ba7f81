"""Which defence is best on validation patients: what was tried, all in one place.

    python -m experiments.ablate --config=configs/sweeps/defences.py
    python -m benchmarks.defences

Cohort and threat model are those of `quickstart`: Linf, epsilon = 0.125 °C. Scores are
accuracies on validation patients under PGD-10; no attack is run on test patients. All
train for at least as many steps as plain adversarial training; "long" trains it for as
many as the lesion's map.

Result: `docs/results.md`, "What was tried", from `benchmarks/results/defences.json`.
"""

from configs import default, quickstart
from configs.default import Config

_OBJECTIVE = "arm.adversarial.objective"
_MAP = {"arms": ("lesion_map",), "model.name": "lesion_map", "model.widths": (16, 32)}
PLAIN = {
    "adversarial": {},
    "long": {"arm.adversarial.num_steps": 1600},
    "places": {"model.places": True},
    "trades": {_OBJECTIVE: "trades"},
    "mart": {_OBJECTIVE: "mart"},
    "weight_perturbation": {"training.weight_perturbation.gamma": 0.005},
    "behind_denoiser": {"arm.adversarial.denoise": True},
    "behind_low_pass": {
        "arm.adversarial.denoise": True,
        "denoiser.threshold_rule": "fixed",
        "denoiser.threshold": 100.0,
    },
    # What adversarial training has by default, taken away.
    "from_scratch": {"arm.adversarial.init_from": ""},
    "one_sided": {"model.mirrored": False},
    # Of twice epsilon: what smoothing trains with.
    "noise": {"training.augmentation.noise_sigma": 0.0157},
}
MAPS = {
    "lesion_map": _MAP,
    "lesion_map_untaught": {**_MAP, "training.lesion_map_weight": 0.0},
    "lesion_map_places": {**_MAP, "model.places": True},
    "lesion_map_places_behind_denoiser": {
        **_MAP, "model.places": True, "arm.lesion_map.denoise": True,
    },
    "lesion_map_places_wide": {**_MAP, "model.places": True, "model.widths": (32, 64)},
}  # fmt: skip


def get_config(mode: str = "full") -> Config:
    """The sweep; `mode` is "full" or "smoke"."""
    default.check_mode(mode)
    base = quickstart.get_config(mode)
    base.arms = ("undefended", "adversarial")
    base.evaluation.protocols = ("clean",)
    runs = PLAIN | MAPS
    if mode == "full":
        base.arm.adversarial.num_steps = 800
    else:
        runs = {name: runs[name] for name in ("places", "lesion_map_places")}
    return default.make_sweep(
        "defences", base, runs, seeds=(0,), reference=next(iter(runs))
    )
