"""Certified accuracy against radius, and what must be true of any certificates."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy
from jaxtyping import Bool, Float

from wbad_jax.evaluation.ceiling import pair_bound
from wbad_jax.evaluation.smoothing import Certificates


@dataclasses.dataclass(frozen=True, kw_only=True)
class AccuracyCurve:
    """Accuracy against radius.

    Attributes:
        radius: `[radii]`, L2 in pixel units.
        accuracy: `[radii]`, over images.
        ci_low: Lower end of a 95 % interval.
        ci_high: Upper end.

    Examples:
        >>> from wbad_jax.evaluation import accuracy_curve
        >>> right = np.array([[True, True, False], [True, False, False]])
        >>> curve = accuracy_curve(right, np.arange(3), radii=(0.1, 0.2))
        >>> curve.accuracy.round(3).tolist()
        [0.667, 0.333]
    """

    radius: np.ndarray
    accuracy: np.ndarray
    ci_low: np.ndarray
    ci_high: np.ndarray


def certified_right(
    certificates: Certificates, labels: np.ndarray, radii: Sequence[float]
) -> Bool[np.ndarray, "radii n"]:
    """Whether an image is certified to be classified right at least so far out.

    Args:
        certificates: Of each image.
        labels: True classes, `[n]`.
        radii: L2, in pixel units.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.evaluation import certified_right, certify_votes
        >>> votes = np.array([[2, 98], [98, 2]])
        >>> certificates = certify_votes(votes, votes, sigma=0.25, alpha=0.001)
        >>> certified_right(certificates, np.array([1, 1]), radii=(0.1, 1.0)).tolist()
        [[True, False], [False, False]]
    """
    right = (certificates.predicted == labels) & ~certificates.abstained
    return right & (certificates.radius >= np.asarray(radii)[:, None])


def accuracy_curve(
    right: Bool[np.ndarray, "radii n"],
    patient_ids: np.ndarray,
    radii: Sequence[float],
) -> AccuracyCurve:
    """Accuracy and Wilson intervals, with patients as the independent trials.

    Where a patient has several images they may all go the same way, so the interval has
    as many trials as there are patients: never too narrow, whatever the correlation.

    Args:
        right: Whether each image is right at each radius.
        patient_ids: `[n]`.
        radii: L2, in pixel units.

    Raises:
        ValueError: If there is no image.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.evaluation import accuracy_curve
        >>> right = np.array([[True, True], [True, False]])  # by radius and image
        >>> accuracy_curve(right, np.arange(2), radii=(0.1, 0.2)).accuracy
        array([1. , 0.5])
    """
    if not right.size:
        raise ValueError("accuracy_curve needs at least one image and one radius.")
    accuracy = right.mean(axis=1)
    low, high = wilson_bounds(accuracy, len(np.unique(patient_ids)))
    return AccuracyCurve(
        radius=np.asarray(radii, float), accuracy=accuracy, ci_low=low, ci_high=high
    )


def wilson_bounds(
    share: Float[np.ndarray, "..."], trials: int, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's interval of shares that need not be whole numbers of the trials.

    Reference:
        Wilson (1927), Probable inference, JASA 22(158).
    """
    z = scipy.stats.norm.ppf((1 + level) / 2)
    middle = share + z**2 / (2 * trials)
    half = z * np.sqrt(share * (1 - share) / trials + (z / (2 * trials)) ** 2)
    scale = 1 + z**2 / trials
    low, high = (middle - half) / scale, (middle + half) / scale
    return np.clip(low, 0, share), np.clip(high, share, 1)


def crossings(
    certified: Float[np.ndarray, " radii"],
    empirical: Float[np.ndarray, " radii"],
    undecided: Float[np.ndarray, " radii"],
) -> Bool[np.ndarray, " radii"]:
    """Radii at which more is certified than an attack leaves: none, if all is well.

    Args:
        certified: Certified accuracy.
        empirical: Accuracy under attack, where to abstain is an error.
        undecided: Share of images on which the attacked classifier abstains. The vote
            is then too close to refute a certificate.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.evaluation import crossings
        >>> crossings(np.array([0.9, 0.8]), np.array([0.95, 0.7]), np.zeros(2))
        array([False,  True])
    """
    return certified > empirical + undecided + 1e-9


def contradictory_twins(
    first: Certificates, second: Certificates, distance: Float[np.ndarray, " n"]
) -> Bool[np.ndarray, " n"]:
    """Pairs whose certificates cannot both hold: two classes, and balls that meet.

    A test of any certifier, without an attack: R_1 + R_2 is at most the distance of two
    images that are certified to different classes.

    Args:
        first: Of one image of each pair.
        second: Of the other.
        distance: L2, of the two.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.evaluation import certify_votes, contradictory_twins
        >>> for_1, for_0 = np.array([[2, 98]]), np.array([[98, 2]])
        >>> sick = certify_votes(for_1, for_1, sigma=0.25, alpha=0.001)
        >>> well = certify_votes(for_0, for_0, sigma=0.25, alpha=0.001)
        >>> contradictory_twins(sick, well, np.array([0.1]))
        array([ True])
    """
    apart = first.predicted != second.predicted
    certified = ~first.abstained & ~second.abstained
    # Images are float32: a contradiction is counted only if it is safe from rounding.
    return apart & certified & (first.radius + second.radius > distance + 1e-6)


def above_pair_bound(
    right: Bool[np.ndarray, "radii n"],
    radii: Sequence[float],
    images: Float[np.ndarray, "n height width channels"],
    healthy: np.ndarray,
    tumour: np.ndarray,
) -> Bool[np.ndarray, " radii"]:
    """Radii at which certified accuracy on pairs is above what any classifier reaches.

    Args:
        right: Of `certified_right`.
        radii: L2, in pixel units.
        images: All of them.
        healthy: Rows of the healthy twin of each patient.
        tumour: Rows of the other, in the same order.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.evaluation import above_pair_bound
        >>> images = np.array([0.0, 0.3]).reshape(2, 1, 1, 1)
        >>> right = np.array([[True, True], [True, True]])  # by radius and image
        >>> above_pair_bound(right, (0.1, 1.0), images, np.array([0]), np.array([1]))
        array([False,  True])
    """
    pairs = np.concatenate([healthy, tumour])
    bounds = [
        pair_bound(images[healthy], images[tumour], float(radius), "l2").accuracy
        for radius in radii
    ]
    return right[:, pairs].mean(axis=1) > np.array(bounds) + 1e-9


def twin_rows(
    patient_ids: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the healthy and of the other image of patients with one of each.

    Args:
        patient_ids: `[n]`.
        labels: `[n]`, 0 for healthy.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.evaluation import twin_rows
        >>> healthy, tumour = twin_rows(np.array([4, 4, 5, 5]), np.array([0, 1, 1, 0]))
        >>> healthy.tolist(), tumour.tolist()
        ([0, 3], [1, 2])
    """
    rows = {}
    for row, key in enumerate(zip(patient_ids.tolist(), labels.tolist(), strict=True)):
        rows.setdefault(key, []).append(row)
    pairs = [
        (own[0], rows[patient, 1][0])
        for (patient, label), own in sorted(rows.items())
        if label == 0 and len(own) == len(rows.get((patient, 1), [])) == 1
    ]
    rows_of_pairs = np.array(pairs, int).reshape(-1, 2)
    return rows_of_pairs[:, 0], rows_of_pairs[:, 1]
