"""What a threshold rule buys: one network behind many denoisers.

    python -m experiments.ablate --config=configs/sweeps/thresholds.py
    python -m experiments.ablate --config=configs/sweeps/thresholds.py:smoke

One factor at a time, from the universal rule with soft shrinkage on two levels of db2:
all rules with their end points (threshold 0, and no details at all), starts of the
learned one, then levels, wavelets and shrinkage functions. Two seeds each, 34 runs; a
full grid of these values would be 360 runs a seed. All start from one undefended
network, the released one of the quickstart, so that seeds are those of adversarial
training alone. The first run, `surrogate`, trains two other undefended networks:
graybox images are made on that of seed 0, and the other is the control. Threat model,
training patients and network are those of `quickstart`; tested on 400 patients of the
same law whom nobody has seen. What was expected stands in `docs/preregistration.md`.

Result: `docs/thresholds.md`, from `benchmarks/results/thresholds.json`.
"""

from configs import default, quickstart
from configs.default import Config

_RULE, _THRESHOLD = "denoiser.threshold_rule", "denoiser.threshold"
RULES = {
    "universal": {_RULE: "universal"},
    # A detail coefficient moves by about 2**level epsilon; epsilon is 0.0078 here.
    "fixed": {_RULE: "fixed", _THRESHOLD: 0.01},
    "bayes": {_RULE: "bayes"},
    "sure": {_RULE: "sure"},
    "learned": {_RULE: "learned"},
    "predicted": {_RULE: "predicted"},
}
CONTROLS = {
    # What thresholds must beat: nothing taken away, and nothing but the approximation.
    "no_threshold": {_RULE: "fixed", _THRESHOLD: 0.0},
    "no_details": {_RULE: "fixed", _THRESHOLD: 100.0},
    # Learned thresholds that depend on their start are not learned.
    "learned_from_0.1": {_RULE: "learned", "denoiser.initial_scale": 0.1},
    "learned_from_3": {_RULE: "learned", "denoiser.initial_scale": 3.0},
}
OTHERS = {
    "level_1": {"denoiser.level": 1},
    "level_3": {"denoiser.level": 3},
    "haar": {"denoiser.wavelet": "haar"},
    "db4": {"denoiser.wavelet": "db4"},
    "sym4": {"denoiser.wavelet": "sym4"},
    "hard": {"denoiser.shrinkage": "hard"},
    "garrote": {"denoiser.shrinkage": "garrote"},
}
# Of the law of `quickstart`.
SEALED = {"first_seed": 1_100_000, "num_patients": 400}


def get_config(mode: str = "full") -> Config:
    """The sweep; `mode` is "full" or "smoke"."""
    default.check_mode(mode)
    base = quickstart.get_config(mode)
    base.evaluation.attacks = ("fgsm", "pgd", "apgd", "subband")
    base.evaluation.backward_modes_on = "survivors"
    base.evaluation.batch_size = 100
    # Learned thresholds move at a rate of their own; the others have none to move.
    base.training.threshold_learning_rate = 2e-2
    runs, seeds = RULES | CONTROLS | OTHERS, (0, 1)
    if mode == "smoke":
        default.shrink_for_smoke(base)
        runs, seeds = {name: RULES[name] for name in ("universal", "learned")}, (0,)
        base.evaluation.attacks = ("fgsm",)
        base.evaluation.backward_modes = ("identity",)
    else:
        base.arms = ("wbad",)
        base.arm.wbad.init_from = "checkpoints/quickstart/undefended"
        base.data.test_builder = base.data.builder
        base.data.test_options.update(SEALED)
        base.evaluation.surrogates = ("runs/thresholds/surrogate/seed0",)
        surrogate = {
            "arms": ("undefended",),
            "evaluation.protocols": ("clean", "graybox"),
        }
        runs = {"surrogate": surrogate} | runs
    return default.make_sweep(
        "thresholds",
        base,
        runs,
        seeds=seeds,
        reference="universal",
        shown_arms=("wbad",),  # the undefended network has no denoiser
    )
