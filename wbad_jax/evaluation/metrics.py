"""Metrics with counts and intervals, from the logits of each example."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from wbad_jax.evaluation.calibration import (
    POSITIVE,
    brier_score,
    calibration_line,
    expected_calibration_error,
)
from wbad_jax.evaluation.intervals import auc_with_interval, proportion_interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class Metrics:
    """Classification metrics of one set of examples.

    `sensitivity` and `specificity` treat label 1 as positive and every other as
    negative; with no example of a class they are None, like `auc` and the calibration
    line without both. Names with `_low` and `_high`, and `ci_low` and `ci_high` of the
    accuracy, are the ends of 95 % intervals, see `intervals`.

    Examples:
        >>> from wbad_jax.evaluation import classification_metrics
        >>> found = classification_metrics(attacked.logits, attacked.labels)
        >>> found.accuracy, found.sensitivity, found.specificity  # see `Outcome`
        (0.5, 0.5, 0.5)
    """

    n: int
    accuracy: float
    ci_low: float
    ci_high: float
    sensitivity: float | None
    sensitivity_low: float | None
    sensitivity_high: float | None
    specificity: float | None
    specificity_low: float | None
    specificity_high: float | None
    auc: float | None
    auc_low: float | None
    auc_high: float | None
    brier: float
    ece: float
    calibration_slope: float | None
    calibration_intercept: float | None


def classification_metrics(
    logits: Float[np.ndarray, "n classes"],
    labels: Int[np.ndarray, " n"],
    patient_ids: Int[np.ndarray, " n"] | None = None,
) -> Metrics:
    """Metrics of the argmax decision, of the score and of the probability.

    Args:
        logits: `[n, classes]`.
        labels: `[n]`, integers.
        patient_ids: To whom the examples belong; None where no two are of one patient.

    Raises:
        ValueError: If there is no example, or a logit is NaN.

    Examples:
        >>> from wbad_jax.evaluation import classification_metrics
        >>> found = classification_metrics(clean.logits, clean.labels)  # see `Outcome`
        >>> found.accuracy, round(found.ci_low, 2)
        (1.0, 0.51)
    """
    if not len(labels):
        raise ValueError("classification_metrics needs at least one example.")
    if np.isnan(logits).any():
        raise ValueError("A logit is NaN: the model or the attack is broken.")
    if patient_ids is None:
        patient_ids = np.arange(len(labels))
    predicted = np.argmax(logits, axis=-1)
    correct = predicted == labels
    positive = labels == POSITIVE
    detected = predicted == POSITIVE
    low, high = proportion_interval(correct, patient_ids)
    slope, intercept = calibration_line(logits, positive)
    return Metrics(
        n=len(labels),
        accuracy=float(correct.mean()),
        ci_low=low,
        ci_high=high,
        **_share("sensitivity", detected[positive], patient_ids[positive]),
        **_share("specificity", ~detected[~positive], patient_ids[~positive]),
        **_auc(positive_score(logits), positive, patient_ids),
        brier=brier_score(logits, positive),
        ece=expected_calibration_error(logits, positive),
        calibration_slope=slope,
        calibration_intercept=intercept,
    )


def positive_score(logits: Float[np.ndarray, "n classes"]) -> Float[np.ndarray, " n"]:
    """Logit of label 1 minus the largest other.

    Args:
        logits: `[n, classes]`.
    """
    return logits[:, POSITIVE] - np.delete(logits, POSITIVE, axis=-1).max(axis=-1)


def margins(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """True logit minus the largest other, `[n]`; negative where the decision is wrong.

    Args:
        logits: `[n, classes]`.
        labels: `[n]`, integers.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.evaluation import margins
        >>> margins(np.array([[1.0, 3.0], [2.0, 0.5]]), np.array([1, 1]))
        array([ 2. , -1.5])
    """
    rows = np.arange(len(labels))
    others = logits.copy()
    others[rows, labels] = -np.inf
    return logits[rows, labels] - others.max(axis=-1)


def _share(name: str, hits: np.ndarray, patient_ids: np.ndarray) -> dict:
    if not len(hits):
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"))
    low, high = proportion_interval(hits, patient_ids)
    return {name: float(hits.mean()), f"{name}_low": low, f"{name}_high": high}


def _auc(scores, positive, patient_ids) -> dict:
    names = "auc", "auc_low", "auc_high"
    if positive.all() or not positive.any():
        return dict.fromkeys(names)
    values = auc_with_interval(scores, positive, patient_ids)
    return dict(zip(names, values, strict=True))
