"""Median of magnitudes, exact, without a sort.

On CPU a sort costs far more than the wavelet transform around it. Here a window that
holds the middle elements is narrowed by counting the elements up to three pivots at a
time, about five passes over the data for smooth distributions, at most some twenty:
always so many where devices may share the rows.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from wbad_jax.gradient_replacement import replace_gradient

Coefficients = Float[Array, "*batch height width channels"]
Rows = Int[Array, "*batch channels count"]
PerRow = Int[Array, "*batch channels 1"]

# First pivots, as multiples of the mean magnitude: between them lie the medians of
# normal (0.85), Laplace (0.69) and uniform (1) noise.
_FIRST_PIVOTS = (0.5, 0.73, 1.1)
# Later pivots: standard deviations about the expected place of the middle.
_SPREAD = (-1.3, 0.0, 1.3)
# From this step on the window is divided evenly in the space of bits, where each step
# gains two of at most 63 bits: many equal elements defeat interpolation.
_INTERPOLATION_STEPS = 6


class _Window(NamedTuple):
    """The middle element lies above `low` and not above `high`, both bit patterns.

    Attributes:
        low: Lower end, excluded.
        high: Upper end, included.
        up_to_low: Number of elements not above `low`, less than the rank sought.
        up_to_high: Number of elements not above `high`, at least the rank.
    """

    low: PerRow
    high: PerRow
    up_to_low: PerRow
    up_to_high: PerRow


def median_magnitude(
    coefficients: Coefficients, *, stop_gradient: bool = False
) -> Float[Array, "*batch 1 1 channels"]:
    """Median of `|coefficients|` over height and width, equal to `jnp.median`.

    Args:
        coefficients: `[*batch, height, width, channels]`.
        stop_gradient: Whether to do without a gradient, which saves memory and, outside
            of `jax.jit`, time.

    Returns:
        `[*batch, 1, 1, channels]`, same dtype. Its gradient goes to the one or two
        middle elements, in equal shares where several elements are equal to them.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.denoise import median_magnitude
        >>> band = jnp.array([1.0, -2.0, 3.0, -8.0, 5.0]).reshape(1, 1, 5, 1)
        >>> print(median_magnitude(band).ravel())
        [3.]
    """
    # Half-precision types have no room for the pivots; the conversion is exact.
    wide = coefficients
    if coefficients.dtype.itemsize < 4:
        wide = coefficients.astype(jnp.float32)
    lower, upper = _middle_pair(
        _bits_in_rows(lax.stop_gradient(wide)),
        dtype=str(wide.dtype),
        shared=jax.device_count() > 1,
    )
    shape = (*coefficients.shape[:-3], 1, 1, coefficients.shape[-1])
    lower, upper = (
        lax.bitcast_convert_type(bits, wide.dtype).reshape(shape)
        for bits in (lower, upper)
    )
    median = 0.5 * (lower + upper)
    if not stop_gradient:
        magnitude = jnp.abs(wide)
        shares = [_mean_where_equal(magnitude, value) for value in (lower, upper)]
        median = replace_gradient(median, 0.5 * (shares[0] + shares[1]))
    return median.astype(coefficients.dtype)


def _mean_where_equal(magnitude: Array, value: Array) -> Array:
    """The elements equal to `value`, averaged; at least one is.

    A mean over positions, not the derivative of a maximum: that compares values a
    second time, and compiled without optimisation it has given 0 / 0.
    """
    here = (lax.stop_gradient(magnitude) == value).astype(magnitude.dtype)
    number = jnp.sum(here, axis=(-3, -2), keepdims=True)
    total = jnp.sum(magnitude * here, axis=(-3, -2), keepdims=True)
    return total / jnp.maximum(number, 1)


def _bits_in_rows(coefficients: Coefficients) -> Rows:
    """Magnitudes as integers, in the same order, one row an image and channel."""
    bits = lax.bitcast_convert_type(coefficients, _integer(coefficients.dtype))
    *batch, height, width, channels = coefficients.shape
    rows = bits.reshape(*batch, height * width, channels)
    # One channel needs no transposition, for which XLA:CPU would copy twice.
    axes = (*range(len(batch)), rows.ndim - 1, rows.ndim - 2)
    rows = jnp.transpose(rows, axes) if channels > 1 else rows.reshape(*batch, 1, -1)
    return rows & jnp.iinfo(rows.dtype).max  # clears the sign


def _integer(dtype) -> jnp.dtype:
    return jnp.dtype(f"int{jnp.finfo(dtype).bits}")


# Compiled by itself: outside of `jax.jit` the loop would be compiled at every call.
@functools.partial(jax.jit, static_argnames=("dtype", "shared"))
def _middle_pair(bits: Rows, dtype: str, shared: bool) -> tuple[PerRow, PerRow]:
    """The two middle elements of each row; of an odd number, the same one twice.

    Rows that devices may share are narrowed as often as any row can need. To stop early
    the devices would have to ask each other after each step, and those of a CPU can
    wait for each other forever.
    """
    count = bits.shape[-1]
    rank = (count + 1) // 2  # of the lower middle element, counted from 1

    def unfinished(state):
        return jnp.any(~_decided(state[1], rank, count))

    def narrow(state):
        step, window = state
        pivots = _pivots(step, window, rank - 0.5 * (count % 2), dtype)
        return step + 1, _narrowed(bits, window, pivots, rank)

    start = jnp.int32(1), _first_window(bits, rank, dtype)
    if shared:
        most = _INTERPOLATION_STEPS + jnp.iinfo(bits.dtype).bits // 2
        _, window = lax.fori_loop(0, most, lambda _, state: narrow(state), start)
    else:
        _, window = lax.while_loop(unfinished, narrow, start)
    exactly = window.up_to_high == rank
    # If the window ends with the lower middle element the upper one is next above it;
    # else both are in the window and are all that is in it.
    first, last = _extremes(bits, jnp.where(exactly, window.high, window.low), window)
    if count % 2:
        middle = jnp.where(exactly, last, first)
        return middle, middle
    return jnp.minimum(first, last), jnp.maximum(first, last)


def _first_window(bits: Rows, rank: int, dtype) -> _Window:
    ones = jnp.ones_like(bits[..., :1])
    everything = _Window(-ones, ones * jnp.iinfo(bits.dtype).max, 0 * ones, 0 * ones)
    everything = everything._replace(up_to_high=ones * bits.shape[-1])
    magnitude = lax.bitcast_convert_type(bits, dtype)
    mean = jnp.mean(magnitude, axis=-1, keepdims=True)
    pivots = [lax.bitcast_convert_type(m * mean, bits.dtype) for m in _FIRST_PIVOTS]
    return _narrowed(bits, everything, _inside(everything, pivots), rank)


def _decided(window: _Window, rank: int, count: int) -> Array:
    """Whether the window leaves no doubt about the middle elements."""
    start = window.up_to_low == rank - 1
    both = start if count % 2 else start & (window.up_to_high == rank + 1)
    one_value = window.high - window.low <= 1
    return (window.up_to_high == rank) | both | one_value


def _pivots(step: Array, window: _Window, target: float, dtype) -> list[PerRow]:
    """Where to cut the window: about the expected place of the middle, or evenly."""
    low, high = window.low, window.high
    number = (window.up_to_high - window.up_to_low).astype(dtype)
    place = (target - window.up_to_low.astype(dtype)) / number
    # The half keeps pivots apart where the place is close to an end.
    deviation = jnp.sqrt(place * (1 - place) / number) + 0.5 / number
    few = number <= len(_SPREAD) + 1
    ends = [lax.bitcast_convert_type(end, dtype) for end in (jnp.maximum(low, 0), high)]
    pivots = []
    for i, spread in enumerate(_SPREAD, 1):
        fraction = i / (len(_SPREAD) + 1)
        wanted = jnp.clip(place + spread * deviation, 0.02, 0.98)
        wanted = jnp.where(few, fraction, wanted)
        between = ends[0] + wanted * (ends[1] - ends[0])
        interpolated = lax.bitcast_convert_type(between, low.dtype)
        divided = low + ((high >> 2) - (low >> 2)) * i
        pivots.append(jnp.where(step < _INTERPOLATION_STEPS, interpolated, divided))
    return _inside(window, pivots)


def _inside(window: _Window, pivots: list[PerRow]) -> list[PerRow]:
    """Keeps pivots off the ends, so that every step makes the window smaller."""
    return [jnp.clip(p, window.low + 1, window.high - 1) for p in pivots]


def _narrowed(bits: Rows, window: _Window, pivots: list[PerRow], rank: int) -> _Window:
    """The window cut at ascending `pivots`."""
    # One reduction with several results: XLA:CPU vectorises it, unlike single sums.
    counts = lax.reduce(
        tuple((bits <= pivot).astype(bits.dtype) for pivot in pivots),
        (jnp.zeros((), bits.dtype),) * len(pivots),
        lambda x, y: tuple(a + b for a, b in zip(x, y, strict=True)),
        (bits.ndim - 1,),
    )
    counts = [count[..., None] for count in counts]
    low, high, up_to_low, up_to_high = window
    cuts = list(zip(pivots, counts, strict=True))
    for pivot, count in cuts:
        short = count < rank
        low = jnp.where(short, pivot, low)
        up_to_low = jnp.where(short, count, up_to_low)
    for pivot, count in reversed(cuts):
        enough = count >= rank
        high = jnp.where(enough, pivot, high)
        up_to_high = jnp.where(enough, count, up_to_high)
    return _Window(low, high, up_to_low, up_to_high)


def _extremes(bits: Rows, above: PerRow, window: _Window) -> tuple[PerRow, PerRow]:
    """The least element above `above` and the largest one in the window."""
    largest = jnp.array(jnp.iinfo(bits.dtype).max, bits.dtype)
    first, last = lax.reduce(
        (
            jnp.where(bits > above, bits, largest),
            jnp.where(bits <= window.high, bits, 0),
        ),
        (largest, jnp.zeros((), bits.dtype)),
        lambda x, y: (jnp.minimum(x[0], y[0]), jnp.maximum(x[1], y[1])),
        (bits.ndim - 1,),
    )
    return first[..., None], last[..., None]
