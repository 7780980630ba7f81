r"""The pair bound: robust accuracy that no classifier can exceed on a set of pairs.

Two images of opposite label *conflict* at a radius if one image is within reach of
both: an adversary sends both there, and a classifier gives it one label. So at most one
of the two is robustly right, whatever the classifier. On a set where each patient is
there in both states, with a share q of pairs in conflict,

    robust accuracy <= 1 - q / 2,

without assumption and without interval. In general the images of a maximum matching of
the conflict graph are as many disjoint pairs, so robust accuracy is at most
1 - matching / images (Bhagoji, Cullina and Mittal 2019, Lower bounds on adversarial
robustness from optimal transport, arXiv 1909.12272; by Koenig's theorem a classifier
that knows the set attains it).

The bound is on the worst case over all perturbations of a norm. Numbers under attacks
that do not know the classifier may exceed it.
"""

import dataclasses
import math
from typing import Any

import numpy as np
import scipy
from jaxtyping import Bool, Float

NORMS = ("linf", "l2", "l1")
# Images are float32: a conflict is counted only if it is safe from rounding.
_SLACK = 1e-6
_METRICS: dict[str, Any] = {"linf": "chebyshev", "l2": "euclidean", "l1": "cityblock"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairBound:
    """A bound on the robust accuracy of every classifier on one set of pairs.

    Attributes:
        norm: "linf", "l2" or "l1".
        epsilon: Radius in pixel units.
        conflicts: Whether the two images of each patient conflict, `[n]` bool.
        matching: Size of a maximum matching of the conflict graph over all patients, or
            None if not computed.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.evaluation import pair_bound
        >>> healthy = np.zeros((2, 4, 4, 1))
        >>> tumour = healthy + np.array([0.01, 0.5]).reshape(2, 1, 1, 1)
        >>> bound = pair_bound(healthy, tumour, epsilon=0.01)
        >>> bound.share, bound.accuracy
        (0.5, 0.75)
    """

    norm: str
    epsilon: float
    conflicts: np.ndarray
    matching: int | None = None

    @property
    def share(self) -> float:
        """Share of patients whose two images conflict."""
        return float(self.conflicts.mean())

    @property
    def accuracy(self) -> float:
        """Bound on robust accuracy over both images of all patients."""
        found = max(int(self.conflicts.sum()), self.matching or 0)
        return 1 - found / (2 * len(self.conflicts))


def pair_bound(
    healthy: Float[np.ndarray, "n ..."],
    tumour: Float[np.ndarray, "n ..."],
    epsilon: float,
    norm: str = "linf",
    *,
    healthy_masks: Bool[np.ndarray, "n ..."] | None = None,
    tumour_masks: Bool[np.ndarray, "n ..."] | None = None,
    across_patients: bool = False,
) -> PairBound:
    """Bound on robust accuracy where each patient is scored in both states.

    Args:
        healthy: Images in [0, 1] as the classifier gets them, one row a patient.
        tumour: The other state of the same patients.
        epsilon: Radius in pixel units.
        norm: "linf", "l2" or "l1".
        healthy_masks: Pixels that may be attacked; None for all.
        tumour_masks: Likewise.
        across_patients: Whether to match images of different patients too. Takes n
            squared distances.

    Returns:
        The bound.

    Raises:
        ValueError: If shapes do not fit, there is no patient, a value is not finite,
            the radius is negative, or the norm unknown.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.evaluation import pair_bound
        >>> healthy = np.zeros((2, 4, 4, 1))
        >>> tumour = healthy + np.array([0.01, 0.5]).reshape(2, 1, 1, 1)
        >>> pair_bound(healthy, tumour, epsilon=0.01).accuracy
        0.75
    """
    healthy, tumour = _flat_pairs(healthy, tumour)
    _check_budget(epsilon, norm)
    masks = [_flat_mask(m, healthy.shape) for m in (healthy_masks, tumour_masks)]
    conflicts = np.array(
        [
            _conflict(h - c, mh, mc, epsilon, norm)
            for h, c, mh, mc in zip(healthy, tumour, *masks, strict=True)
        ]
    )
    matching = None
    if across_patients:
        whole = healthy_masks is None and tumour_masks is None
        if whole:
            graph = _distances(healthy, tumour, norm) <= 2 * epsilon - _SLACK
        else:
            graph = _conflict_graph(healthy, tumour, masks, epsilon, norm)
        matching = maximum_matching(graph)
    return PairBound(norm=norm, epsilon=epsilon, conflicts=conflicts, matching=matching)


def maximum_matching(graph: Bool[np.ndarray, "healthy tumour"]) -> int:
    """Size of a maximum matching of a bipartite conflict graph.

    Args:
        graph: Whether a healthy image (row) conflicts with a tumour image (column).

    Returns:
        The largest number of conflicting pairs that share no image.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.evaluation import maximum_matching
        >>> maximum_matching(np.array([[True, True], [True, False]]))
        2
    """
    matched = scipy.sparse.csgraph.maximum_bipartite_matching(
        scipy.sparse.csr_array(graph)
    )
    return int((matched >= 0).sum())


def one_member_bound(conflicts: Bool[np.ndarray, " n"], level: float = 0.95) -> float:
    """Bound where each patient is scored in one state, chosen by a fair coin.

    A classifier cannot have both images of a conflicting pair robustly right, and the
    coin does not depend on it, so its hits among K conflicts are at most a binomial
    number with K trials of one half. Void for a classifier that saw the set.

    Args:
        conflicts: Whether the two images of each patient conflict.
        level: Probability with which the bound holds.

    Returns:
        1 - K/n + B/n, B the quantile at `level` of that binomial number.

    Raises:
        ValueError: If there is no patient, or the level not between 0 and 1.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.evaluation import one_member_bound
        >>> one_member_bound(np.array([True, False, False, False]))
        1.0
    """
    if not len(conflicts):
        raise ValueError("conflicts needs at least one patient, got none.")
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level}.")
    count, n = int(np.sum(conflicts)), len(conflicts)
    hits = int(scipy.stats.binom.ppf(level, count, 0.5)) if count else 0
    return 1 - (count - hits) / n


