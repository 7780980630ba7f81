"""The wavelet denoiser: transform, shrink the details, transform back.

The approximation band passes untouched. A perturbation that lives in it therefore
passes too: no threshold protects against an attack confined to low frequencies.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from wbad_jax import wavelets
from wbad_jax.denoise.cycle_spinning import cycle_spin
from wbad_jax.denoise.decomposition import decompose, recompose
from wbad_jax.denoise.learned_thresholds import (
    Multiples,
    ThresholdPredictor,
    initial_raw_thresholds,
    positive,
)
from wbad_jax.denoise.noise_level import PerChannel, sigma_from_diagonal
from wbad_jax.denoise.settings import DenoiserSettings, fixed_thresholds
from wbad_jax.denoise.shrinkage import SHRINKAGE
from wbad_jax.denoise.surrogates import SMOOTH_SHRINKAGE
from wbad_jax.denoise.threshold_rules import (
    bayes_threshold,
    sure_threshold,
    universal_threshold,
)
from wbad_jax.gradient_replacement import replace_gradient
from wbad_jax.types import Images

Backward = Literal["exact", "identity", "smooth"]
BACKWARD_MODES: tuple[str, ...] = get_args(Backward)
# Thresholds as positive multiples of sigma: an array, or a function of the detail
# subbands and the noise level at each level.
Predictor = Callable[[Sequence[wavelets.Details], Sequence[PerChannel]], Multiples]
Learned = Float[Array, "..."] | Predictor


def wavelet_denoise(
    images: Images,
    settings: DenoiserSettings,
    learned: Learned | None = None,
    *,
    backward: Backward = "exact",
) -> Images:
    """Shrink the wavelet details of images.

    The backward pass is chosen at the call; the value is the same, bit for bit.
    "exact" differentiates what was computed. "identity" passes gradients straight
    through the denoiser (the backward pass differentiable approximation of Athalye et
    al. 2018). Straight through the shrinkage alone would be the same, since synthesis
    after analysis is the identity. "smooth" differentiates with every shrinkage
    function replaced by its surrogate of width `smooth_width` times the threshold, so
    that the dead zone passes gradients too.

    Args:
        images: `[*batch, height, width, channels]`.
        settings: Transform, shrinkage and threshold rule.
        learned: Positive multiples of sigma, needed by rules "learned" and
            "predicted": an array broadcastable to `[*batch, levels, 3, channels]`, with
            the coarsest level first and orientations horizontal, vertical, diagonal
            (`[levels, 3]` may be given without channels), or a function that returns
            one, see `ThresholdPredictor`.
        backward: "exact", "identity" or "smooth".

    Returns:
        Denoised images, same shape and dtype.

    Raises:
        ValueError: If rule "learned" or "predicted" comes without `learned`, thresholds
            do not fit the images, or `backward` is unknown.

    Examples:
        >>> import jax
        >>> from wbad_jax.denoise import DenoiserSettings, wavelet_denoise
        >>> noise = 0.1 * jax.random.normal(jax.random.key(0), (1, 32, 32, 1))
        >>> denoised = wavelet_denoise(noise, DenoiserSettings())
        >>> bool(denoised.std() < noise.std() / 2)
        True
    """
    if backward not in BACKWARD_MODES:
        raise ValueError(f"backward must be in {BACKWARD_MODES}, got {backward!r}.")
    images = jnp.asarray(images)
    if backward == "identity":
        denoised = wavelet_denoise(jax.lax.stop_gradient(images), settings, learned)
        return replace_gradient(denoised, images)

    height, width = images.shape[-3:-1]

    def denoise(shifted: Images) -> Images:
        approx, details = decompose(shifted, settings)
        shrunk = _shrink(details, images.shape, settings, learned, backward == "smooth")
        return recompose(approx, shrunk, settings, (height, width))

    return cycle_spin(denoise, images, settings.max_shifts)


def _shrink(
    details: list[wavelets.Details],
    image_shape: tuple[int, ...],
    settings: DenoiserSettings,
    learned: Learned | None,
    smooth: bool,
) -> list[wavelets.Details]:
    sigmas = noise_levels(details, settings)
    thresholds = detail_thresholds(details, sigmas, image_shape, settings, learned)
    shrink = SHRINKAGE[settings.shrinkage]
    surrogate = SMOOTH_SHRINKAGE[settings.shrinkage]

    def apply(band: Array, threshold: PerChannel) -> Array:
        if not smooth:
            return shrink(band, threshold)
        # All that follows is linear, so this is the gradient of the smooth denoiser.
        width = settings.smooth_width * threshold
        return replace_gradient(
            shrink(band, threshold), surrogate(band, threshold, width)
        )

    return [
        wavelets.Details(*map(apply, bands, level_thresholds))
        for bands, level_thresholds in zip(details, thresholds, strict=True)
    ]


def noise_levels(
    details: list[wavelets.Details], settings: DenoiserSettings
) -> list[PerChannel]:
    """The noise level at every level, coarsest first: estimated, or as set."""
    finest = details[-1].diagonal
    if settings.sigma is not None or settings.threshold_rule == "fixed":
        shape = (*finest.shape[:-3], 1, 1, finest.shape[-1])
        return [jnp.full(shape, settings.sigma or 0.0, finest.dtype)] * len(details)
    constant = not settings.sigma_gradient
    if settings.level_noise:
        return [
            sigma_from_diagonal(bands.diagonal, stop_gradient=constant)
            for bands in details
        ]
    return [sigma_from_diagonal(finest, stop_gradient=constant)] * len(details)


def detail_thresholds(
    details: list[wavelets.Details],
    sigmas: list[PerChannel],
    image_shape: tuple[int, ...],
    settings: DenoiserSettings,
    learned: Learned | None = None,
) -> list[list[PerChannel]]:
    """The threshold of every detail subband, coarsest level first."""
    rule = settings.threshold_rule
    if rule in ("learned", "predicted") and learned is None:
        raise ValueError(f"threshold_rule {rule!r} needs the argument `learned`.")
    if rule in ("fixed", "learned", "predicted"):
        if rule == "fixed":
            field, table = "threshold", jnp.asarray(fixed_thresholds(settings))
            sigmas = [jnp.ones_like(sigma) for sigma in sigmas]
        else:
            field = "learned"
            table = learned(details, sigmas) if callable(learned) else learned
        return _from_table(field, table, sigmas)
    num_pixels = image_shape[-3] * image_shape[-2]

    def threshold(coefficients: Array, sigma: PerChannel) -> PerChannel:
        if rule == "universal":
            return universal_threshold(sigma, num_pixels)
        if rule == "bayes":
            return bayes_threshold(coefficients, sigma)
        return sure_threshold(coefficients, sigma)

    return [
        [threshold(band, sigma) for band in bands]
        for bands, sigma in zip(details, sigmas, strict=True)
    ]


def _from_table(
    field: str, table: Any, sigmas: list[PerChannel]
) -> list[list[PerChannel]]:
    """Products of sigma and a table `[*batch, levels, 3, channels]`."""
    table = jnp.asarray(table, sigmas[0].dtype)
    if table.ndim == 2:
        table = table[..., None]
    *batch, _, _, channels = sigmas[0].shape
    wanted = (*batch, len(sigmas), 3, channels)
    try:
        table = jnp.broadcast_to(table, wanted)
    except ValueError:
        raise ValueError(
            f"{field} must be broadcastable to [levels, 3, channels] = {wanted[-3:]}, "
            f"got shape {table.shape}."
        ) from None
    return [
        [sigma * table[..., level, o, None, None, :] for o in range(3)]
        for level, sigma in enumerate(sigmas)
    ]


class Denoiser(nnx.Module):
    """`wavelet_denoise` as a Flax module, holding what is learned, if anything.

    Learned thresholds are `sigma * softplus(raw)`: positive by construction,
    differentiable in image and parameter. `raw` holds one value for each level and
    orientation, more or fewer with another `sharing`.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.denoise import Denoiser, DenoiserSettings
        >>> denoiser = Denoiser(DenoiserSettings(threshold_rule="universal"))
        >>> denoiser(jnp.ones((1, 8, 8, 1))).shape
        (1, 8, 8, 1)
    """

    def __init__(
        self,
        settings: DenoiserSettings,
        num_pixels: int = 64 * 64,
        num_channels: int = 1,
        *,
        rngs: nnx.Rngs | None = None,
    ):
        """Create the parameters.

        Args:
            settings: Transform, shrinkage and threshold rule.
            num_pixels: Height x width of the images; sets where learned thresholds
                start.
            num_channels: Channels of the images.
            rngs: Key stream `params`, for rule "predicted"; by default of seed 0.
        """
        self.settings = settings
        if settings.threshold_rule == "learned":
            start = initial_raw_thresholds(settings, num_pixels, num_channels)
            self.raw_thresholds = nnx.Param(start)
        if settings.threshold_rule == "predicted":
            rngs = nnx.Rngs(params=0) if rngs is None else rngs
            self.predictor = ThresholdPredictor(settings, num_pixels, rngs=rngs)

    def thresholds(self, images: Images | None = None) -> Float[Array, "..."] | None:
        """Learned thresholds as multiples of sigma, `[levels, 3]` by default.

        Args:
            images: `[*batch, height, width, channels]`, needed by rule "predicted"
                alone, whose thresholds are `[*batch, levels, 3, channels]`.

        Returns:
            None for rules without parameters, and for "predicted" without images.
        """
        if self.settings.threshold_rule == "learned":
            return positive(self.raw_thresholds[...])
        if self.settings.threshold_rule != "predicted" or images is None:
            return None
        _, details = decompose(jnp.asarray(images), self.settings)
        return self.predictor(details, noise_levels(details, self.settings))

    def pixel_thresholds(self, images: Images) -> list[list[PerChannel]]:
        """Thresholds in pixel units, by level (coarsest first) and orientation.

        Args:
            images: `[*batch, height, width, channels]`.
        """
        images = jnp.asarray(images)
        _, details = decompose(images, self.settings)
        sigmas = noise_levels(details, self.settings)
        return detail_thresholds(
            details, sigmas, images.shape, self.settings, self._learned
        )

    @property
    def _learned(self) -> Learned | None:
        predicted = self.settings.threshold_rule == "predicted"
        return self.predictor if predicted else self.thresholds()

    def __call__(self, images: Images, *, backward: Backward = "exact") -> Images:
        """Denoise images; see `wavelet_denoise`."""
        return wavelet_denoise(images, self.settings, self._learned, backward=backward)
