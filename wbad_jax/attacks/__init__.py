"""Adversarial attacks: pure functions of a model's logits, usable inside `jax.jit`."""

import dataclasses
from types import MappingProxyType
from typing import Any

from wbad_jax.attacks.carlini_wagner import CarliniWagnerL2
from wbad_jax.attacks.foolbox_adapter import attack_with_foolbox, foolbox_model
from wbad_jax.attacks.gradient import FGSM, PGD
from wbad_jax.attacks.losses import (
    LOSSES,
    cross_entropy,
    margin,
    margin_loss,
    misclassified,
)
from wbad_jax.attacks.result import Attack, AttackResult, finish
from wbad_jax.attacks.threat_models import (
    NORMS,
    Norm,
    move,
    perturbation_norm,
    project,
    sample,
    steepest_ascent,
)

__all__ = [
    "ATTACKS",
    "FGSM",
    "LOSSES",
    "NORMS",
    "PGD",
    "Attack",
    "AttackResult",
    "CarliniWagnerL2",
    "Norm",
    "attack_with_foolbox",
    "build",
    "cross_entropy",
    "finish",
    "foolbox_model",
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
    {"fgsm": FGSM, "pgd": PGD, "cw": CarliniWagnerL2}
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
