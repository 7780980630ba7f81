"""Small copies of images, on which two of one scene can be held against each other."""

import numpy as np

from wbad_jax.data.dataset import Dataset
from wbad_jax.data.examples import OUTSIDE

_CHUNK = 1024  # images at a time


def coarse_images(dataset: Dataset, rows: np.ndarray, size: int) -> np.ndarray:
    """Means over blocks of the body, its outside a constant.

    Args:
        dataset: Any.
        rows: Of the examples.
        size: Most blocks along each edge.

    Returns:
        `[rows, blocks, blocks]` float32, channels averaged.
    """
    return np.concatenate(
        [
            _means(dataset, rows[start : start + _CHUNK], size)
            for start in range(0, len(rows), _CHUNK)
        ]
    )


def _means(dataset: Dataset, rows: np.ndarray, size: int) -> np.ndarray:
    images = np.where(dataset.masks[rows], dataset.images[rows], OUTSIDE).mean(axis=-1)
    for axis in (1, 2):
        blocks = min(size, images.shape[axis])
        edges = np.linspace(0, images.shape[axis], blocks + 1).astype(int)
        sums = np.add.reduceat(images, edges[:-1], axis=axis)
        shape = [1, 1, 1]
        shape[axis] = blocks
        images = sums / np.diff(edges).reshape(shape)
    return images.astype(np.float32)
