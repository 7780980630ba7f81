"""The split that must not be used: by image, so that patients are on both sides.

It is here to measure how much it inflates the accuracy, and for nothing else.
"""

from collections.abc import Mapping

import numpy as np

from wbad_jax.data.dataset import Dataset
from wbad_jax.data.errors import DataError
from wbad_jax.data.splits import Indices, check_fractions


def split_by_image(
    dataset: Dataset, fractions: Mapping[str, float], seed: int, *, allow_leakage: bool
) -> Indices:
    """Splits images at random, whoever is on them.

    Args:
        dataset: Any; only factual examples are split.
        fractions: Part to its share of the images of each class.
        seed: Of the shuffle.
        allow_leakage: Must be True: say that you know what this does.

    Returns:
        Part to sorted indices of its examples.

    Raises:
        DataError: If leakage is not allowed, or the fractions are impossible.

    Examples:
        >>> from wbad_jax.data import split_by_image
        >>> shares = {"train": 0.5, "test": 0.5}
        >>> parts = split_by_image(dataset, shares, seed=0, allow_leakage=True)
        >>> len(parts["train"])  # see `Dataset`
        12
    """
    if not allow_leakage:
        raise DataError(
            "a split by image trains and tests on the same patients, which inflates "
            "the accuracy. It is refused unless allow_leakage is True."
        )
    check_fractions(fractions)
    rng = np.random.default_rng(seed)
    parts: dict[str, list[int]] = {name: [] for name in fractions}
    ends = np.cumsum(list(fractions.values()))[:-1]
    for label in np.unique(dataset.labels):
        rows = np.flatnonzero(dataset.factual & (dataset.labels == label))
        cuts = np.round(ends * len(rows)).astype(int)
        for name, part in zip(
            parts, np.split(rng.permutation(rows), cuts), strict=True
        ):
            parts[name].extend(part.tolist())
    return {name: np.sort(np.array(part, int)) for name, part in parts.items()}
