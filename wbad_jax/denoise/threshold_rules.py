"""How large a threshold should be, from the noise level and the coefficients.

Rules take one detail subband `[*batch, height, width, channels]` and the noise level
`sigma` `[*batch, 1, 1, channels]`, and return a threshold shaped like `sigma`.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wbad_jax.denoise.noise_level import PerChannel
from wbad_jax.denoise.surrogates import zhang_slope, zhang_soft_threshold
from wbad_jax.gradient_replacement import replace_gradient

Subband = Float[Array, "*batch height width channels"]


def universal_threshold(sigma: PerChannel, num_pixels: int) -> PerChannel:
    """`sigma * sqrt(2 ln n)`: with high probability removes all white noise.

    Args:
        sigma: Noise level, `[*batch, 1, 1, channels]`.
        num_pixels: Pixels of the image, height x width.

    Returns:
        Threshold, shape of `sigma`.

    Reference:
        Donoho and Johnstone (1994), Biometrika 81(3), section 2.2 (VisuShrink).

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.denoise import universal_threshold
        >>> sigma = jnp.full((1, 1, 1, 1), 0.1)
        >>> round(float(universal_threshold(sigma, 64 * 64).squeeze()), 3)
        0.408
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
        Threshold, shape of `sigma`; its gradient is zero where it is the largest
        magnitude.

    Reference:
        Chang, Yu and Vetterli (2000), Adaptive wavelet thresholding for image denoising
        and compression, IEEE Trans. Image Processing 9(9), equations 12 to 17.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.denoise import bayes_threshold
        >>> band = jnp.array([3.0, -5.0, 4.0, -4.0]).reshape(1, 2, 2, 1)
        >>> sigma = jnp.ones((1, 1, 1, 1))
        >>> round(float(bayes_threshold(band, sigma).squeeze()), 3)
        0.254
    """
    variance = jnp.square(sigma)
    energy = jnp.mean(jnp.square(coefficients), axis=(-3, -2), keepdims=True)
    # The floor, relative to the noise, keeps the gradient finite as sigma_x -> 0. The
    # tiny constant serves noise-free images, whose threshold is then 0.
    floor = jnp.finfo(coefficients.dtype).eps * variance
    tiny = jnp.finfo(coefficients.dtype).tiny
    clean = jnp.maximum(energy - variance, jnp.maximum(floor, tiny))
    # As a threshold the largest magnitude leaves nothing, so its gradient would reach
    # nothing. That of a maximum compares values, and has given 0 / 0.
    magnitude = jnp.abs(jax.lax.stop_gradient(coefficients))
    largest = jnp.max(magnitude, axis=(-3, -2), keepdims=True)
    threshold = variance / jnp.sqrt(clean)
    return jnp.where(threshold < largest, threshold, largest)


def sure_risk(
    coefficients: Subband,
    threshold: PerChannel,
    sigma: PerChannel,
    *,
    smoothing: float = 0.1,
) -> PerChannel:
    """Stein's unbiased estimate of the squared error of soft shrinkage, with gradients.

    The value is `n sigma**2 - 2 sigma**2 #{|c| <= t} + sum min(|c|, t)**2`. Its own
    derivative by `t` misses the count, which is flat almost everywhere, and has the
    wrong sign. The gradients are those of the general form
    `|f(c) - c|**2 - n sigma**2 + 2 sigma**2 sum f'(c)` for the smooth shrinkage `f` of
    Zhang: unbiased as the smoothing vanishes, ever noisier as it does.

    Args:
        coefficients: Detail subband of an orthonormal transform.
        threshold: Non-negative, `[*batch, 1, 1, channels]`.
        sigma: Noise level, `[*batch, 1, 1, channels]`.
        smoothing: Width of the smooth shrinkage, as a multiple of `sigma`.

    Returns:
        Estimated sum of squared errors, `[*batch, 1, 1, channels]`, squared units.

    Raises:
        ValueError: If `smoothing` is not positive.

    Reference:
        Donoho and Johnstone (1995), JASA 90(432), equation 11; Zhang (2001), IEEE
        Trans. Neural Networks 12(3).

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.denoise import sure_risk
        >>> band = jnp.array([3.0, -5.0, 0.1, -0.2]).reshape(1, 2, 2, 1)
        >>> one = jnp.ones((1, 1, 1, 1))
        >>> sure_risk(band, one, one).shape
        (1, 1, 1, 1)
    """
    if not smoothing > 0:
        raise ValueError(f"smoothing must be positive, got {smoothing}.")
    count = coefficients.shape[-3] * coefficients.shape[-2]
    noise = jnp.square(sigma)

    def total(x: Array) -> Array:
        return jnp.sum(x, axis=(-3, -2), keepdims=True)

    magnitude = jnp.abs(coefficients)
    below = total((magnitude <= threshold).astype(coefficients.dtype))
    clipped = total(jnp.square(jnp.minimum(magnitude, threshold)))
    value = (count - 2 * below) * noise + clipped
    width = smoothing * sigma
    removed = zhang_soft_threshold(coefficients, threshold, width) - coefficients
    slope = total(zhang_slope(coefficients, threshold, width))
    smooth = total(jnp.square(removed)) + (2 * slope - count) * noise
    return replace_gradient(value, smooth)


def sure_threshold(coefficients: Subband, sigma: PerChannel) -> PerChannel:
    """The soft threshold of least estimated risk (Stein's unbiased risk estimate).

    The estimate, see `sure_risk`, is piecewise increasing in the threshold, so its
    minimum over `[0, sigma sqrt(2 ln n)]` lies at 0 or at one of the `|c|`: all are
    compared, by one sort. The choice itself carries no gradient; through the chosen
    coefficient the threshold is differentiable.

    Args:
        coefficients: Detail subband of an orthonormal transform.
        sigma: Noise level, `[*batch, 1, 1, channels]`.

    Returns:
        Threshold, shape of `sigma`.

    Reference:
        Donoho and Johnstone (1995), Adapting to unknown smoothness via wavelet
        shrinkage, JASA 90(432), section 2.3.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.denoise import sure_threshold
        >>> band = jnp.array([3.0, -5.0, 0.1, -0.2]).reshape(1, 2, 2, 1)
        >>> sure_threshold(band, jnp.ones((1, 1, 1, 1))).shape
        (1, 1, 1, 1)
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
