r"""The four arms on 1,837 patients, tested on 1,000 others, and one better defence.

    python -m experiments.ablate --config=configs/sweeps/headline.py
    python -m experiments.ablate --config=configs/sweeps/headline.py:smoke \
        --workdir=runs/headline_smoke

`docs/preregistration.md` says what is compared, on whom, and what was expected. Runs,
in order, each with all seeds: `surrogate`, undefended networks that make the graybox
images of the other seeds; `arms`, the four arms; `best`, the better defence; `long`,
adversarial training for as long as `best` takes, under PGD and APGD; `learned` and
`no_threshold`, WBAD behind two other denoisers. The short suite of attacks, in Linf;
the full one is run on a copy of one seed afterwards, `docs/results.md` has its command.

Threat model: Linf, epsilon = 0.125 °C, graybox and white box.

Result: `docs/results.md`, from `benchmarks/results/headline.json`.
"""

from configs import default, wbad
from configs.default import Config
from configs.sweeps.thresholds import CONTROLS, RULES

SEEDS = (0, 1, 2)
# Of the law of `paper`; the patients before them were seen by the learning curve.
SEALED = {"first_seed": 7_001_000, "num_patients": 1000}
BEST = {
    "arms": ("lesion_map",),
    "model.name": "lesion_map",
    "model.widths": (16, 32),
    "model.places": True,
}
# Updates that take, after those of the undefended network, the CPU time of `best`:
# benchmarks/results/training_cost.json.
EQUAL_COST_STEPS = 1300
# What `thresholds.py` found, on `paper`: thresholds that learn, and none.
_OTHER_DENOISER = {
    "arms": ("undefended", "wbad"),
    "training.threshold_learning_rate": 2e-2,
    "evaluation.attacks": ("fgsm", "pgd", "apgd"),
    "evaluation.suite": "",
    "evaluation.reference_arm": "wbad",
}
CONTRASTS = {
    "learned": {**_OTHER_DENOISER, **RULES["learned"]},
    "no_threshold": {**_OTHER_DENOISER, **CONTROLS["no_threshold"]},
}


def get_config(mode: str = "full") -> Config:
    """The sweep; `mode` is "full" or "smoke"."""
    default.check_mode(mode)
    base = wbad.get_config()
    base.data.test_builder = "simulated_thermograms/test"
    base.data.test_options.update(SEALED)
    base.model.level = 3  # maps of 16 x 16
    base.arms = ("undefended", "denoise_frozen", "denoise", "adversarial", "wbad")
    base.arm.adversarial.num_steps = base.arm.wbad.num_steps = 800
    base.training.pgd.update(num_steps=5, step_size=0.4)
    base.training.cw.num_steps = 5
    base.evaluation.sets = ("test",)
    base.evaluation.pgd.update(num_steps=100, restarts=1)
    base.evaluation.cw.update(num_searches=4, num_steps=40)
    base.evaluation.apgd.update(num_steps=75, restarts=1)
    base.evaluation.suite = "short"
    base.evaluation.suite_norms = ("linf",)  # in L2 there is Carlini-Wagner
    base.evaluation.backward_modes_on = "survivors"
    base.evaluation.surrogates = tuple(
        f"runs/headline/surrogate/seed{seed}" for seed in SEEDS[:2]
    )
    base.evaluation.reference_arm = "adversarial"
    seeds = SEEDS
    if mode == "smoke":
        default.shrink_for_smoke(base)
        base.model.level = 2
        base.data.test_options.update(first_seed=8_001_000, num_patients=16)
        base.data.test_builder = base.data.builder
        base.evaluation.suite = ""
        seeds = SEEDS[:2]
        base.evaluation.surrogates = tuple(
            f"runs/headline_smoke/surrogate/seed{seed}" for seed in seeds
        )
    long_steps = EQUAL_COST_STEPS if mode == "full" else 6
    return default.make_sweep(
        "headline",
        base,
        {
            "surrogate": {
                "arms": ("undefended",),
                "evaluation.protocols": ("clean",),
                "evaluation.reference_arm": "undefended",
            },
            "arms": {},
            "best": BEST | {"evaluation.reference_arm": "lesion_map"},
            "long": {
                "arms": ("undefended", "adversarial"),
                "arm.adversarial.num_steps": long_steps,
                "evaluation.protocols": ("clean", "adaptive"),
                "evaluation.attacks": ("pgd", "apgd"),
                "evaluation.suite": "",
                "evaluation.surrogates": (),
            },
            **CONTRASTS,
        },
        seeds=seeds,
        reference="arms",
    )
