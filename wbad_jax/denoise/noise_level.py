"""Noise level of an image from its finest diagonal subband."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wbad_jax import wavelets
from wbad_jax.types import Images

# Median of |N(0, 1)|: the 75 % quantile of the standard normal law.
_MEDIAN_OF_ABSOLUTE_NORMAL = 0.6744897501960817

PerChannel = Float[Array, "*batch 1 1 channels"]


def noise_sigma(
    images: Images, wavelet: str = "haar", mode: str = "symmetric"
) -> PerChannel:
    """Estimate the standard deviation of white noise, per image and channel.

    The finest diagonal subband of a smooth image is nearly pure noise, of the same
    standard deviation as in the image; its median absolute value is robust against the
    few large coefficients of edges. An attacker can move the estimate: aligned
    checkerboards of amplitude epsilon shift it by up to about 3 epsilon.

    Args:
        images: `[*batch, height, width, channels]`.
        wavelet: PyWavelets name.
        mode: Boundary mode.

    Returns:
        `[*batch, 1, 1, channels]`, units of `images`. Its gradient is that of the
        median: one or two coefficients of each image carry it.

    Reference:
        Donoho and Johnstone (1994), Ideal spatial adaptation by wavelet shrinkage,
        Biometrika 81(3), section 4.2.
    """
    diagonal = wavelets.dwt2(images, wavelet, mode).diagonal
    return sigma_from_diagonal(diagonal)


def sigma_from_diagonal(
    diagonal: Float[Array, "*batch height width channels"],
) -> PerChannel:
    """The estimate of `noise_sigma`, from a diagonal subband already at hand."""
    return median_magnitude(diagonal) / _MEDIAN_OF_ABSOLUTE_NORMAL


def median_magnitude(
    coefficients: Float[Array, "*batch height width channels"],
) -> PerChannel:
    """Median of `|coefficients|` over height and width.

    Bisection on counts instead of `jnp.median`, whose full sort costs more on CPU than
    the wavelet transform itself. The bracket carries no gradient; the order statistics
    picked inside it do, so the result is differentiable like the median.
    """
    magnitude = jnp.abs(coefficients)
    count = magnitude.shape[-3] * magnitude.shape[-2]
    rank = (count - 1) // 2 + 1  # of the lower middle element, counted from 1
    # Floats above zero are ordered like their bits read as integers. On these the
    # bisection ends at an element, however small that is beside the largest.
    width = jnp.finfo(magnitude.dtype).bits
    bits = jax.lax.bitcast_convert_type(
        jax.lax.stop_gradient(magnitude), jnp.dtype(f"int{width}")
    )

    def number_up_to(level):
        return jnp.sum(bits <= level, axis=(-3, -2), keepdims=True)

    def halve(_, bracket):
        low, high = bracket
        middle = low + (high - low) // 2
        enough = number_up_to(middle) >= rank
        return jnp.where(enough, low, middle), jnp.where(enough, middle, high)

    high = jnp.max(bits, axis=(-3, -2), keepdims=True)
    _, high = jax.lax.fori_loop(0, width - 1, halve, (-jnp.ones_like(high), high))
    below = bits <= high
    lower = jnp.max(jnp.where(below, magnitude, 0), axis=(-3, -2), keepdims=True)
    if count % 2:
        return lower
    above = jnp.min(jnp.where(below, jnp.inf, magnitude), axis=(-3, -2), keepdims=True)
    # The element after the lower middle one: equal to it where values repeat.
    repeated = number_up_to(high) > rank
    return 0.5 * (lower + jnp.where(repeated, lower, above))
