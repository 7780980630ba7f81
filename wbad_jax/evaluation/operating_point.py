"""The decision as it would be deployed: at 90 % specificity on validation patients.

The threshold is chosen on clean validation images and frozen. On the test set, clean or
attacked, the specificity is what it is then, and stands beside the sensitivity.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

from wbad_jax.evaluation.intervals import (
    patient_draws,
    percentile_interval,
    wilson_interval,
)
from wbad_jax.evaluation.metrics import POSITIVE, positive_score
from wbad_jax.evaluation.outcomes import Outcome

SPECIFICITY = 0.9
_VALIDATION_SEED = 1  # validation patients are drawn independently of test patients


@dataclasses.dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """Thresholds on the score, above which an image counts as tumour.

    Attributes:
        threshold: `[folds]`, one for the classifier of each fold.
        redrawn: `[draws, folds]`, the same for validation patients drawn anew.

    Examples:
        >>> from wbad_jax.evaluation import choose_operating_point
        >>> choose_operating_point(clean).threshold.shape  # see `Outcome`: folds
        (1,)
    """

    threshold: Float[np.ndarray, " folds"]
    redrawn: Float[np.ndarray, "draws folds"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class AtSpecificity:
    """What the frozen threshold gives on a set; None for a class without example.

    `*_low` and `*_high` hold the threshold's uncertainty too: validation patients are
    drawn anew with the test patients.

    Examples:
        >>> from wbad_jax.evaluation import AtSpecificity
        >>> AtSpecificity().specificity_there is None  # nothing could be measured
        True
    """

    sensitivity_at_90_specificity: float | None = None
    sensitivity_at_90_specificity_low: float | None = None
    sensitivity_at_90_specificity_high: float | None = None
    specificity_there: float | None = None


def choose_operating_point(validation: Outcome) -> OperatingPoint | None:
    """The lowest thresholds that leave 90 % of healthy validation images below.

    Args:
        validation: Clean outcome; its folds are taken one by one.

    Returns:
        The thresholds, or None if a fold has no healthy image.

    Examples:
        >>> from wbad_jax.evaluation import choose_operating_point
        >>> many = {
        ...     name: np.repeat(getattr(clean, name), 10, axis=0)
        ...     for name in ("example_ids", "labels", "logits", "distance", "attacked")
        ... }
        >>> many = dataclasses.replace(clean, patient_ids=np.arange(40), **many)
        >>> choose_operating_point(many).threshold.shape  # see `Outcome`
        (1,)
    """
    scores, folds = positive_score(validation.logits), validation.fold_of_example
    healthy = validation.labels != POSITIVE
    if set(folds[healthy]) != set(range(folds.max() + 1)):
        return None
    columns = [
        _thresholds(scores[rows], validation.patient_ids[rows])
        for rows in (healthy & (folds == fold) for fold in range(folds.max() + 1))
    ]
    table = np.stack(columns, axis=-1)
    return OperatingPoint(threshold=table[0], redrawn=table[1:])


def evaluate_at(point: OperatingPoint, outcome: Outcome) -> AtSpecificity:
    """Sensitivity and specificity at frozen thresholds.

    Args:
        point: From clean validation images of the same classifier.
        outcome: Clean or attacked.

    Examples:
        >>> from wbad_jax.evaluation import choose_operating_point, evaluate_at
        >>> many = {
        ...     name: np.repeat(getattr(clean, name), 10, axis=0)
        ...     for name in ("example_ids", "labels", "logits", "distance", "attacked")
        ... }
        >>> many = dataclasses.replace(clean, patient_ids=np.arange(40), **many)
        >>> point = choose_operating_point(many)  # see `Outcome`
        >>> evaluate_at(point, many).sensitivity_at_90_specificity
        1.0
    """
    scores, folds = positive_score(outcome.logits), outcome.fold_of_example
    detected = scores > point.threshold[folds]
    ill = outcome.labels == POSITIVE
    specificity = None if ill.all() else float(np.mean(~detected[~ill]))
    if not ill.any():
        return AtSpecificity(specificity_there=specificity)
    low, high = _sensitivity_interval(
        scores[ill], point.redrawn, folds[ill], outcome.patient_ids[ill]
    )
    return AtSpecificity(
        sensitivity_at_90_specificity=float(np.mean(detected[ill])),
        sensitivity_at_90_specificity_low=low,
        sensitivity_at_90_specificity_high=high,
        specificity_there=specificity,
    )


def _thresholds(scores: np.ndarray, patient_ids: np.ndarray) -> np.ndarray:
    """Of the patients as they are, then of all draws, `[1 + draws]`."""
    names, patient = np.unique(patient_ids, return_inverse=True)
    drawn = patient_draws(len(names), _VALIDATION_SEED)
    times = np.concatenate([np.ones((1, len(names)), np.float32), drawn])
    order = np.argsort(scores)
    below = times[:, patient[order]].cumsum(axis=1)
    # Where drawing leaves 0.9 n exactly, rounding must not ask for one more.
    enough = below >= SPECIFICITY * below[:, -1:] * (1 - 1e-6)
    return scores[order][enough.argmax(axis=1)]


def _sensitivity_interval(
    scores, thresholds, folds, patient_ids
) -> tuple[float, float]:
    """With test patients drawn anew, each time at another threshold of each fold."""
    names, patient = np.unique(patient_ids, return_inverse=True)
    shares = _shares(scores, thresholds, folds)
    if shares.min() == shares.max() and shares[0] in (0, 1):
        # Drawn anew, they are the same.
        return wilson_interval(round(shares[0]) * len(names), len(names))
    if len(names) == len(scores):
        # Of patients drawn anew the number detected is binomial.
        rng = np.random.default_rng(0)
        return percentile_interval(rng.binomial(len(names), shares) / len(names))
    draws, hits = patient_draws(len(names)), np.zeros(len(shares))
    for fold in np.unique(folds):
        rows = folds == fold
        # Redrawn thresholds are few different ones.
        values, which = np.unique(thresholds[:, fold], return_inverse=True)
        for number, value in enumerate(values):
            drawn, detected = which == number, scores[rows] > value
            of_patient = np.bincount(patient[rows], detected, len(names))
            hits[drawn] += draws[drawn] @ of_patient.astype(np.float32)
    return percentile_interval(hits / (draws @ np.bincount(patient).astype(np.float32)))


def _shares(scores, thresholds, folds) -> np.ndarray:
    """Share of the scores above the thresholds of their fold, in each draw."""
    above = np.zeros(len(thresholds))
    for fold in np.unique(folds):
        ordered = np.sort(scores[folds == fold])
        below = np.searchsorted(ordered, thresholds[:, fold], side="right")
        above += len(ordered) - below
    return above / len(scores)
