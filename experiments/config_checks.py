"""Values of a config that cannot work, found before data are prepared: NaN, say."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

from configs.default import Config
from experiments.attack_settings import evaluation_attacks, training_attacks
from experiments.batches import PLACES
from experiments.config_errors import ConfigError, build, naming
from experiments.watch import SCORES as SCORES_OF_IMAGES
from wbad_jax import attacks, denoise, training
from wbad_jax.models.imported import import_network

PROTOCOLS = ("clean", "graybox", "adaptive")
SETS = ("test", "test_pairs")
SCORES = ("clean_accuracy", "robust_accuracy")


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
_COUNT = _number("at least 1", lambda x: x >= 1)
_AT_LEAST_0 = _number("at least 0 and finite", lambda x: x >= 0)

RULES = {
    "attack.l2_ratio": _MAY_BE_POSITIVE,
    "data.max_examples": dataclasses.replace(_COUNT, optional=True),
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
    "evaluation.epsilon_multiples": _all(
        "one or more positive numbers", lambda x: x > 0
    ),
    "evaluation.graybox_confidences": _all(
        "one or more numbers of at least 0", lambda x: x >= 0
    ),
    "evaluation.gallery_examples": _AT_LEAST_0,
    "detection.max_examples": _COUNT,
    "detection.physics_examples": _AT_LEAST_0,
}
ARM_RULES = {
    "num_steps": _number("at least 0", lambda x: x >= 0),
    "epsilon_ramp": _SHARE,
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
    _check_detection(config)
    training_attacks(config)
    evaluation_attacks(config)


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
    own = "undefended" in config.arms
    wanted = "graybox" in config.evaluation.protocols
    if wanted and not own and not config.evaluation.surrogate:
        raise ConfigError(
            "evaluation.protocols holds 'graybox', which needs an 'undefended' arm in "
            "config.arms or the workdir of one in evaluation.surrogate."
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
