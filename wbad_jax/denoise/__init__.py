"""Wavelet shrinkage denoising, differentiable in image and threshold."""

from wbad_jax.denoise.denoiser import (
    BACKWARD_MODES,
    RULES,
    Backward,
    Denoiser,
    DenoiserSettings,
    wavelet_denoise,
)
from wbad_jax.denoise.noise_level import median_magnitude, noise_sigma
from wbad_jax.denoise.shrinkage import (
    SHRINKAGE,
    firm_threshold,
    garrote_threshold,
    hard_threshold,
    soft_threshold,
)
from wbad_jax.denoise.threshold_rules import (
    bayes_threshold,
    sure_threshold,
    universal_threshold,
)

__all__ = [
    "Denoiser",
    "DenoiserSettings",
    "BACKWARD_MODES",
    "RULES",
    "Backward",
    "SHRINKAGE",
    "bayes_threshold",
    "firm_threshold",
    "garrote_threshold",
    "hard_threshold",
    "median_magnitude",
    "noise_sigma",
    "soft_threshold",
    "sure_threshold",
    "universal_threshold",
    "wavelet_denoise",
]
