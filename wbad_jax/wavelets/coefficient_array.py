"""All coefficients of an image in one array, and back.

The layout is the usual picture of a wavelet transform: the approximation in the upper
left corner, the details of each level around it.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from wbad_jax.wavelets.multilevel import Details, as_details
from wbad_jax.wavelets.two_dimensional import as_images

# First row, end, first column, end of a band within the array.
Box = tuple[int, int, int, int]
# The box of the approximation, then the three boxes of each level, coarsest first.
Boxes = tuple[Any, ...]


def coeffs_to_array(
    coefficients: Sequence[Any], padding: ArrayLike | None = 0.0
) -> tuple[Float[Array, "*batch height width channels"], Boxes]:
    """Arranges the coefficients of `wavedec2` in one array.

    The array is that of `pywt.coeffs_to_array` with `axes=(-3, -2)`. With odd sizes or
    long filters the bands do not fill it; what is left takes the value `padding`.

    Args:
        coefficients: `[approx, Details of level n, ..., Details of level 1]`.
        padding: Value where there is no coefficient; None allows no such place.

    Returns:
        The array, and where the bands lie in it, for `array_to_coeffs`: first the
        approximation's (first row, end, first column, end), then for each level those
        of horizontal, vertical and diagonal band. Plain tuples, hashable, hence static.

    Raises:
        TypeError: If the coefficients are not of a floating-point type.
        ValueError: If there are none, if the bands of a level do not fit together or
            beside the coarser ones, or if `padding` is None and gaps are left.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.wavelets import coeffs_to_array, wavedec2
        >>> array, boxes = coeffs_to_array(wavedec2(jnp.ones((1, 8, 8, 1)), level=2))
        >>> array.shape
        (1, 8, 8, 1)
    """
    if not coefficients:
        raise ValueError("coefficients must hold at least the approximation, got none.")
    array = as_images(coefficients[0], "approx")
    levels = [as_details(bands) for bands in coefficients[1:]]
    dtype = jnp.result_type(array, *jax.tree.leaves(levels))
    array = array.astype(dtype)
    fill = jnp.asarray(0.0 if padding is None else padding, dtype)
    boxes: list[Any] = [(0, array.shape[-3], 0, array.shape[-2])]
    for bands in levels:
        _check_fit(array, bands, padding)
        boxes.append(_boxes_around(array, bands))
        array = _surround(array, bands, fill)
    return array, tuple(boxes)


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

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.wavelets import array_to_coeffs, coeffs_to_array, wavedec2
        >>> coefficients = wavedec2(jnp.ones((1, 8, 8, 1)), level=1)
        >>> array, boxes = coeffs_to_array(coefficients)
        >>> approx, details = array_to_coeffs(array, boxes)
        >>> approx.shape
        (1, 4, 4, 1)
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


def _check_fit(corner: jax.Array, bands: Details, padding: ArrayLike | None) -> None:
    shapes = [band.shape for band in bands]
    outside = {(*shape[:-3], shape[-1]) for shape in (corner.shape, *shapes)}
    if len(set(shapes)) > 1 or len(outside) > 1:
        raise ValueError(
            "The details of a level must have equal shapes, and the batch and the "
            f"channels of the approximation, got {shapes} beside {corner.shape}."
        )
    (height, width), (rows, columns) = corner.shape[-3:-1], shapes[0][-3:-1]
    if rows > height or columns > width:
        raise ValueError(
            "Details must not be larger than all coarser bands together, got "
            f"{rows} x {columns} beside {height} x {width}; order them from coarse to "
            "fine."
        )
    if padding is None and (rows, columns) != (height, width):
        raise ValueError(
            "padding must be a number where bands leave gaps, got None for details of "
            f"{rows} x {columns} beside {height} x {width}."
        )


def _boxes_around(corner: jax.Array, bands: Details) -> tuple[Box, Box, Box]:
    height, width = corner.shape[-3:-1]
    rows, columns = bands.horizontal.shape[-3:-1]
    return (
        (height, height + rows, 0, columns),
        (0, rows, width, width + columns),
        (height, height + rows, width, width + columns),
    )


def _surround(corner: jax.Array, bands: Details, padding: jax.Array) -> jax.Array:
    """A level of details around the coarser bands."""
    height, width = corner.shape[-3:-1]
    # Not written in place: under `jax.vmap` that would be a scatter.
    right = _extended(bands.vertical, -3, height, padding)
    below = _extended(bands.horizontal, -2, width, padding)
    upper = jnp.concatenate([corner, right], axis=-2)
    lower = jnp.concatenate([below, bands.diagonal.astype(corner.dtype)], axis=-2)
    return jnp.concatenate([upper, lower], axis=-3)


def _extended(x: jax.Array, axis: int, size: int, padding: jax.Array) -> jax.Array:
    shape = list(x.shape)
    shape[axis] = size - shape[axis]
    # Not `lax.pad`: JAX 0.10 cannot differentiate it by the padding alone.
    rest = jnp.full(shape, padding)
    return jnp.concatenate([x.astype(padding.dtype), rest], axis)
