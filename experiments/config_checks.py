"""Values of a config that cannot work, found before data are prepared: NaN, say."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

from configs.default import Config
from experiments.attack_settings import (
    evaluation_attacks,
    smoothed_attack,
    surrogate_workdirs,
    training_attacks,
)
from experiments.attack_suite import check_suite
from experiments.batches import PLACES
from experiments.config_errors import ConfigError, build, naming
from experiments.divisions import SPLITS
from experiments.watch import SCORES as SCORES_OF_IMAGES
from wbad_jax import attacks, denoise, training
from wbad_jax.evaluation import CheckSettings
from wbad_jax.evaluation.smoothing import least_samples
from wbad_jax.models.imported import import_network

PROTOCOLS = ("clean", "graybox", "adaptive")
SETS = ("test", "test_pairs")
SCORES = ("clean_accuracy", "robust_accuracy", "noisy_accuracy")
CHECKS = ("none", "outcomes", "full")


@dataclasses.dataclass(frozen=True)
class Rule:
    """What a value must be, in words and as a test."""

    words: str
    holds: Callable[[Any], bool]
    optional: bool = False  # None is fine too


def _is_number(value: Any) -> bool:
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    return numeric and math.isfinite(value)


def _number(words: str, holds: Callable[[float], bool], **more: bool) -> Rule:
    return Rule(words, lambda value: _is_number(value) and holds(value), **more)


def _all(words: str, holds: Callable[[float], bool]) -> Rule:
    def every(values: Any) -> bool:
        return len(values) > 0 and all(_is_number(v) and holds(v) for v in values)

    return Rule(words, every)


_POSITIVE = _number("positive and finite", lambda x: x > 0)
_MAY_BE_POSITIVE = dataclasses.replace(_POSITIVE, optional=True)
_SHARE = _number("between 0 and 1", lambda x: 0 <= x <= 1)
_LEVEL = _number("above 0 and below 1", lambda x: 0 < x < 1)
_COUNT = _number("at least 1", lambda x: x >= 1)
_AT_LEAST_0 = _number("at least 0 and finite", lambda x: x >= 0)

RULES = {
    "attack.l2_ratio": _MAY_BE_POSITIVE,
    "data.max_examples": dataclasses.replace(_COUNT, optional=True),
    "data.split": Rule(f"one of {SPLITS}", lambda name: name in SPLITS),
    "training.batch_size": _COUNT,
    "training.learning_rate": _POSITIVE,
    "training.threshold_learning_rate": _MAY_BE_POSITIVE,
    "training.warmup_fraction": _SHARE,
    "training.weight_decay": _AT_LEAST_0,
    "training.clip_norm": _POSITIVE,
    "training.swa_start": _SHARE,
    "training.weight_perturbation.start": _SHARE,
    "training.label_smoothing": _number("at least 0 and below 1", lambda x: 0 <= x < 1),
    "evaluation.batch_size": _COUNT,
    "evaluation.suite_batch_size": _COUNT,
    "evaluation.epsilon_multiples": _all(
        "one or more positive numbers", lambda x: x > 0
    ),
    "evaluation.curve_multiples": Rule(
        "positive numbers", lambda values: all(_is_number(v) and v > 0 for v in values)
    ),
    "evaluation.graybox_confidences": _all(
        "one or more numbers of at least 0", lambda x: x >= 0
    ),
    "certificates.max_examples": _COUNT,
    "certificates.set": Rule(f"one of {SETS}", lambda name: name in SETS),
    "certificates.sigmas": _all("one or more positive numbers", lambda x: x > 0),
    "certificates.num_selection": _COUNT,
    "certificates.num_samples": _COUNT,
    "certificates.judge_samples": _COUNT,
    "certificates.alpha": _LEVEL,
    "certificates.predict_alpha": _LEVEL,
    "certificates.judge_alpha": _LEVEL,
    "certificates.batch_size": _COUNT,
    "certificates.noise_batch": _COUNT,
    "certificates.attack_samples": _COUNT,
    "certificates.radii": Rule(
        "numbers of at least 0 in rising order",
        lambda radii: (
            _all("", lambda x: x >= 0).holds(radii) and list(radii) == sorted({*radii})
        ),
    ),
    "evaluation.gallery_examples": _AT_LEAST_0,
    "detection.max_examples": _COUNT,
    "detection.physics_examples": _AT_LEAST_0,
}
ARM_RULES = {
    "num_steps": _number("at least 0", lambda x: x >= 0),
    "epsilon_delay": _SHARE,
    "epsilon_ramp": _SHARE,
    "epsilon_range": Rule(
        "two positive numbers, the smaller first",
        lambda values: (
            _all("", lambda x: x > 0).holds(values)
            and len(values) == 2
            and values[0] <= values[1]
        ),
    ),
    "select_by": Rule(f"one of {SCORES}", lambda name: name in SCORES),
    "objective": Rule(
        f"one of {tuple(training.OBJECTIVES)}", lambda name: name in training.OBJECTIVES
    ),
}


def check_values(config: Config) -> None:
    """Refuse values out of range, unknown names, and attacks that cannot be built.

    Raises:
        ConfigError: Naming the field, the rule and the value.
    """
    rules = dict(RULES)
    for arm in config.arms:
        if arm in config.arm:  # `build_arms` says which there are
            rules |= {f"arm.{arm}.{field}": rule for field, rule in ARM_RULES.items()}
    for field, rule in rules.items():
        value = functools.reduce(
            lambda tree, name: tree[name], field.split("."), config
        )
        if not (rule.optional and value is None) and not rule.holds(value):
            raise ConfigError(f"config.{field} must be {rule.words}, got {value!r}.")
    if ":" in config.model.name:
        build(import_network, "model", {}, path=config.model.name)
    _check_parts(config)
    _check_evaluation(config)
    _check_noisy_score(config)
    _check_certificates(config)
    _check_detection(config)
    training_attacks(config)
    evaluation_attacks(config)
    check_suite(config)


def _check_parts(config: Config) -> None:
    """Refuse parts that do not make up a batch, and unknown places for its images."""
    values = config.training
    naming("training")(
        training.check_parts, values.accumulation_steps, values.batch_size
    )
    if values.data_on_device not in PLACES:
        raise ConfigError(
            f"training.data_on_device must be one of {PLACES}, got "
            f"{values.data_on_device!r}."
        )


def _check_noisy_score(config: Config) -> None:
    """Refuse a choice by accuracy under noise where there is no noise."""
    arms = [arm for arm in config.arms if arm in config.arm]
    chosen = {arm: config.arm[arm].select_by for arm in arms}
    if config.training.augmentation.noise_sigma:
        return
    for arm, score in chosen.items():
        if score == "noisy_accuracy":
            raise ConfigError(
                f"arm.{arm}.select_by is 'noisy_accuracy', which needs "
                "training.augmentation.noise_sigma above 0."
            )


def _check_certificates(config: Config) -> None:
    """Refuse so few votes that not even unanimous ones decide, and a wrong attack."""
    values = config.certificates
    # A decision is a two-sided test: twice the level.
    for votes, level, sides in (
        ("num_samples", "alpha", 1),
        ("judge_samples", "predict_alpha", 2),
        ("judge_samples", "judge_alpha", 2),
    ):
        fewest = least_samples(values[level] / sides)
        if values[votes] < fewest:
            raise ConfigError(
                f"certificates.{votes} must be at least {fewest} for "
                f"certificates.{level} {values[level]:g}, got {values[votes]}."
            )
    smoothed_attack(config)


def _check_evaluation(config: Config) -> None:
    """Refuse unknown protocols, sets and modes, and graybox without a surrogate."""
    choices = {
        "protocols": PROTOCOLS,
        "sets": SETS,
        "backward_modes": denoise.BACKWARD_MODES,
    }
    for field, known in choices.items():
        unknown = set(config.evaluation[field]) - set(known)
        if unknown:
            raise ConfigError(
                f"evaluation.{field} names {sorted(unknown)}; known are {known}."
            )
    where = config.evaluation.backward_modes_on
    if where not in ("all", "survivors"):
        raise ConfigError(
            f"evaluation.backward_modes_on must be 'all' or 'survivors', got {where!r}."
        )
    reference = config.evaluation.reference_arm
    if reference and reference not in config.arms:
        raise ConfigError(
            f"evaluation.reference_arm must be one of the arms {tuple(config.arms)} or "
            f"empty, got {reference!r}."
        )
    build(CheckSettings, "evaluation.check_sizes", config.evaluation.check_sizes)
    if config.evaluation.checks not in (None, *CHECKS):
        raise ConfigError(
            f"evaluation.checks must be one of {CHECKS}, got "
            f"{config.evaluation.checks!r}."
        )
    own = "undefended" in config.arms
    wanted = "graybox" in config.evaluation.protocols
    if wanted and not own and not surrogate_workdirs(config):
        raise ConfigError(
            "evaluation.protocols holds 'graybox', which needs an 'undefended' arm in "
            "config.arms or the workdir of one in evaluation.surrogates."
        )


def _check_detection(config: Config) -> None:
    """Refuse unknown scores, and an attacker who cannot be built."""
    unknown = set(config.detection.scores) - set(SCORES_OF_IMAGES)
    if unknown or not config.detection.scores:
        raise ConfigError(
            f"detection.scores must name one or more of {SCORES_OF_IMAGES}, got "
            f"{tuple(config.detection.scores)}."
        )
    build(attacks.DetectorAwarePGD, "detection.aware_pgd", config.detection.aware_pgd)