def _conflict(difference, first, second, epsilon: float, norm: str) -> bool:
    """Whether the feasible sets of two images meet; their midpoint is then in both."""
    size = np.abs(difference)
    if norm == "linf":
        reach = np.maximum(epsilon * (first + second.astype(float)) - _SLACK, 0.0)
        # Where neither may be changed they have to be equal; where one may, it goes
        # all the way.
        return bool(np.all(size <= reach) and 2 * epsilon > _SLACK)
    if np.any(size[~(first & second)]):
        return False
    total = np.linalg.norm(size.astype(float), 1 if norm == "l1" else 2)
    return bool(total <= 2 * epsilon - _SLACK)


def _distances(healthy, tumour, norm: str) -> np.ndarray:
    return scipy.spatial.distance.cdist(healthy, tumour, _METRICS[norm])


def _conflict_graph(healthy, tumour, masks, epsilon: float, norm: str) -> np.ndarray:
    return np.array(
        [
            [
                _conflict(h - c, mh, mc, epsilon, norm)
                for c, mc in zip(tumour, masks[1], strict=True)
            ]
            for h, mh in zip(healthy, masks[0], strict=True)
        ]
    )


def _flat_pairs(healthy, tumour) -> tuple[np.ndarray, np.ndarray]:
    healthy, tumour = np.asarray(healthy), np.asarray(tumour)
    if healthy.shape != tumour.shape or healthy.ndim < 2 or not healthy.size:
        raise ValueError(
            "healthy and tumour need the same shape [patients, pixels...], got "
            f"{healthy.shape} and {tumour.shape}."
        )
    for name, images in (("healthy", healthy), ("tumour", tumour)):
        if not np.isfinite(images).all():
            raise ValueError(f"{name} needs finite pixels.")
    return healthy.reshape(len(healthy), -1), tumour.reshape(len(tumour), -1)


def _flat_mask(mask, shape: tuple[int, ...]) -> np.ndarray:
    if mask is None:
        return np.ones(shape, bool)
    mask = np.asarray(mask)
    if mask.dtype != bool or len(mask) != shape[0] or mask.size != math.prod(shape):
        raise ValueError(
            f"A mask needs bool pixels of all {shape[0]} images, got {mask.dtype} "
            f"{mask.shape}."
        )
    return mask.reshape(shape)


def _check_budget(epsilon: float, norm: str) -> None:
    if norm not in NORMS:
        raise ValueError(f"norm must be one of {NORMS}, got {norm!r}.")
    if not 0 <= epsilon < math.inf:
        raise ValueError(f"epsilon must be finite and >= 0, got {epsilon}.")
