"""Which attacks an arm is put to: those that see all examples, and the named suites.

A suite comes after `evaluation.attacks`, which run on all examples. Each of its attacks
gets the examples that are still classified correctly, in every norm it knows. Their
settings are the sections of the same names in `config.evaluation`.
"""

import dataclasses

from configs.default import Config
from experiments.attack_makers import Made, make_attack
from experiments.attack_settings import settings_of
from experiments.config_errors import ConfigError, naming
from experiments.settings import Arm
from wbad_jax import denoise, models

NORMS = ("linf", "l2")
# Cheap ones that break much come first: what they break, the others need not try.
SUITES = {
    "": (),
    "short": ("twin", "template", "cw", "apgd", "subband", "fab", "square"),
    "full": (
        "twin", "template", "signed_score", "cw", "apgd", "subband", "details", "fab",
        "fmn", "threshold_estimator", "threshold_crossing", "warm_starts", "coarse",
        "square_blocks", "square", "noise",
    ),
}  # fmt: skip
# Their rows are of scores, or of distances, and not of decisions at this radius alone.
_ON_ALL = ("signed_score", "minimal_norm")
_KNOWS_L2_ONLY = ("cw",)
# At the radii of a curve: distances from one run, then ascents on what is left.
MINIMAL_NORM = "minimal_norm"
CURVE = (MINIMAL_NORM, "apgd")
# What attacks are called with beside images and labels.
_DATA = {"twin": ("twins",), "template": ("templates", "places")}
# Classifier of the same parameters without its denoiser.
UNDENOISED = "undenoised"
# The others would cost as many times more as there are modes, for little beside these.
_FOLLOW_MODES = ("signed_score", "cw", "apgd", "subband")


@dataclasses.dataclass(frozen=True)
class PlannedAttack:
    """One attack of an evaluation.

    Attributes:
        name: In results.
        attack: With its settings.
        restricted: Whether it runs only where all before it have failed.
        surrogates: Models whose gradients it follows too: backward modes of the
            denoiser, or `UNDENOISED`.
        data: What it is called with beside images and labels.
        most: How many examples it runs on at most.
    """

    name: str
    attack: Made
    restricted: bool = True
    surrogates: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    most: int | None = None


def plan_attacks(config: Config, arm: Arm, *, twins: bool) -> list[PlannedAttack]:
    """The white-box attacks on an arm, in order.

    Args:
        config: The experiment.
        arm: Which to attack.
        twins: Whether the twin of each example is known.

    Raises:
        ConfigError: If a setting is unknown or impossible.
    """
    plans = [
        dataclasses.replace(
            plan_attack(config, arm.evaluated, name), restricted=False,
            surrogates=_modes(config, arm.evaluated),
        )
        for name in config.evaluation.attacks
    ]  # fmt: skip
    done = {(plan.name, plan.attack.norm) for plan in plans}
    skipped = skipped_attacks(config, arm, twins=twins)
    for name in SUITES[config.evaluation.suite]:
        plans += [
            plan_attack(config, arm.evaluated, name, norm)
            for norm in config.evaluation.suite_norms
            if name not in skipped
            and (name, norm) not in done
            and (norm == "l2" or name not in _KNOWS_L2_ONLY)
        ]
    return plans


def plan_curve(config: Config, arm: Arm) -> list[PlannedAttack]:
    """The attacks at the radii of a curve, in order."""
    return [
        plan_attack(config, arm.evaluated, name, norm)
        for norm in config.evaluation.suite_norms
        for name in CURVE
    ]


def skipped_attacks(config: Config, arm: Arm, *, twins: bool) -> dict[str, str]:
    """Attacks of the suite that do not apply to an arm, each with the reason."""
    denoiser = arm.evaluated.denoiser
    reasons: dict[str, str] = {}
    if not twins:
        for name in ("twin", "template"):
            reasons[name] = "the twins of the patients are not known"
    if denoiser is None:
        for name in ("threshold_estimator", "threshold_crossing"):
            reasons[name] = "the arm has no denoiser"
    else:
        if denoiser.sigma is not None or denoiser.threshold_rule == "fixed":
            reasons["threshold_estimator"] = "no noise level is estimated from images"
        if denoiser.stationary or denoiser.max_shifts:
            reasons["threshold_crossing"] = "the denoiser averages over shifts"
    suite = SUITES[config.evaluation.suite]
    return {name: reason for name, reason in reasons.items() if name in suite}


def plan_attack(
    config: Config, classifier: models.Classifier, name: str, norm: str | None = None
) -> PlannedAttack:
    """One attack of a suite on a classifier.

    Args:
        config: The experiment.
        classifier: Which to attack.
        name: Of the attack, and of the section with its settings.
        norm: Of the ball; that of the settings if None.

    Raises:
        ConfigError: If a setting is unknown or impossible.
    """
    settings, most = settings_of(config, name)
    settings |= {} if norm is None or name in _KNOWS_L2_ONLY else {"norm": norm}
    attack = naming(f"evaluation.{name}")(make_attack, name, settings, classifier)
    surrogates = _modes(config, classifier) if name in _FOLLOW_MODES else ()
    if name == "warm_starts" and classifier.denoiser is not None:
        surrogates = (UNDENOISED, "smooth")
    return PlannedAttack(
        name, attack, restricted=name not in _ON_ALL, surrogates=surrogates,
        data=_DATA.get(name, ()), most=most,
    )  # fmt: skip


def _modes(config: Config, classifier: models.Classifier) -> tuple[str, ...]:
    """Backward modes of the denoiser that attacks follow beside the exact one."""
    return () if classifier.denoiser is None else config.evaluation.backward_modes


def check_suite(config: Config) -> None:
    """Refuse an unknown suite, norm or setting of one of its attacks.

    Raises:
        ConfigError: Naming the field and what is known.
    """
    values = config.evaluation
    if values.suite not in SUITES:
        raise ConfigError(
            f"evaluation.suite must be one of {tuple(SUITES)}, got {values.suite!r}."
        )
    norms = tuple(values.suite_norms)
    if not norms or not set(norms) <= set(NORMS):
        raise ConfigError(
            f"evaluation.suite_norms must be among {NORMS}, at least one, got {norms}."
        )
    defended = models.Classifier(models.ModelSettings(), denoise.DenoiserSettings())
    for name in (*SUITES[values.suite], *CURVE):
        plan_attack(config, defended, name, norms[0])
