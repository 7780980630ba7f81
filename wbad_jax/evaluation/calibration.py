"""How well probabilities of a tumour fit what is there.

The probability is the softmax of the logits at label 1; with more than two classes it
is that of the label against the rest.
"""

import numpy as np
import scipy
from jaxtyping import Bool, Float

POSITIVE = 1  # the label of a tumour
_BINS = 15


def log_odds(logits: Float[np.ndarray, "n classes"]) -> Float[np.ndarray, " n"]:
    """Log odds of label 1 against the rest, under the softmax."""
    logits = np.asarray(logits, np.float64)
    others = np.delete(logits, POSITIVE, axis=-1)
    return logits[:, POSITIVE] - scipy.special.logsumexp(others, axis=-1)


def brier_score(
    logits: Float[np.ndarray, "n classes"], positive: Bool[np.ndarray, " n"]
) -> float:
    """Mean squared difference of the probability of label 1 and whether it is there."""
    return float(np.mean((scipy.special.expit(log_odds(logits)) - positive) ** 2))


def expected_calibration_error(
    logits: Float[np.ndarray, "n classes"], positive: Bool[np.ndarray, " n"]
) -> float:
    """Distance of the probability of label 1 from the share it occurs with.

    Mean over examples, in 15 bins of the probability of equal width. With few examples
    it is above 0 even for perfect probabilities.

    Reference:
        Naeini, Cooper and Hauskrecht (2015), AAAI.
    """
    probability = scipy.special.expit(log_odds(logits))
    bins = np.minimum((probability * _BINS).astype(int), _BINS - 1)
    return float(np.abs(np.bincount(bins, probability - positive)).sum() / len(bins))


def calibration_line(
    logits: Float[np.ndarray, "n classes"], positive: Bool[np.ndarray, " n"]
) -> tuple[float | None, float | None]:
    """Slope and intercept of the truth on the log odds, by logistic regression.

    1 and 0 are perfect; a slope below 1 means too much confidence, one below 0 that the
    score points the wrong way.

    Returns:
        Both, or None twice where they do not exist: one class, one score, or a score
        that separates the classes.

    Reference:
        Cox (1958), Two further applications of a model for binary regression,
        Biometrika 45.
    """
    score = log_odds(logits)
    if positive.all() or not positive.any() or _separated(score, positive):
        return None, None
    centre, scale = score.mean(), score.std()
    from sklearn import linear_model  # here: slow to import

    fit = linear_model.LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-8)
    fit.fit(((score - centre) / scale)[:, None], positive)
    slope = float(fit.coef_[0, 0] / scale)
    intercept = np.ravel(fit.intercept_)[0]  # one, of two classes
    return slope, float(intercept - slope * centre)


def _separated(score, positive) -> bool:
    """Whether a threshold parts the classes, but for ties at it."""
    above, below = score[positive], score[~positive]
    return bool(above.min() >= below.max() or above.max() <= below.min())
