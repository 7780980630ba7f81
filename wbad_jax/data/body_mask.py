"""Finds the body in a real exposure and shrinks the exposure within it."""

import numpy as np
from scipy import ndimage
from skimage import filters, transform

from wbad_jax.data.errors import DataError

# Shares of the frame: 0.50-0.88 on 162 frontal DMR-IR matrices, with room for others.
_PLAUSIBLE_AREA = (0.15, 0.97)


def find_body(celsius: np.ndarray, name: str) -> np.ndarray:
    """Separates the body from the wall behind it.

    Threshold of Otsu, then the largest connected region: a lamp, a hand or another
    person in the frame is left out. Holes are filled if they are cool skin, but not if
    they are as cold as the wall: the gap between a raised arm and the head, or a marker
    at room temperature, would let the room's temperature tell the label.

    Args:
        celsius: `[height, width]`.
        name: Of the file, for the error.

    Returns:
        `[height, width]` bool.

    Raises:
        DataError: If the image is constant, or the region not of a body's size.

    Reference:
        Otsu (1979), A threshold selection method from gray-level histograms.
    """
    if celsius.min() == celsius.max():
        raise DataError(
            f"{name}: a body must differ from its background, but every temperature is "
            f"{celsius.min():g}."
        )
    threshold = filters.threshold_otsu(celsius)
    mask = _largest_region(celsius > threshold)
    mask = _fill_cool_skin(celsius, mask, threshold)
    area = mask.mean()
    low, high = _PLAUSIBLE_AREA
    if not low <= area <= high:
        raise DataError(
            f"{name}: a body must cover {low:.0%} to {high:.0%} of the frame, but the "
            f"largest warm region covers {area:.1%}."
        )
    return mask


def _largest_region(mask: np.ndarray) -> np.ndarray:
    regions = _label(mask)
    return regions == 1 + np.argmax(np.bincount(regions.ravel(), minlength=2)[1:])


def _fill_cool_skin(
    celsius: np.ndarray, mask: np.ndarray, threshold: float
) -> np.ndarray:
    """Fills holes whose median is nearer to the threshold than to the wall."""
    filled = np.asarray(ndimage.binary_fill_holes(mask))
    holes = _label(filled & ~mask)
    if not holes.any() or filled.all():
        return filled
    wall = np.median(celsius[~filled])
    medians = ndimage.median(celsius, holes, range(1, holes.max() + 1))
    skin = 1 + np.flatnonzero(medians > (wall + threshold) / 2)
    return mask | np.isin(holes, skin)


def _label(mask: np.ndarray) -> np.ndarray:
    """Numbers the connected regions from 1, with 0 outside them."""
    regions = np.empty(mask.shape, np.int32)
    ndimage.label(mask, output=regions)
    return regions


def shrink(
    celsius: np.ndarray, mask: np.ndarray, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Resizes with anti-aliasing, mixing no temperature across the mask's edge.

    Args:
        celsius: `[height, width]`.
        mask: Pixels that count, `[height, width]` bool.
        shape: New height and width.

    Returns:
        Temperatures and mask, `shape`. A new pixel is inside if half of it was.
    """
    weight = _resize(mask.astype(np.float64), shape)
    total = _resize(np.where(mask, celsius, 0.0), shape)
    inside = weight >= 0.5
    return np.where(inside, total / np.where(inside, weight, 1.0), 0.0), inside


def _resize(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return np.asarray(
        transform.resize(
            image, shape, order=1, mode="edge", anti_aliasing=True, preserve_range=True
        )
    )
