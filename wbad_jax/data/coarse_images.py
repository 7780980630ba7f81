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
    down, across = (_block_weights(edge, size) for edge in images.shape[1:])
    return (down @ images @ across.T).astype(np.float32)


def _block_weights(edge: int, size: int) -> np.ndarray:
    """Share of each pixel in each of equal blocks, which may end within a pixel."""
    blocks = min(size, edge)
    ends = np.linspace(0, edge, blocks + 1)
    pixels = np.arange(edge)
    first = np.maximum(ends[:-1, None], pixels)
    last = np.minimum(ends[1:, None], pixels + 1)
    return np.maximum(last - first, 0).astype(np.float32) * (blocks / edge)
