"""Adversarial attacks: pure functions of a model's logits, usable inside `jax.jit`."""

import dataclasses
from types import MappingProxyType
from typing import Any

from wbad_jax.attacks.carlini_wagner import CarliniWagnerL2
from wbad_jax.attacks.coefficients import CoefficientPGD
from wbad_jax.attacks.dead_coefficients import dead_but_reachable
from wbad_jax.attacks.gradient import FGSM, PGD
from wbad_jax.attacks.losses import (
    LOSSES,
    cross_entropy,
    margin,
    margin_loss,
    misclassified,
)
from wbad_jax.attacks.result import Attack, AttackResult, finish
from wbad_jax.attacks.started import StartedAttack, StartedPGD
from wbad_jax.attacks.subband import LowPassPGD, SubbandPGD
from wbad_jax.attacks.threat_models import (
    NORMS,
    Norm,
    move,
    perturbation_norm,
    project,
    sample,
    steepest_ascent,
)
from wbad_jax.attacks.threshold_crossing import ThresholdCrossing
from wbad_jax.attacks.threshold_estimator import ThresholdEstimatorAttack
from wbad_jax.attacks.warm_starts import WarmStarts

__all__ = [
    "ATTACKS",
    "FGSM",
    "LOSSES",
    "NORMS",
    "PGD",
    "Attack",
    "AttackResult",
    "CarliniWagnerL2",
    "CoefficientPGD",
    "LowPassPGD",
    "Norm",
    "StartedAttack",
    "StartedPGD",
    "SubbandPGD",
    "ThresholdCrossing",
    "ThresholdEstimatorAttack",
    "WarmStarts",
    "build",
    "cross_entropy",
    "dead_but_reachable",
    "finish",
    "margin",
    "margin_loss",
    "misclassified",
    "move",
    "perturbation_norm",
    "project",
    "sample",
    "steepest_ascent",
]

ATTACKS: MappingProxyType[str, type[Attack]] = MappingProxyType(
    {
        "fgsm": FGSM,
        "pgd": PGD,
        "cw": CarliniWagnerL2,
        "subband": SubbandPGD,
        "low_pass": LowPassPGD,
        "coefficients": CoefficientPGD,
        "threshold_crossing": ThresholdCrossing,
        "threshold_estimator": ThresholdEstimatorAttack,
        "warm_starts": WarmStarts,
    }
)


def build(name: str, **settings: Any) -> Attack:
    """Returns the named attack with the given settings.

    Args:
        name: A key of `ATTACKS`.
        **settings: Fields of that attack's dataclass.

    Raises:
        ValueError: If the name, a setting or a setting's value is unknown to it; the
            message lists what is known.
    """
    if name not in ATTACKS:
        raise ValueError(f"attack must be one of {sorted(ATTACKS)}, got {name!r}.")
    known = [field.name for field in dataclasses.fields(ATTACKS[name])]  # pyright: ignore
    for setting in settings:
        if setting not in known:
            raise ValueError(f"{name} has the settings {known}, got {setting!r}.")
    return ATTACKS[name](**settings)
