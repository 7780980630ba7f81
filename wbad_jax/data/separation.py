"""How well numbers tell two classes of patients apart."""

import dataclasses
import math
from collections.abc import Callable
from typing import cast

import numpy as np
import scipy

from wbad_jax.data.findings import ALPHA

_FOLDS = 5
_STEP = 1e-9
_SEED = 0  # of the folds: an audit gives the same answer twice


@dataclasses.dataclass(frozen=True)
class Separation:
    """Area under the curve of scores, higher ones meaning the positive class.

    Attributes:
        auc: 0.5 is chance.
        ci_low: Lower end of the 95 % interval.
        ci_high: Upper end.
        p_value: Of as large an area or a larger one by chance.
        num_positive: Patients of the positive class.
        num_negative: The others.
    """

    auc: float
    ci_low: float
    ci_high: float
    p_value: float
    num_positive: int
    num_negative: int

    def in_words(self) -> str:
        """The area and its interval."""
        return f"AUC {self.auc:.3f} ({self.ci_low:.3f} to {self.ci_high:.3f})"

    def least_detectable(self, alpha: float) -> float:
        """The area that a test finds in four of five cases, by the error at 0.5.

        Args:
            alpha: Level of the test, two-sided.
        """
        pairs = self.num_positive * self.num_negative
        error = math.sqrt((self.num_positive + self.num_negative + 1) / (12 * pairs))
        z = scipy.stats.norm.ppf(1 - alpha / 2) + scipy.stats.norm.ppf(0.8)
        return float(min(1.0, 0.5 + z * error))


def cross_validated_scores(features: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Scores each patient by a logistic regression fitted to others, in five folds.

    Args:
        features: `[patients, features]`, finite.
        positive: `[patients]` bool, see `enough_patients`.

    Returns:
        Log odds of the positive class, `[patients]` float64.
    """
    from sklearn import (  # here: slow to import
        linear_model,
        model_selection,
        pipeline,
        preprocessing,
    )

    model = pipeline.make_pipeline(
        preprocessing.StandardScaler(), linear_model.LogisticRegression()
    )
    folds = model_selection.StratifiedKFold(_FOLDS, shuffle=True, random_state=_SEED)
    scores = np.zeros(len(positive))
    for fit, test in folds.split(features, positive):
        model.fit(features[fit], positive[fit])
        scores[test] = model.decision_function(features[test])
    return scores


def separation(scores: np.ndarray, positive: np.ndarray) -> Separation:
    """Area under the curve with its interval, and the chance of such a one by luck.

    The p-value is that of the Mann-Whitney test, doubled: scores that were learned have
    the better of two signs.

    Args:
        scores: `[patients]`, finite.
        positive: `[patients]` bool, with some of both classes.
    """
    from sklearn import metrics  # here: slow to import

    ours, others = scores[positive], scores[~positive]
    test = scipy.stats.mannwhitneyu(ours, others, alternative="greater")
    auc = float(metrics.roc_auc_score(positive, scores))
    low, high = auc_interval(auc, len(ours), len(others))
    p_value = min(1.0, 2 * float(test.pvalue))
    return Separation(auc, low, high, p_value, len(ours), len(others))


def auc_interval(auc: float, num_positive: int, num_negative: int):
    """95 % interval of an area under the curve, never of zero length.

    The areas from which the observed one is at most 1.96 standard errors away, by the
    error that each of them would have, as in an interval of Wilson's for a share.
    Newcombe (2006), Stat. Med. 25:559, method 5.

    Args:
        auc: Observed.
        num_positive: Patients of one class.
        num_negative: Of the other.

    Returns:
        Lower and upper end.
    """
    z = float(scipy.stats.norm.ppf(0.975))
    spread = (num_positive + num_negative) / 2 - 1

    def beyond(area: float) -> float:
        tails = (1 - area) / (2 - area) + area / (1 + area)
        variance = area * (1 - area) * (1 + spread * tails)
        return abs(auc - area) - z * math.sqrt(variance / num_positive / num_negative)

    # The area itself is a root, too, where it is 0 or 1.
    low = _root(beyond, 0.0, auc - _STEP) if auc > 0 else 0.0
    high = _root(beyond, auc + _STEP, 1.0) if auc < 1 else 1.0
    return low, high


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    # SciPy's inferred type covers `full_output=True` too, which adds a report.
    return float(cast(float, scipy.optimize.brentq(function, low, high)))


def enough_patients(positive: np.ndarray) -> bool:
    """Whether perfect scores of so few patients would be seen at the level of a test.

    Args:
        positive: `[patients]` bool.
    """
    number = int(positive.sum())
    least = min(number, len(positive) - number)
    return least >= _FOLDS and 2 / math.comb(len(positive), number) < ALPHA
