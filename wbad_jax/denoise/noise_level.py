"""Noise level of an image from its finest diagonal subband."""

import jax
from jaxtyping import Array, Float

from wbad_jax import wavelets
from wbad_jax.denoise.median import median_magnitude
from wbad_jax.types import Images

# Median of |N(0, 1)|: the 75 % quantile of the standard normal law.
_MEDIAN_OF_ABSOLUTE_NORMAL = 0.6744897501960817

PerChannel = Float[Array, "*batch 1 1 channels"]


def noise_sigma(
    images: Images,
    wavelet: str = "haar",
    mode: str = "symmetric",
    *,
    stop_gradient: bool = True,
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
        stop_gradient: Whether the estimate is a constant to differentiation. Its
            gradient is that of a median: the one or two middle coefficients of each
            image carry all of it, which says little of how the estimate behaves.

    Returns:
        `[*batch, 1, 1, channels]`, units of `images`.

    Reference:
        Donoho and Johnstone (1994), Ideal spatial adaptation by wavelet shrinkage,
        Biometrika 81(3), section 4.2.

    Examples:
        >>> import jax
        >>> from wbad_jax.denoise import noise_sigma
        >>> noise = 0.1 * jax.random.normal(jax.random.key(0), (1, 64, 64, 1))
        >>> round(float(noise_sigma(noise).squeeze()), 2)
        0.1
    """
    if stop_gradient:
        images = jax.lax.stop_gradient(images)
    diagonal = wavelets.dwt2(images, wavelet, mode).diagonal
    return sigma_from_diagonal(diagonal, stop_gradient=stop_gradient)


def sigma_from_diagonal(
    diagonal: Float[Array, "*batch height width channels"],
    *,
    stop_gradient: bool = True,
) -> PerChannel:
    """The estimate of `noise_sigma`, from a diagonal subband already at hand."""
    median = median_magnitude(diagonal, stop_gradient=stop_gradient)
    return median / _MEDIAN_OF_ABSOLUTE_NORMAL
