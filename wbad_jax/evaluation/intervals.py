"""Confidence intervals whose unit is the patient.

Images of one patient fall together, so a proportion over images has the interval of
Wilson only where each patient has one image; else patients are drawn anew, with all of
their images. Draws are the same in every call: equal data give equal intervals.
"""

import functools

import numpy as np
import scipy
from jaxtyping import Float, Int, Shaped

_DRAWS = 2000
_LEVELS = (0.025, 0.975)


@functools.lru_cache(maxsize=10_000)  # SciPy takes a millisecond, rows repeat
def wilson_interval(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Confidence interval of a proportion.

    Args:
        successes: Number of successes.
        n: Number of independent trials, at least 1.
        level: Coverage.

    Reference:
        Wilson (1927), Probable inference, JASA 22(158).

    Examples:
        >>> from wbad_jax.evaluation import wilson_interval
        >>> low, high = wilson_interval(90, 100)
        >>> round(low, 3), round(high, 3)
        (0.826, 0.945)
    """
    result = scipy.stats.binomtest(successes, n).proportion_ci(level, method="wilson")
    return float(result.low), float(result.high)


def sums_by_patient(
    values: Float[np.ndarray, " n"], patient_ids: Int[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " patients"], Int[np.ndarray, " patients"]]:
    """Sum of the values and number of examples of each patient.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.evaluation import sums_by_patient
        >>> values, patients = np.array([1.0, 0.0, 1.0]), np.array([7, 7, 9])
        >>> sums, counts = sums_by_patient(values, patients)
        >>> sums.tolist(), counts.tolist()
        ([1.0, 1.0], [2, 1])
    """
    _, index = np.unique(patient_ids, return_inverse=True)
    return np.bincount(index, values), np.bincount(index)


@functools.lru_cache(maxsize=6)
def patient_draws(patients: int, seed: int = 0) -> Float[np.ndarray, "draws patients"]:
    """How often each patient is drawn in each of 2,000 bootstrap samples.

    Args:
        patients: Their number.
        seed: Another one for patients of another set, drawn independently.
    """
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(patients, np.full(patients, 1 / patients), size=_DRAWS)
    draws = draws.astype(np.float32)
    draws.flags.writeable = False  # shared by all callers
    return draws


def percentile_interval(values: Float[np.ndarray, " draws"]) -> tuple[float, float]:
    """95 % percentile interval of bootstrap values."""
    low, high = np.quantile(values, _LEVELS)
    return float(low), float(high)


def bootstrap_interval(
    values: Float[np.ndarray, " n"], patient_ids: Int[np.ndarray, " n"]
) -> tuple[float, float]:
    """Interval of the mean over examples when patients are drawn anew.

    It has no width where all patients have one mean.

    Args:
        values: One of each example.
        patient_ids: To whom the examples belong.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.evaluation import bootstrap_interval
        >>> low, high = bootstrap_interval(np.array([0.0, 1.0, 1.0, 1.0]), np.arange(4))
        >>> 0 <= low < 0.75 < high <= 1
        True
    """
    sums, counts = sums_by_patient(values, patient_ids)
    draws = patient_draws(len(counts))
    means = (draws @ sums.astype(np.float32)) / (draws @ counts.astype(np.float32))
    return percentile_interval(means)


def proportion_interval(
    hits: Shaped[np.ndarray, " n"], patient_ids: Int[np.ndarray, " n"]
) -> tuple[float, float]:
    """Interval of the share of hits.

    That of Wilson where each patient has one example. Else patients are drawn anew; but
    where all hits are equal, so are those of all draws, and it is that of Wilson with
    patients for trials.

    Args:
        hits: Bool, at least one.
        patient_ids: To whom the examples belong.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.evaluation import proportion_interval
        >>> hits = np.array([True, True, True, False])
        >>> low, high = proportion_interval(hits, np.arange(4))
        >>> round(low, 2), round(high, 2)
        (0.3, 0.95)
    """
    patients = len(np.unique(patient_ids))
    if patients == len(hits):
        return wilson_interval(int(np.sum(hits)), patients)
    if np.all(hits == hits[0]):
        return wilson_interval(patients if hits[0] else 0, patients)
    return bootstrap_interval(hits.astype(float), patient_ids)


def auc_with_interval(
    scores: Float[np.ndarray, " n"],
    positive: Shaped[np.ndarray, " n"],
    patient_ids: Int[np.ndarray, " n"],
) -> tuple[float, float, float]:
    """Area under the curve with its 95 % interval.

    The variance is Obuchowski's, where images of one patient depend on each other; with
    one image a patient it is DeLong's. The interval is symmetric in the log odds of the
    area. Where all pairs are in order the variance is 0; pairs that share no patient
    are independent trials then, with Wilson's interval.

    Args:
        scores: Higher for the positive class.
        positive: Bool, both values present.
        patient_ids: To whom the examples belong.

    Returns:
        Area, low and high end; the ends are 0 and 1 where a class has one patient.

    References:
        DeLong, DeLong and Clarke-Pearson (1988), Biometrics 44(3); by mid-ranks as in
        Sun and Xu (2014), IEEE Signal Processing Letters 21(11).
        Obuchowski (1997), Nonparametric analysis of clustered ROC curve data,
        Biometrics 53(2).

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.evaluation import auc_with_interval
        >>> scores, positive = np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1])
        >>> auc, low, high = auc_with_interval(scores, positive > 0, np.arange(4))
        >>> auc
        0.75
    """
    _, patient = np.unique(patient_ids, return_inverse=True)
    above, below = _placements(scores, positive)
    area = float(above.mean())
    groups = [(above, patient[positive]), (below, patient[~positive])]
    fewest, number = min(len(np.unique(g)) for _, g in groups), patient.max() + 1
    if fewest < 2:
        return area, 0.0, 1.0
    if area in (0.0, 1.0):
        pairs = min(fewest, number // 2)
        return area, *wilson_interval(round(area) * pairs, pairs)
    variance, deviations = 0.0, []
    for values, members in groups:
        sums = np.bincount(members, values - area, number) / len(values)
        among = len(np.unique(members))
        variance += among / (among - 1) * np.sum(sums**2)
        deviations.append(sums)
    variance += 2 * number / (number - 1) * np.sum(deviations[0] * deviations[1])
    z = float(scipy.stats.norm.ppf(_LEVELS[1]))
    half = z * np.sqrt(max(variance, 0.0)) / (area * (1 - area))
    centre = scipy.special.logit(area)
    low, high = scipy.special.expit([centre - half, centre + half])
    return area, float(low), float(high)


def _placements(scores, positive) -> tuple[np.ndarray, np.ndarray]:
    """Of each positive the share of negatives below it, of each negative vice versa.

    Ties count half.
    """
    ranks = scipy.stats.rankdata(scores)
    count = int(positive.sum())
    within = (
        scipy.stats.rankdata(scores[positive]),
        scipy.stats.rankdata(scores[~positive]),
    )
    above = (ranks[positive] - within[0]) / (len(scores) - count)
    below = 1 - (ranks[~positive] - within[1]) / count
    return above, below
