"""Short codes of images, alike for two of one scene and for no others.

Bodies are alike: a code must hold what differs between them. Coarse images are
standardised and projected on the principal components of the whole set, each divided by
its standard deviation, and the code is the direction of what results. Codes of
different patients are close to independent random directions (on 1,200 simulated ones
the cosines have a standard deviation of 0.125 with 64 components, as those have).
"""

import dataclasses

import numpy as np
import scipy

from wbad_jax.data.coarse_images import coarse_images
from wbad_jax.data.dataset import Dataset
from wbad_jax.data.findings import ALPHA
from wbad_jax.data.shortcuts import haar_deviations

_SIZE = 16  # edge of the coarse images
_MOST_COMPONENTS = 64
_FEWEST_COMPONENTS = 8
_IMAGES_A_COMPONENT = 3
# Variance of a component below which it is rounding, as a share of the largest.
_LEAST_VARIANCE = 1e-6
# Cosine that no two of 1,200 simulated patients reach, mirrored or not (0.74 at most),
# and 99 of 100 copies shifted by a pixel do.
_LEAST_COSINE = 0.85


@dataclasses.dataclass(frozen=True)
class ImageCodes:
    """How images become codes, and which codes are of one scene.

    Attributes:
        mean: Of the standardised coarse images, `[pixels]`.
        axes: Principal components over their standard deviations,
            `[pixels, components]`.
        threshold: Cosine from which on two codes are of one scene: one pair in a
            thousand data sets of unlike images would reach it.
    """

    mean: np.ndarray
    axes: np.ndarray
    threshold: float

    def of(self, dataset: Dataset, *, mirrored: bool = False) -> np.ndarray:
        """Codes of all examples, `[examples, components]` of length 1.

        Args:
            dataset: With finite pixels.
            mirrored: Whether of the images turned left to right.
        """
        codes = (_standardised(dataset, mirrored) - self.mean) @ self.axes
        return codes / np.maximum(np.linalg.norm(codes, axis=1, keepdims=True), 1e-12)


def fit_codes(dataset: Dataset) -> ImageCodes | None:
    """Learns codes from a data set itself.

    Args:
        dataset: With finite pixels.

    Returns:
        The codes, or None if there are too few images or they differ in too few ways.
    """
    images = np.concatenate(
        [_standardised(dataset, mirrored) for mirrored in (False, True)]
    )
    mean = images.mean(axis=0)
    covariance = np.cov(images, rowvar=False)
    variances, axes = np.linalg.eigh(covariance)
    variances, axes = variances[::-1], axes[:, ::-1]
    count = min(
        _MOST_COMPONENTS,
        int(dataset.factual.sum()) // _IMAGES_A_COMPONENT,
        int((variances > _LEAST_VARIANCE * max(variances[0], 1e-12)).sum()),
    )
    if count < _FEWEST_COMPONENTS:
        return None
    # Each pair is compared twice, once with a mirror image.
    pairs = len(dataset) * (len(dataset) - 1)
    t = scipy.stats.t.isf(ALPHA / pairs, count - 1)
    chance = float(t / np.sqrt(t**2 + count - 1))
    axes = axes[:, :count] / np.sqrt(variances[:count])
    return ImageCodes(mean, axes, max(_LEAST_COSINE, chance))


def noisy_copies(dataset: Dataset) -> Dataset:
    """Images as a second exposure of the same scene might be: with other noise.

    Args:
        dataset: Any.

    Returns:
        The examples with noise added, of twice the variance of their own.
    """
    low, high = dataset.window
    sigma = haar_deviations(dataset)[:, 2] / (high - low)
    sigma = np.sqrt(2) * np.nan_to_num(sigma)[:, None, None, None]
    noise = np.random.default_rng(0).normal(size=dataset.images.shape)
    images = dataset.images + (sigma * noise).astype(np.float32)
    return dataclasses.replace(dataset, images=images)


def _standardised(dataset: Dataset, mirrored: bool) -> np.ndarray:
    """Coarse images of mean 0 and standard deviation 1, `[examples, pixels]`."""
    images = coarse_images(dataset, np.arange(len(dataset)), _SIZE)
    images = images[:, :, ::-1] if mirrored else images
    flat = images.reshape(len(images), -1).astype(np.float64)
    flat -= flat.mean(axis=1, keepdims=True)
    return flat / np.maximum(flat.std(axis=1, keepdims=True), 1e-9)
