"""Thresholds that are trained: parameters, or a small network that reads the image.

Both are positive multiples of sigma, one for each level (coarsest first), orientation
(horizontal, vertical, diagonal) and channel, and start at the universal threshold.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from wbad_jax import wavelets
from wbad_jax.denoise.noise_level import PerChannel
from wbad_jax.denoise.settings import DenoiserSettings
from wbad_jax.denoise.threshold_rules import universal_threshold

Multiples = Float[Array, "*batch levels 3 channels"]

_HIDDEN_UNITS = 16
# Pixel units: far below any image's noise. It keeps logarithms of zero statistics
# finite; of a silent subband without noise all ratios are 1.
_FLOOR = 1e-6


def positive(raw: ArrayLike) -> Array:
    """Map unconstrained learned parameters to thresholds above zero (softplus)."""
    return jax.nn.softplus(jnp.asarray(raw))


def inverse_positive(value: ArrayLike) -> Array:
    """The parameter that `positive` maps to `value`."""
    value = jnp.asarray(value)
    return value + jnp.log(-jnp.expm1(-value))


def initial_raw_thresholds(
    settings: DenoiserSettings, num_pixels: int, num_channels: int
) -> Array:
    """Parameters of rule "learned" at the start.

    Args:
        settings: Of them `level`, `sharing` and `initial_scale` are used.
        num_pixels: Height x width of the images.
        num_channels: Channels of the images.

    Returns:
        `[1, 1, 1]`, `[levels, 1, 1]`, `[levels, 3]` or `[levels, 3, channels]` for
        sharing "image", "level", "subband" and "channel".
    """
    shape = {
        "image": (1, 1, 1),
        "level": (settings.level, 1, 1),
        "subband": (settings.level, 3),
        "channel": (settings.level, 3, num_channels),
    }[settings.sharing]
    return jnp.full(shape, _raw_start(settings.initial_scale, num_pixels))


def _raw_start(scale: float, num_pixels: int) -> Array:
    return inverse_positive(scale * universal_threshold(jnp.ones(()), num_pixels))


class ThresholdPredictor(nnx.Module):
    """Two layers from the statistics of each subband to its threshold.

    The statistics are the logarithms of root mean square over sigma, mean magnitude
    over sigma, and kurtosis, with level and orientation one-hot: how much signal there
    is, and how sparse. One network serves all subbands and channels. The last layer
    starts at zero, so that training starts from the universal threshold.

    Examples:
        >>> from flax import nnx
        >>> from wbad_jax.denoise import Denoiser, DenoiserSettings
        >>> settings = DenoiserSettings(threshold_rule="predicted")
        >>> denoiser = Denoiser(settings, rngs=nnx.Rngs(params=0))
        >>> len(nnx.to_flat_state(nnx.state(denoiser, nnx.Param))) > 0
        True
    """

    def __init__(self, settings: DenoiserSettings, num_pixels: int, *, rngs: nnx.Rngs):
        """Create the parameters.

        Args:
            settings: Of them `level` and `initial_scale` are used.
            num_pixels: Height x width of the images.
            rngs: Key stream `params`.
        """
        self.hidden = nnx.Linear(3 + settings.level + 3, _HIDDEN_UNITS, rngs=rngs)
        start = _raw_start(settings.initial_scale, num_pixels)
        self.last = nnx.Linear(
            _HIDDEN_UNITS,
            1,
            kernel_init=nnx.initializers.zeros,
            bias_init=nnx.initializers.constant(start),
            rngs=rngs,
        )

    def __call__(
        self, details: Sequence[wavelets.Details], sigmas: Sequence[PerChannel]
    ) -> Multiples:
        """Predict thresholds as multiples of sigma.

        Args:
            details: Detail subbands, coarsest level first.
            sigmas: Noise level at each level, `[*batch, 1, 1, channels]`.

        Returns:
            `[*batch, levels, 3, channels]`.
        """
        features = subband_features(details, sigmas)
        return positive(self.last(jnp.tanh(self.hidden(features)))[..., 0])


def subband_features(
    details: Sequence[wavelets.Details], sigmas: Sequence[PerChannel]
) -> Float[Array, "*batch levels 3 channels features"]:
    """The inputs of `ThresholdPredictor`: three statistics, level, orientation."""
    rows = [
        jnp.stack([_statistics(band, sigma) for band in bands], axis=-3)
        for bands, sigma in zip(details, sigmas, strict=True)
    ]
    statistics = jnp.stack(rows, axis=-4)
    *batch, levels, orientations, channels, _ = statistics.shape
    level = jnp.eye(levels, dtype=statistics.dtype)[:, None, None]
    orientation = jnp.eye(orientations, dtype=statistics.dtype)[:, None]
    shape = (*batch, levels, orientations, channels)
    one_hot = [jnp.broadcast_to(x, (*shape, x.shape[-1])) for x in (level, orientation)]
    return jnp.concatenate([statistics, *one_hot], axis=-1)


def _statistics(band: Array, sigma: PerChannel) -> Array:
    """`[*batch, channels, 3]`, finite with finite gradients also without noise."""

    def mean(x: Array) -> Array:
        return jnp.mean(x, axis=(-3, -2))

    square = mean(jnp.square(band)) + _FLOOR**2
    noise = jnp.log(jnp.square(sigma[..., 0, 0, :]) + _FLOOR**2)
    root = jnp.sqrt(square)
    # Divided before the fourth power, which would otherwise leave the range.
    kurtosis = mean(jnp.square(jnp.square(band / root[..., None, None, :]))) + _FLOOR
    size = mean(jnp.abs(band)) + _FLOOR
    half = 0.5 * noise
    logs = [0.5 * jnp.log(square) - half, jnp.log(size) - half, jnp.log(kurtosis)]
    return jnp.stack(logs, axis=-1)
