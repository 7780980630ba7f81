"""How much more patients help the better defence: one recipe, ever larger cohorts.

    python -m experiments.ablate --config=configs/sweeps/cohort_size.py

The lesion map with places of `headline.py`, at its number of steps, on the first
patients of the cohort `large`, whose law is that of `paper`; 85 % of them train, the
others choose the checkpoint. `wide`, on all of them, is twice as wide and has three
times the steps, of an attack of two steps in place of five. Tested on patients of the
second sealed set that `docs/preregistration.md` names, under PGD and APGD.

Threat model: Linf, epsilon = 0.125 °C, white box.

Result: `docs/results.md`, "More patients", from `benchmarks/results/cohort_size.json`.
"""

from configs import default, wbad
from configs.default import Config
from configs.sweeps.headline import BEST

SEALED = {"first_seed": 7_002_000, "num_patients": 1000}
SIZES = (1000, 2000, 4000)
WIDE = {
    "model.widths": (32, 64),
    "arm.lesion_map.num_steps": 4800,
    "training.pgd.num_steps": 2,
    "training.pgd.step_size": 0.75,
}


def get_config(mode: str = "full") -> Config:
    """The sweep; `mode` is "full" or "smoke"."""
    default.check_mode(mode)
    base = wbad.get_config()
    base.data.test_builder = "simulated_thermograms/test"
    base.data.test_options.update(SEALED)
    base.data.builder = "simulated_thermograms/large"
    base.data.options.num_patients = max(SIZES)
    base.model.level = 3  # maps of 16 x 16
    base.arms = BEST["arms"]
    base.evaluation.sets = ("test",)
    base.evaluation.protocols = ("clean", "adaptive")
    base.evaluation.attacks = ("pgd", "apgd")
    base.evaluation.pgd.update(num_steps=40, restarts=1)
    base.evaluation.apgd.update(num_steps=75, restarts=1)
    base.evaluation.reference_arm = "lesion_map"
    sizes, seeds = SIZES, (0,)
    if mode == "smoke":
        default.shrink_for_smoke(base)
        base.model.level = 2
        base.data.test_builder = base.data.builder
        base.data.options.num_patients = 48
        base.data.test_options.update(first_seed=8_001_000, num_patients=16)
        base.arm.lesion_map.num_steps = 4
        sizes = (24, 48)
    wide = WIDE if mode == "full" else WIDE | {"arm.lesion_map.num_steps": 4}
    runs = {
        f"patients_{size}": {**BEST, "data.patients": (0, size - 1)} for size in sizes
    }
    runs["wide"] = {**runs[f"patients_{sizes[-1]}"], **wide}
    return default.make_sweep(
        "cohort_size",
        base,
        runs,
        seeds=seeds,
        reference=f"patients_{sizes[0]}",
    )
