"""Adversarial attacks: pure functions of a model's logits, usable inside `jax.jit`."""

import dataclasses
from types import MappingProxyType
from typing import Any

from wbad_jax.attacks.apgd import APGD
from wbad_jax.attacks.autoattack import AutoAttack
from wbad_jax.attacks.bpda import bpda
from wbad_jax.attacks.carlini_wagner import CarliniWagnerL2
from wbad_jax.attacks.coarse_search import CoarseSearch
from wbad_jax.attacks.coefficients import CoefficientPGD
from wbad_jax.attacks.compiled_suite import CompiledSuite, SuiteResult
from wbad_jax.attacks.counterfactual import TemplateAttack, TwinAttack
from wbad_jax.attacks.ddn import DDN
from wbad_jax.attacks.dead_coefficients import dead_but_reachable
from wbad_jax.attacks.decision_threshold import SignedScore, at_threshold
from wbad_jax.attacks.detector import DetectorAwarePGD
from wbad_jax.attacks.eot import expectation_over_transformation, log_mean_softmax
from wbad_jax.attacks.fab import FAB
from wbad_jax.attacks.fgsm import FGSM, RandomStartFGSM
from wbad_jax.attacks.fmn import FMN
from wbad_jax.attacks.foolbox_adapter import attack_with_foolbox, foolbox_model
from wbad_jax.attacks.losses import (
    LOSSES,
    cross_entropy,
    margin,
    margin_loss,
    misclassified,
)
from wbad_jax.attacks.noise import RandomNoise
from wbad_jax.attacks.pgd import BIM, MIM, PGD
from wbad_jax.attacks.physical import PhysicalAttack, epsilon_of_celsius
from wbad_jax.attacks.result import Attack, AttackResult, StartedAttack, finish
from wbad_jax.attacks.sparse_pixels import SparsePixels
from wbad_jax.attacks.square import Square
from wbad_jax.attacks.subband import LowPassPGD, SubbandPGD
from wbad_jax.attacks.sweep import sweep
from wbad_jax.attacks.targeted import Targeted
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
from wbad_jax.attacks.transfer import Transfer
from wbad_jax.attacks.validation import check_independent
from wbad_jax.attacks.warm_starts import WarmStarts

__all__ = [
    "APGD",
    "ATTACKS",
    "BIM",
    "DDN",
    "FAB",
    "FGSM",
    "FMN",
    "LOSSES",
    "MIM",
    "NORMS",
    "PGD",
    "Attack",
    "AttackResult",
    "AutoAttack",
    "CarliniWagnerL2",
    "CoarseSearch",
    "CoefficientPGD",
    "CompiledSuite",
    "DetectorAwarePGD",
    "LowPassPGD",
    "Norm",
    "PhysicalAttack",
    "RandomNoise",
    "RandomStartFGSM",
    "SignedScore",
    "SparsePixels",
    "Square",
    "StartedAttack",
    "SubbandPGD",
    "SuiteResult",
    "Targeted",
    "TemplateAttack",
    "ThresholdCrossing",
    "ThresholdEstimatorAttack",
    "Transfer",
    "TwinAttack",
    "WarmStarts",
    "at_threshold",
    "attack_with_foolbox",
    "bpda",
    "build",
    "check_independent",
    "cross_entropy",
    "dead_but_reachable",
    "epsilon_of_celsius",
    "expectation_over_transformation",
    "log_mean_softmax",
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
    "sweep",
]

# Attacks that need more data than images and labels (twins, templates, a detector) are
# not here: they have no call that all share.
ATTACKS: MappingProxyType[str, type[Attack]] = MappingProxyType(
    {
        "fgsm": FGSM,
        "fgsm_rs": RandomStartFGSM,
        "bim": BIM,
        "mim": MIM,
        "pgd": PGD,
        "apgd": APGD,
        "cw": CarliniWagnerL2,
        "ddn": DDN,
        "fmn": FMN,
        "fab": FAB,
        "square": Square,
        "coarse": CoarseSearch,
        "noise": RandomNoise,
        "transfer": Transfer,
        "subband": SubbandPGD,
        "low_pass": LowPassPGD,
        "coefficients": CoefficientPGD,
        "threshold_crossing": ThresholdCrossing,
        "threshold_estimator": ThresholdEstimatorAttack,
        "warm_starts": WarmStarts,
        "signed_score": SignedScore,
        "physical": PhysicalAttack,
        "sparse_pixels": SparsePixels,
        "autoattack": AutoAttack,
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

    Examples:
        >>> from wbad_jax.attacks import build
        >>> build("pgd", num_steps=5, norm="l2").num_steps
        5
    """
    if name not in ATTACKS:
        raise ValueError(f"attack must be one of {sorted(ATTACKS)}, got {name!r}.")
    known = [field.name for field in dataclasses.fields(ATTACKS[name])]  # pyright: ignore
    for setting in settings:
        if setting not in known:
            raise ValueError(f"{name} has the settings {known}, got {setting!r}.")
    return ATTACKS[name](**settings)
