"""Metrics with counts and intervals, from the logits of each example."""

import dataclasses

import numpy as np
from scipy import stats
from sklearn.metrics import roc_auc_score

POSITIVE = 1  # the label of a tumour


@dataclasses.dataclass(frozen=True, kw_only=True)
class Metrics:
    """Classification metrics of one set of examples.

    `sensitivity` and `specificity` treat label 1 as positive and every other as
    negative; with no example of a class they are None, like `auc` without both.
    """

    n: int
    accuracy: float
    ci_low: float
    ci_high: float
    sensitivity: float | None
    specificity: float | None
    auc: float | None


def wilson_interval(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Confidence interval of a proportion.

    Args:
        successes: Number of successes.
        n: Number of independent trials, at least 1.
        level: Coverage.

    Reference:
        Wilson (1927), Probable inference, JASA 22(158).
    """
    result = stats.binomtest(successes, n).proportion_ci(level, method="wilson")
    return float(result.low), float(result.high)


def classification_metrics(logits: np.ndarray, labels: np.ndarray) -> Metrics:
    """Metrics of the argmax decision.

    Args:
        logits: `[n, classes]`.
        labels: `[n]`, integers.

    Raises:
        ValueError: If there is no example, or a logit is NaN.
    """
    if not len(labels):
        raise ValueError("classification_metrics needs at least one example.")
    if np.isnan(logits).any():
        raise ValueError("A logit is NaN: the model or the attack is broken.")
    predicted = np.argmax(logits, axis=-1)
    correct = predicted == labels
    positive = labels == POSITIVE
    detected = predicted == POSITIVE
    low, high = wilson_interval(int(correct.sum()), len(labels))
    return Metrics(
        n=len(labels),
        accuracy=float(correct.mean()),
        ci_low=low,
        ci_high=high,
        sensitivity=_mean_or_none(detected[positive]),
        specificity=_mean_or_none(~detected[~positive]),
        auc=_auc(logits, positive),
    )


def margins(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """True logit minus the largest other, `[n]`; negative where the decision is wrong.

    Args:
        logits: `[n, classes]`.
        labels: `[n]`, integers.
    """
    rows = np.arange(len(labels))
    others = logits.copy()
    others[rows, labels] = -np.inf
    return logits[rows, labels] - others.max(axis=-1)


def _mean_or_none(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None


def _auc(logits: np.ndarray, positive: np.ndarray) -> float | None:
    if positive.all() or not positive.any():
        return None
    others = np.delete(logits, POSITIVE, axis=-1)
    return float(roc_auc_score(positive, logits[:, POSITIVE] - others.max(axis=-1)))
