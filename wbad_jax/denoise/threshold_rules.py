"""How large a threshold should be, from the noise level and the coefficients.

Rules take one detail subband `[*batch, height, width, channels]` and the noise level
`sigma` `[*batch, 1, 1, channels]`, and return a threshold shaped like `sigma`.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

Subband = Float[Array, "*batch height width channels"]
PerChannel = Float[Array, "*batch 1 1 channels"]


def universal_threshold(sigma: PerChannel, num_pixels: int) -> PerChannel:
    """`sigma * sqrt(2 ln n)`: with high probability removes all white noise.

    Args:
        sigma: Noise level, `[*batch, 1, 1, channels]`.
        num_pixels: Pixels of the image, height x width.

    Returns:
        Threshold, shape of `sigma`.

    Reference:
        Donoho and Johnstone (1994), Biometrika 81(3), section 2.2 (VisuShrink).
    """
    return sigma * jnp.sqrt(2 * jnp.log(jnp.asarray(num_pixels, sigma.dtype)))


def bayes_threshold(coefficients: Subband, sigma: PerChannel) -> PerChannel:
    """`sigma**2 / sigma_x`: near-optimal for Gaussian-like coefficients.

    `sigma_x**2 = mean(c**2) - sigma**2` is the variance of the clean subband. Where it
    vanishes the subband is taken for noise and the threshold is its largest magnitude.

    Args:
        coefficients: Detail subband.
        sigma: Noise level, `[*batch, 1, 1, channels]`.

    Returns:
        Threshold, shape of `sigma`.

    Reference:
        Chang, Yu and Vetterli (2000), Adaptive wavelet thresholding for image denoising
        and compression, IEEE Trans. Image Processing 9(9), equations 12 to 17.
    """
    variance = jnp.square(sigma)
    energy = jnp.mean(jnp.square(coefficients), axis=(-3, -2), keepdims=True)
    # The floor, relative to the noise, keeps the gradient finite as sigma_x -> 0. The
    # tiny constant serves noise-free images, whose threshold is then 0.
    floor = jnp.finfo(coefficients.dtype).eps * variance
    tiny = jnp.finfo(coefficients.dtype).tiny
    clean = jnp.maximum(energy - variance, jnp.maximum(floor, tiny))
    largest = jnp.max(jnp.abs(coefficients), axis=(-3, -2), keepdims=True)
    return jnp.minimum(variance / jnp.sqrt(clean), largest)


def sure_threshold(coefficients: Subband, sigma: PerChannel) -> PerChannel:
    """The soft threshold of least estimated risk (Stein's unbiased risk estimate).

    `SURE(t) = n sigma**2 - 2 sigma**2 #{|c| <= t} + sum min(|c|, t)**2` is piecewise
    increasing, so its minimum over `[0, sigma sqrt(2 ln n)]` lies at 0 or at one of the
    `|c|`: all are compared, by one sort. The choice itself carries no gradient; through
    the chosen coefficient the threshold is differentiable. (The plain derivative of
    SURE has the wrong sign, since the count is flat almost everywhere.)

    Args:
        coefficients: Detail subband of an orthonormal transform.
        sigma: Noise level, `[*batch, 1, 1, channels]`.

    Returns:
        Threshold, shape of `sigma`.

    Reference:
        Donoho and Johnstone (1995), Adapting to unknown smoothness via wavelet
        shrinkage, JASA 90(432), section 2.3.
    """
    *batch, height, width, channels = coefficients.shape
    count = height * width
    magnitude = jnp.abs(coefficients).reshape(*batch, count, channels)
    ordered = jnp.sort(magnitude, axis=-2)
    ordered = jnp.concatenate([jnp.zeros_like(ordered[..., :1, :]), ordered], axis=-2)
    noise = sigma.reshape(*batch, 1, channels)
    squares = jnp.square(ordered)
    number = jnp.arange(count + 1, dtype=ordered.dtype)[:, None]
    clipped = jnp.cumsum(squares, axis=-2) + (count - number) * squares
    risk = (count - 2 * number) * jnp.square(noise) + clipped
    allowed = ordered <= universal_threshold(noise, count)
    best = jnp.argmin(jnp.where(allowed, risk, jnp.inf), axis=-2, keepdims=True)
    best = jax.lax.stop_gradient(best)
    return jnp.take_along_axis(ordered, best, axis=-2).reshape(sigma.shape)


def positive(raw: ArrayLike) -> Array:
    """Map unconstrained learned parameters to thresholds above zero (softplus)."""
    return jax.nn.softplus(jnp.asarray(raw))


def inverse_positive(value: ArrayLike) -> Array:
    """The parameter that `positive` maps to `value`."""
    value = jnp.asarray(value)
    return value + jnp.log(-jnp.expm1(-value))
