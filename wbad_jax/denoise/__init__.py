"""Wavelet shrinkage denoising, differentiable in image and threshold."""

from wbad_jax.denoise.cycle_spinning import cycle_spin, random_shifts
from wbad_jax.denoise.denoiser import (
    BACKWARD_MODES,
    Backward,
    Denoiser,
    wavelet_denoise,
)
from wbad_jax.denoise.learned_thresholds import ThresholdPredictor
from wbad_jax.denoise.median import median_magnitude
from wbad_jax.denoise.noise_level import noise_sigma
from wbad_jax.denoise.removed_energy import removed_energy, subband_names
from wbad_jax.denoise.settings import RULES, SHARINGS, TRAINED_RULES, DenoiserSettings
from wbad_jax.denoise.shrinkage import (
    SHRINKAGE,
    firm_threshold,
    garrote_threshold,
    hard_threshold,
    soft_threshold,
)
from wbad_jax.denoise.surrogates import (
    SMOOTH_SHRINKAGE,
    sigmoid_hard_threshold,
    smooth_firm_threshold,
    smooth_garrote_threshold,
    softplus_soft_threshold,
    zhang_soft_threshold,
)
from wbad_jax.denoise.threshold_rules import (
    bayes_threshold,
    sure_risk,
    sure_threshold,
    universal_threshold,
)
from wbad_jax.denoise.threshold_summary import ORIENTATIONS, summarise_thresholds
from wbad_jax.gradient_replacement import replace_gradient

__all__ = [
    "BACKWARD_MODES",
    "ORIENTATIONS",
    "RULES",
    "SHARINGS",
    "SHRINKAGE",
    "SMOOTH_SHRINKAGE",
    "TRAINED_RULES",
    "Backward",
    "Denoiser",
    "DenoiserSettings",
    "ThresholdPredictor",
    "bayes_threshold",
    "cycle_spin",
    "firm_threshold",
    "garrote_threshold",
    "hard_threshold",
    "median_magnitude",
    "noise_sigma",
    "random_shifts",
    "removed_energy",
    "replace_gradient",
    "sigmoid_hard_threshold",
    "smooth_firm_threshold",
    "smooth_garrote_threshold",
    "soft_threshold",
    "softplus_soft_threshold",
    "subband_names",
    "summarise_thresholds",
    "sure_risk",
    "sure_threshold",
    "universal_threshold",
    "wavelet_denoise",
    "zhang_soft_threshold",
]
