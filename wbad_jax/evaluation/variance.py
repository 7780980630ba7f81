r"""Where the spread of an accuracy comes from: training seeds, patients, cohorts.

Seeds and patients are crossed: each of S trained networks is tested on each of n
patients. The S n decisions are no S n independent ones. With

    score of seed i on patient j = mean + seed_i + patient_j + rest_ij

the mean over all has the variance s^2/S + p^2/n + r^2/(S n); the three variances follow
from the mean squares of a two-way table (Searle, Casella and McCulloch 1992, Variance
Components, chapter 4). Few seeds tell little of s^2, so their part of the interval
takes the t law with S - 1 degrees of freedom.

Another seed is another network for the same training patients, not another cohort.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy
from jaxtyping import Float, Int

from wbad_jax.evaluation.intervals import sums_by_patient


@dataclasses.dataclass(frozen=True, kw_only=True)
class CrossedVariance:
    """Mean over seeds and patients, its interval, and the parts of its variance.

    Attributes:
        mean: Over all examples and seeds.
        low: Of the interval for new seeds and new patients.
        high: Likewise.
        seed: Variance s^2 between seeds; 0 where its estimate is below.
        patient: Variance p^2 between patients, likewise.
        rest: Variance r^2 of what seed and patient do not explain.

    Examples:
        >>> from wbad_jax.evaluation import crossed_variance
        >>> scores = np.array([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
        >>> round(crossed_variance(scores, np.arange(3)).mean, 3)
        0.833
    """

    mean: float
    low: float
    high: float
    seed: float
    patient: float
    rest: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class CohortVariance:
    """Mean over cohorts, its interval, and the variance between cohorts.

    Attributes:
        mean: Of the cohorts' means.
        low: Of the interval for a new cohort, with new seeds and patients.
        high: Likewise.
        cohort: Variance between cohorts beyond that of seeds and patients; 0 where its
            estimate is below.

    Examples:
        >>> from wbad_jax.evaluation import cohort_variance, crossed_variance
        >>> scores = np.array([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
        >>> found = [crossed_variance(s, np.arange(3)) for s in (scores, 1 - scores)]
        >>> cohort_variance(found, num_seeds=2, num_patients=3).mean
        0.5
    """

    mean: float
    low: float
    high: float
    cohort: float


def crossed_variance(
    scores: Float[np.ndarray, "seeds n"],
    patient_ids: Int[np.ndarray, " n"],
    level: float = 0.95,
) -> CrossedVariance:
    """Interval and variances of a mean over crossed seeds and patients.

    Args:
        scores: Of each seed and example, such as whether a decision is right, or the
            difference of two classifiers of one seed.
        patient_ids: To whom the examples belong; a patient with more images weighs
            more, as in the mean.
        level: Coverage.

    Raises:
        ValueError: With fewer than two seeds or two patients.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.evaluation import crossed_variance
        >>> scores = np.array([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]])  # seeds by examples
        >>> found = crossed_variance(scores, np.arange(3))
        >>> round(found.mean, 3), found.low < found.mean < found.high
        (0.833, True)
    """
    table = _by_patient(np.asarray(scores, float), patient_ids)
    seeds, patients = table.shape
    if seeds < 2 or patients < 2:
        raise ValueError(
            f"scores needs at least 2 seeds and 2 patients, got {seeds} and {patients}."
        )
    mean, of_seed, of_patient = table.mean(), table.mean(axis=1), table.mean(axis=0)
    residual = table - of_seed[:, None] - of_patient + mean
    square_rest = np.sum(residual**2) / ((seeds - 1) * (patients - 1))
    square_patient = seeds * np.var(of_patient, ddof=1)
    square_seed = patients * np.var(of_seed, ddof=1)
    patient = max(square_patient - square_rest, 0.0) / seeds
    # square_seed estimates n s^2 + r^2: both that seeds and that the rest add.
    t, z = (
        scipy.stats.t.ppf((1 + level) / 2, seeds - 1),
        scipy.stats.norm.ppf((1 + level) / 2),
    )
    seed_part = square_seed / (seeds * patients)
    half = float(np.sqrt(t**2 * seed_part + z**2 * patient / patients))
    return CrossedVariance(
        mean=float(mean),
        low=float(mean) - half,
        high=float(mean) + half,
        seed=float(max(square_seed - square_rest, 0.0) / patients),
        patient=float(patient),
        rest=float(square_rest),
    )


def cohort_variance(
    cohorts: Sequence[CrossedVariance],
    num_seeds: int,
    num_patients: int,
    level: float = 0.95,
) -> CohortVariance:
    """Interval and variance of a mean over cohorts that were drawn independently.

    The spread of the cohorts' means holds that of seeds and patients, which are others
    in each cohort.

    Args:
        cohorts: Of each cohort, from `crossed_variance`.
        num_seeds: Of each cohort.
        num_patients: Of each cohort.
        level: Coverage.

    Raises:
        ValueError: With fewer than two cohorts.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.evaluation import cohort_variance, crossed_variance
        >>> scores = np.array([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
        >>> found = [crossed_variance(s, np.arange(3)) for s in (scores, 1 - scores)]
        >>> cohort_variance(found, num_seeds=2, num_patients=3).mean
        0.5
    """
    count = len(cohorts)
    if count < 2:
        raise ValueError(f"cohorts needs at least 2, got {count}.")
    means = np.array([cohort.mean for cohort in cohorts])
    within = np.mean(
        [
            c.seed / num_seeds
            + c.patient / num_patients
            + c.rest / (num_seeds * num_patients)
            for c in cohorts
        ]
    )
    spread = means.var(ddof=1)
    half = scipy.stats.t.ppf((1 + level) / 2, count - 1) * np.sqrt(spread / count)
    return CohortVariance(
        mean=float(means.mean()),
        low=float(means.mean() - half),
        high=float(means.mean() + half),
        cohort=float(max(spread - within, 0.0)),
    )


def _by_patient(scores: np.ndarray, patient_ids: np.ndarray) -> np.ndarray:
    """Scores of patients whose mean is that over examples, `[seeds, patients]`.

    With unequal numbers of images the mean is a ratio of sums; these are its terms to
    first order.
    """
    sums, counts = zip(*(sums_by_patient(s, patient_ids) for s in scores), strict=True)
    mean, weight = scores.mean(), counts[0] / counts[0].mean()
    return mean + np.stack(sums) / counts[0].mean() - mean * weight
