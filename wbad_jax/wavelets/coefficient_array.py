"""All coefficients of an image in one array, and back.

The layout is the usual picture of a wavelet transform: the approximation in the upper
left corner, the details of each level around it.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wbad_jax.wavelets.multilevel import Details, as_details
from wbad_jax.wavelets.two_dimensional import as_images

# First row, end, first column, end of a band within the array.
Box = tuple[int, int, int, int]
# The box of the approximation, then the three boxes of each level, coarsest first.
Boxes = tuple[Any, ...]


def coeffs_to_array(
    coefficients: Sequence[Any], padding: float = 0.0
) -> tuple[Float[Array, "*batch height width channels"], Boxes]:
    """Arranges the coefficients of `wavedec2` in one array.

    The array is that of `pywt.coeffs_to_array` with `axes=(-3, -2)`. With odd sizes or
    long filters the bands do not fill it; what is left takes the value `padding`.

    Args:
        coefficients: `[approx, Details of level n, ..., Details of level 1]`.
        padding: Value where there is no coefficient.

    Returns:
        The array, and where the bands lie in it, for `array_to_coeffs`: first the
        approximation's (first row, end, first column, end), then for each level those
        of horizontal, vertical and diagonal band. Plain tuples, hashable, hence static.

    Raises:
        TypeError: If the coefficients are not of a floating-point type.
        ValueError: If there are none, or the bands of a level do not fit together.
    """
    if not coefficients:
        raise ValueError("coefficients must hold at least the approximation, got none.")
    approx = as_images(coefficients[0], "approx")
    levels = [as_details(bands) for bands in coefficients[1:]]
    for bands in levels:
        shapes = {band.shape for band in bands}
        if len(shapes) > 1 or bands[0].ndim != approx.ndim:
            raise ValueError(
                "The details of a level must have equal shapes, of the rank of the "
                f"approximation, got {sorted(shapes)} and {approx.shape}."
            )
    boxes, (height, width) = _lay_out(approx, levels)
    shape = (*approx.shape[:-3], height, width, approx.shape[-1])
    array = jnp.full(shape, padding, approx.dtype)
    bands = [approx, *(band for bands in levels for band in bands)]
    flat = [boxes[0], *(box for level in boxes[1:] for box in level)]
    for band, (top, _, left, _) in zip(bands, flat, strict=True):
        start = (*[0] * (approx.ndim - 3), top, left, 0)
        array = jax.lax.dynamic_update_slice(array, band.astype(array.dtype), start)
    return array, boxes


def array_to_coeffs(
    array: Float[Array, "*batch height width channels"], boxes: Boxes
) -> list[Any]:
    """Takes an array apart into coefficients; inverse of `coeffs_to_array`.

    Args:
        array: As `coeffs_to_array` returns it.
        boxes: Where the bands lie. Static.

    Returns:
        `[approx, Details of level n, ..., Details of level 1]`.

    Raises:
        TypeError: If `array` is not of a floating-point type.
        ValueError: If a band does not lie within `array`.
    """
    array = as_images(array, "array")
    approx, *levels = boxes
    height, width = array.shape[-3:-1]

    def cut(box: Box) -> jax.Array:
        top, bottom, left, right = box
        if bottom > height or right > width:
            raise ValueError(
                f"boxes must lie within the array of {height} x {width}, got {box}."
            )
        return array[..., top:bottom, left:right, :]

    return [cut(approx), *(Details(*map(cut, level)) for level in levels)]


def _lay_out(
    approx: jax.Array, levels: Sequence[Details]
) -> tuple[Boxes, tuple[int, int]]:
    """Boxes of all bands, and the size of the array around them."""
    height, width = approx.shape[-3:-1]
    boxes: list[Any] = [(0, height, 0, width)]
    for bands in levels:
        rows, columns = bands.horizontal.shape[-3:-1]
        if rows < height // 2 or columns < width // 2:
            raise ValueError(
                "Details must reach at least as far as all coarser bands together, got "
                f"{rows} x {columns} beside {height} x {width}; order them from coarse "
                "to fine."
            )
        boxes.append(
            (
                (height, height + rows, 0, columns),
                (0, rows, width, width + columns),
                (height, height + rows, width, width + columns),
            )
        )
        height, width = height + rows, width + columns
    return tuple(boxes), (height, width)
