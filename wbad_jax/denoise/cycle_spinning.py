"""Averages of a function over shifted images, for functions that do not commute.

A decimated wavelet transform sees an image shifted by one pixel differently, and its
artefacts move along. Averaging over shifts takes most of them out.

Reference:
    Coifman and Donoho (1995), Translation-invariant de-noising, Wavelets and
    Statistics, Springer, section 3.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from wbad_jax.types import Images, Key
from wbad_jax.wavelets.linear_primitive import same_varying_axes

_HEIGHT, _WIDTH = -3, -2


def cycle_spin(
    function: Callable[[Images], Images],
    images: Images,
    max_shifts: int | tuple[int, int],
) -> Images:
    """Average `function` over all circular shifts up to `max_shifts` pixels.

    Shift, apply, shift back, as `skimage.restoration.cycle_spin`. The function is
    compiled once, whatever the number of shifts.

    Args:
        function: From images to images of the same height and width.
        images: `[*batch, height, width, channels]`.
        max_shifts: Largest shift along both axes, or along height and width;
            non-negative. `2**level - 1` exhausts the shifts that a wavelet transform
            of even-sized images tells apart.

    Returns:
        The mean of `(max_shifts + 1)**2` results.

    Raises:
        ValueError: If a shift is negative.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.denoise import cycle_spin
        >>> image = jnp.arange(16.0).reshape(1, 4, 4, 1)
        >>> same = cycle_spin(lambda shifted: shifted, image, max_shifts=1)
        >>> bool(jnp.allclose(same, image))
        True
    """
    shifts = (max_shifts,) * 2 if isinstance(max_shifts, int) else tuple(max_shifts)
    if not min(shifts) >= 0:
        raise ValueError(f"max_shifts must not be negative, got {max_shifts}.")
    spun = _sum_over_shifts(function, shifts[1], _WIDTH)
    total = _sum_over_shifts(spun, shifts[0], _HEIGHT)(images)
    return total / ((shifts[0] + 1) * (shifts[1] + 1))


def _sum_over_shifts(
    function: Callable[[Images], Images], largest: int, axis: int
) -> Callable[[Images], Images]:
    """Sum of the function over shifts along one axis, each shifted back."""
    if largest == 0:
        return function

    def summed(images: Images) -> Images:
        # From the largest shift down to 0, moving image and sum back by one pixel each
        # time: all shifts are static, so there are only slices, no gathers.
        def add_one(carry, _):
            shifted, total = carry
            total = jnp.roll(total, -1, axis) + function(shifted)
            return (jnp.roll(shifted, -1, axis), total), None

        start = jnp.roll(images, largest, axis)
        (_, total), _ = lax.scan(
            add_one, (start, _zeros_of(function, images)), length=largest + 1
        )
        return total

    return summed


def random_shifts(
    function: Callable[[Images], Images], images: Images, key: Key, count: int
) -> Images:
    """Average `function` over random circular shifts, the same for the whole batch.

    Shifts are uniform over the image, so the mean over keys is that over all shifts.

    Args:
        function: From images to images of the same height and width.
        images: `[*batch, height, width, channels]`.
        key: Random key.
        count: Number of shifts, at least 1.

    Returns:
        The mean of `count` results.

    Raises:
        ValueError: If `count` is below 1.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from wbad_jax.denoise import random_shifts
        >>> image = jnp.arange(16.0).reshape(1, 4, 4, 1)
        >>> same = random_shifts(lambda x: x, image, jax.random.key(0), 2)
        >>> bool(jnp.allclose(same, image))
        True
    """
    if not count >= 1:
        raise ValueError(f"count must be at least 1, got {count}.")
    sizes = jnp.asarray(images.shape[_HEIGHT:-1])
    shifts = jax.random.randint(key, (count, 2), 0, sizes)

    def add_one(total, shift):
        result = function(_roll(images, shift))
        return total + _roll(result, -shift), None

    total, _ = lax.scan(add_one, _zeros_of(function, images), shifts)
    return total / count


def _roll(images: Images, shift: jax.Array) -> Images:
    return jnp.roll(jnp.roll(images, shift[0], _HEIGHT), shift[1], _WIDTH)


def _zeros_of(function: Callable[[Images], Images], images: Images) -> Images:
    result = jax.eval_shape(function, images)
    zeros = jnp.zeros(result.shape, result.dtype)
    return same_varying_axes(images, zeros)[1]
