"""The wavelet denoiser: transform, shrink the details, transform back.

The approximation band passes untouched. A perturbation that lives in it therefore
passes too: no threshold protects against an attack confined to low frequencies.
"""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from wbad_jax import wavelets
from wbad_jax.denoise.noise_level import PerChannel, sigma_from_diagonal
from wbad_jax.denoise.shrinkage import SHRINKAGE
from wbad_jax.denoise.threshold_rules import (
    bayes_threshold,
    inverse_positive,
    positive,
    sure_threshold,
    universal_threshold,
)
from wbad_jax.types import Images

RULES = ("universal", "bayes", "sure", "fixed", "learned")
BACKWARD_MODES = ("exact", "identity")
Backward = Literal["exact", "identity"]
# One threshold per level (coarsest first) and orientation (h, v, d).
Thresholds = Float[Array, "levels 3"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DenoiserSettings:
    """What a denoiser does; frozen, so that it can be closed over under jit.

    Attributes:
        wavelet: PyWavelets name.
        mode: Boundary mode.
        level: Number of decomposition levels, at least 1.
        shrinkage: "soft", "hard", "garrote" or "firm".
        threshold_rule: "universal", "bayes", "sure" (from the image), "fixed" (the
            constant `threshold`) or "learned" (trained with the network).
        threshold: Pixel units; the constant of "fixed".
        sigma: Noise level in pixel units; None estimates it from each image.
        initial_scale: Start of learned thresholds, as a multiple of the universal one.
        backend: "polyphase" or "jaxwt".
    """

    wavelet: str = "haar"
    mode: str = "symmetric"
    level: int = 2
    shrinkage: str = "soft"
    threshold_rule: str = "universal"
    threshold: float = 0.0
    sigma: float | None = None
    initial_scale: float = 1.0
    backend: wavelets.Backend = "polyphase"

    def __post_init__(self):
        wavelets.as_wavelet(self.wavelet)  # refuses an unknown name
        for field, known in (("mode", wavelets.MODES), ("backend", wavelets.BACKENDS)):
            if getattr(self, field) not in known:
                raise ValueError(
                    f"{field} must be one of {sorted(known)}, "
                    f"got {getattr(self, field)!r}."
                )
        if self.shrinkage not in SHRINKAGE:
            raise ValueError(
                f"shrinkage must be one of {sorted(SHRINKAGE)}, got {self.shrinkage!r}."
            )
        if self.threshold_rule not in RULES:
            raise ValueError(
                f"threshold_rule must be one of {RULES}, got {self.threshold_rule!r}."
            )
        if self.level < 1:
            raise ValueError(f"level must be at least 1, got {self.level}.")
        if not self.threshold >= 0:  # not `<`: NaN is refused too
            raise ValueError(f"threshold must not be negative, got {self.threshold}.")
        if self.sigma is not None and not self.sigma >= 0:
            raise ValueError(f"sigma must not be negative, got {self.sigma}.")
        if not self.initial_scale > 0:
            raise ValueError(
                f"initial_scale must be positive, got {self.initial_scale}."
            )


def wavelet_denoise(
    images: Images,
    settings: DenoiserSettings,
    learned: Thresholds | None = None,
    *,
    backward: Backward = "exact",
) -> Images:
    """Shrink the wavelet details of images.

    Args:
        images: `[*batch, height, width, channels]`.
        settings: Transform, shrinkage and threshold rule.
        learned: `[levels, 3]`, positive multiples of sigma, coarsest level first and
            orientations horizontal, vertical, diagonal; needed by rule "learned".
        backward: "exact" differentiates what was computed, thresholds included;
            "identity" passes gradients straight through (the backward pass
            differentiable approximation of Athalye et al. 2018).

    Returns:
        Denoised images, same shape and dtype.

    Raises:
        ValueError: If rule "learned" comes without `learned`, or `backward` is unknown.
    """
    if backward not in BACKWARD_MODES:
        raise ValueError(f"backward must be in {BACKWARD_MODES}, got {backward!r}.")
    if backward == "identity":
        denoised = wavelet_denoise(images, settings, learned)
        return images + jax.lax.stop_gradient(denoised - images)
    transform: dict[str, Any] = {
        "wavelet": settings.wavelet,
        "mode": settings.mode,
        "backend": settings.backend,
    }
    height, width = images.shape[-3:-1]
    approx, *details = wavelets.wavedec2(images, level=settings.level, **transform)
    sigma = _sigma(details[-1].diagonal, settings)
    thresholds = detail_thresholds(details, sigma, images.shape, settings, learned)
    shrink = SHRINKAGE[settings.shrinkage]
    shrunk = [
        wavelets.Details(*map(shrink, level, level_thresholds))
        for level, level_thresholds in zip(details, thresholds, strict=True)
    ]
    return wavelets.waverec2([approx, *shrunk], shape=(height, width), **transform)


def detail_thresholds(
    details: list[wavelets.Details],
    sigma: PerChannel,
    image_shape: tuple[int, ...],
    settings: DenoiserSettings,
    learned: Thresholds | None = None,
) -> list[list[PerChannel]]:
    """The threshold of every detail subband, coarsest level first."""
    rule = settings.threshold_rule
    if rule == "learned" and learned is None:
        raise ValueError("threshold_rule 'learned' needs the argument `learned`.")
    num_pixels = image_shape[-3] * image_shape[-2]

    def threshold(level: int, orientation: int, coefficients):
        if rule == "fixed":
            return jnp.full_like(sigma, settings.threshold)
        if rule == "universal":
            return universal_threshold(sigma, num_pixels)
        if rule == "bayes":
            return bayes_threshold(coefficients, sigma)
        if rule == "sure":
            return sure_threshold(coefficients, sigma)
        assert learned is not None
        return sigma * learned[level, orientation].astype(sigma.dtype)

    return [
        [threshold(level, o, subband) for o, subband in enumerate(subbands)]
        for level, subbands in enumerate(details)
    ]


def _sigma(diagonal: Array, settings: DenoiserSettings) -> PerChannel:
    if settings.sigma is None and settings.threshold_rule != "fixed":
        return sigma_from_diagonal(diagonal)
    shape = (*diagonal.shape[:-3], 1, 1, diagonal.shape[-1])
    return jnp.full(shape, settings.sigma or 0.0, diagonal.dtype)


class Denoiser(nnx.Module):
    """`wavelet_denoise` as a Flax module, holding the learned thresholds if any.

    Learned thresholds are `sigma * softplus(raw)` with one `raw` per level and
    orientation: positive by construction, differentiable in image and parameter.
    """

    def __init__(self, settings: DenoiserSettings, num_pixels: int = 64 * 64):
        """Create the parameters.

        Args:
            settings: Transform, shrinkage and threshold rule.
            num_pixels: Height x width of the images; sets where learned thresholds
                start.
        """
        self.settings = settings
        if settings.threshold_rule == "learned":
            universal = universal_threshold(jnp.ones(()), num_pixels)
            start = inverse_positive(settings.initial_scale * universal)
            self.raw_thresholds = nnx.Param(jnp.full((settings.level, 3), start))

    def thresholds(self) -> Thresholds | None:
        """Learned thresholds as multiples of sigma, or None for the other rules."""
        if self.settings.threshold_rule != "learned":
            return None
        return positive(self.raw_thresholds[...])

    def __call__(self, images: Images, *, backward: Backward = "exact") -> Images:
        """Denoise images; see `wavelet_denoise`."""
        return wavelet_denoise(
            images, self.settings, self.thresholds(), backward=backward
        )
