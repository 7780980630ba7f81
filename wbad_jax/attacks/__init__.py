"""Adversarial attacks: pure functions of a model's logits, usable inside `jax.jit`."""

import dataclasses
from types import MappingProxyType
from typing import Any

from wbad_jax.attacks.apgd import APGD
from wbad_jax.attacks.carlini_wagner import CarliniWagnerL2
from wbad_jax.attacks.counterfactual import TemplateAttack, TwinAttack
from wbad_jax.attacks.decision_threshold import SignedScore, at_threshold
from wbad_jax.attacks.detector import DetectorAwarePGD
from wbad_jax.attacks.fgsm import FGSM, RandomStartFGSM
from wbad_jax.attacks.losses import (
    LOSSES,
    cross_entropy,
    margin,
    margin_loss,
    misclassified,
)
from wbad_jax.attacks.pgd import BIM, MIM, PGD
from wbad_jax.attacks.physical import PhysicalAttack, epsilon_of_celsius
from wbad_jax.attacks.result import Attack, AttackResult, finish
from wbad_jax.attacks.sparse_pixels import SparsePixels
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
    "APGD",
    "ATTACKS",
    "BIM",
    "FGSM",
    "LOSSES",
    "MIM",
    "NORMS",
    "PGD",
    "RandomStartFGSM",
    "Attack",
    "AttackResult",
    "CarliniWagnerL2",
    "DetectorAwarePGD",
    "Norm",
    "PhysicalAttack",
    "SignedScore",
    "SparsePixels",
    "TemplateAttack",
    "TwinAttack",
    "at_threshold",
    "build",
    "cross_entropy",
    "epsilon_of_celsius",
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

# Attacks that cannot do without further data (twins, templates, a detector) are not
# here: they have no call that all share.
ATTACKS: MappingProxyType[str, type[Attack]] = MappingProxyType(
    {
        "fgsm": FGSM,
        "fgsm_rs": RandomStartFGSM,
        "bim": BIM,
        "mim": MIM,
        "pgd": PGD,
        "apgd": APGD,
        "cw": CarliniWagnerL2,
        "physical": PhysicalAttack,
        "signed_score": SignedScore,
        "sparse_pixels": SparsePixels,
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
