"""Finds the body in a real exposure and shrinks the exposure within it."""

import numpy as np
import scipy
import skimage

from wbad_jax.data.errors import DataError

# Shares of the frame: 0.50-0.88 on 162 frontal DMR-IR matrices, with room for others.
_PLAUSIBLE_AREA = (0.15, 0.97)
# Of a marker: the reach of the search, least and largest edge, degrees by which it is
# colder than skin, tried in order, least slope at its edge in degrees per mm, and width
# of its rim.
_PLATE_REACH_MM, _PLATE_MM, _PLATE_COLDER = 75.0, (11.0, 65.0), (4.0, 2.5, 1.5)
_PLATE_SLOPE, _RIM_MM = 0.25, 4.0


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
    threshold = skimage.filters.threshold_otsu(celsius)
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
    filled = np.asarray(scipy.ndimage.binary_fill_holes(mask))
    holes = _label(filled & ~mask)
    if not holes.any() or filled.all():
        return filled
    wall = np.median(celsius[~filled])
    medians = scipy.ndimage.median(celsius, holes, range(1, holes.max() + 1))
    skin = 1 + np.flatnonzero(medians > (wall + threshold) / 2)
    return mask | np.isin(holes, skin)


def _label(mask: np.ndarray) -> np.ndarray:
    """Numbers the connected regions from 1, with 0 outside them."""
    regions = np.empty(mask.shape, np.int32)
    scipy.ndimage.label(mask, output=regions)
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
        skimage.transform.resize(
            image, shape, order=1, mode="edge", anti_aliasing=True, preserve_range=True
        )
    )


def find_marker(
    celsius: np.ndarray, body: np.ndarray, millimetres_per_pixel: float
) -> np.ndarray:
    """Finds a cold plate on the skin near the midline.

    Whatever is colder than all around it within the size of a plate is filled by a
    morphological closing; the largest part that was filled and has a sharp edge is the
    plate. Nipples are smaller, and skin between warm folds has no sharp edge.

    Args:
        celsius: `[height, width]`.
        body: Without holes, `[height, width]` bool.
        millimetres_per_pixel: Roughly.

    Returns:
        Pixels of the plate and of its blurred rim, `[height, width]` bool; none where
        there is no plate.
    """
    size = round(_PLATE_REACH_MM / millimetres_per_pixel)
    skin = np.where(body, celsius, np.median(celsius[body]))
    cold = scipy.ndimage.grey_closing(skin, size=(size, size)) - skin
    slope = scipy.ndimage.gaussian_gradient_magnitude(skin, 2.0) / millimetres_per_pixel
    areas_mm2 = np.square(_PLATE_MM)
    rim = max(round(_RIM_MM / millimetres_per_pixel), 1)
    height, width = body.shape
    for colder in _PLATE_COLDER:
        parts = _label((cold > colder) & body)
        areas = np.bincount(parts.ravel()) * millimetres_per_pixel**2
        for part in 1 + np.argsort(areas[1:])[::-1]:
            if not areas_mm2[0] <= areas[part] <= areas_mm2[1]:
                continue
            plate = parts == part
            inner = np.asarray(scipy.ndimage.binary_erosion(plate), bool)
            edge = plate & ~inner
            row, column = scipy.ndimage.center_of_mass(plate)
            near = row > height / 3 and abs(column / width - 0.5) < 0.2
            if near and np.median(slope[edge]) > _PLATE_SLOPE:
                hull = skimage.morphology.convex_hull_image(plate)
                return np.asarray(scipy.ndimage.binary_dilation(hull, iterations=rim))
    return np.zeros_like(body)
