"""Adversarial attacks: pure functions of a model's logits, usable inside `jax.jit`."""

import dataclasses
from types import MappingProxyType
from typing import Any

from wbad_jax.attacks.carlini_wagner import CarliniWagnerL2
from wbad_jax.attacks.coarse_search import CoarseSearch
from wbad_jax.attacks.gradient import FGSM, PGD
from wbad_jax.attacks.losses import (
    LOSSES,
    cross_entropy,
    margin,
    margin_loss,
    misclassified,
)
from wbad_jax.attacks.noise import RandomNoise
from wbad_jax.attacks.result import Attack, AttackResult, finish
from wbad_jax.attacks.square import Square
from wbad_jax.attacks.threat_models import (
    NORMS,
    Norm,
    move,
    perturbation_norm,
    project,
    sample,
    steepest_ascent,
)
from wbad_jax.attacks.transfer import Transfer

__all__ = [
    "ATTACKS",
    "FGSM",
    "LOSSES",
    "NORMS",
    "PGD",
    "Attack",
    "AttackResult",
    "CarliniWagnerL2",
    "CoarseSearch",
    "Norm",
    "RandomNoise",
    "Square",
    "Transfer",
    "build",
    "cross_entropy",
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
        "coarse": CoarseSearch,
        "cw": CarliniWagnerL2,
        "fgsm": FGSM,
        "noise": RandomNoise,
        "pgd": PGD,
        "square": Square,
        "transfer": Transfer,
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
