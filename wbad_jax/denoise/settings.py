"""What a denoiser does, as one frozen dataclass."""

import dataclasses
from typing import Any

import numpy as np

from wbad_jax import wavelets
from wbad_jax.denoise.shrinkage import SHRINKAGE

RULES = ("universal", "bayes", "sure", "fixed", "learned", "predicted")
TRAINED_RULES = ("learned", "predicted")
SHARINGS = ("image", "level", "subband", "channel")
# The boundary modes that can fill up an image, with their names in jnp.pad.
PADDING = {
    "symmetric": "symmetric",
    "reflect": "reflect",
    "periodic": "wrap",
    "periodization": "wrap",
    "zero": "constant",
    "constant": "edge",
}
# Nested from the outside in: level (coarsest first), orientation (h, v, d), channel.
FixedThreshold = (
    float
    | tuple[float, ...]
    | tuple[tuple[float, ...], ...]
    | tuple[tuple[tuple[float, ...], ...], ...]
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DenoiserSettings:
    """What a denoiser does; frozen, so that it can be closed over under jit.

    Attributes:
        wavelet: PyWavelets name.
        mode: Boundary mode.
        level: Number of decomposition levels, at least 1.
        shrinkage: "soft", "hard", "garrote" or "firm".
        threshold_rule: "universal", "bayes", "sure" (from the image), "fixed" (the
            constant `threshold`), "learned" (trained with the network) or "predicted"
            (by a small network from the statistics of the image's own subbands).
        threshold: Pixel units; the constant of "fixed". One number, or one a level
            (coarsest first), or nested `[level][orientation]` or
            `[level][orientation][channel]` with orientations horizontal, vertical,
            diagonal.
        sigma: Noise level in pixel units; None estimates it from each image.
        sigma_gradient: Whether gradients flow through the estimate of sigma, see
            `noise_sigma`.
        level_noise: Whether sigma is estimated at every level from that level's own
            diagonal subband, for noise that is not white (Johnstone and Silverman
            1997, Wavelet threshold estimators for data with correlated noise).
        sharing: Which subbands share a learned threshold: all of the "image", those of
            a "level", none ("subband"), and with "channel" not even the channels.
        initial_scale: Start of learned and predicted thresholds, as a multiple of the
            universal one.
        smooth_width: Rounding of the shrinkage function in the backward pass "smooth",
            as a fraction of the threshold. A quarter lets 3 % of the gradient through
            at the centre of the dead zone and half of it at its edge (shrinkage
            "soft"), while values would move by an eighth of the threshold at most.
        max_shifts: Denoise under all shifts of up to so many pixels along both axes and
            average: `(max_shifts + 1)**2` times the work, see `cycle_spin`.
        stationary: Denoise in the stationary transform, which averages over all
            shifts; periodic boundary, `mode` being used to fill images up to a
            multiple of `2**level`.
        backend: How to compute the transform, see `wavelets.dwt2`; `stationary` has
            one way only.

    Examples:
        >>> from wbad_jax.denoise import DenoiserSettings
        >>> settings = DenoiserSettings(threshold_rule="bayes", shrinkage="garrote")
        >>> settings.wavelet, settings.level
        ('haar', 2)
    """

    wavelet: str = "haar"
    mode: str = "symmetric"
    level: int = 2
    shrinkage: str = "soft"
    threshold_rule: str = "universal"
    threshold: FixedThreshold = 0.0
    sigma: float | None = None
    sigma_gradient: bool = False
    level_noise: bool = False
    sharing: str = "subband"
    initial_scale: float = 1.0
    smooth_width: float = 0.25
    max_shifts: int = 0
    stationary: bool = False
    backend: wavelets.Backend = "auto"

    def __post_init__(self):
        wavelets.as_wavelet(self.wavelet)  # refuses an unknown name
        for field, known in (
            ("mode", wavelets.MODES),
            ("backend", wavelets.BACKENDS),
            ("shrinkage", SHRINKAGE),
            ("threshold_rule", RULES),
            ("sharing", SHARINGS),
        ):
            value = getattr(self, field)
            if value not in known:
                raise ValueError(
                    f"{field} must be one of {sorted(known)}, got {value!r}."
                )
        if self.level < 1:
            raise ValueError(f"level must be at least 1, got {self.level}.")
        # Lists, as a configuration read from JSON has them, would not be hashable.
        object.__setattr__(self, "threshold", _as_tuples(self.threshold))
        fixed_thresholds(self)
        self._check_numbers()
        self._check_combinations()

    def _check_numbers(self) -> None:
        # Not `<`: NaN is refused too.
        if self.sigma is not None and not self.sigma >= 0:
            raise ValueError(f"sigma must not be negative, got {self.sigma}.")
        for field in ("initial_scale", "smooth_width"):
            value = getattr(self, field)
            if not value > 0:
                raise ValueError(f"{field} must be positive, got {value}.")
        if not self.max_shifts >= 0:
            raise ValueError(f"max_shifts must not be negative, got {self.max_shifts}.")

    def _check_combinations(self) -> None:
        if self.level_noise and self.sigma is not None:
            raise ValueError(
                "level_noise estimates sigma, which must then be None, got "
                f"sigma {self.sigma}."
            )
        if self.stationary and self.mode not in PADDING:
            raise ValueError(
                f"mode must be one of {sorted(PADDING)} with stationary, got "
                f"{self.mode!r}."
            )
        if self.stationary and self.max_shifts:
            raise ValueError(
                "max_shifts must be 0 with stationary, which averages over all shifts "
                f"already, got {self.max_shifts}."
            )


def fixed_thresholds(settings: DenoiserSettings) -> np.ndarray:
    """The constant thresholds of rule "fixed", float64, `[levels, 3, channels or 1]`.

    Raises:
        ValueError: If their nesting does not fit or one is negative.
    """
    level, threshold = settings.level, settings.threshold
    try:
        array = np.asarray(threshold, dtype=np.float64)
    except ValueError:  # of unequal lengths
        array = np.zeros(0)
    lengths = array.shape
    fits = lengths in ((), (level,), (level, 3))
    if not fits and not (lengths[:2] == (level, 3) and array.ndim == 3 and array.size):
        raise ValueError(
            f"threshold must be a number, or nested in lengths ({level},), "
            f"({level}, 3) or ({level}, 3, channels), one for each level, orientation "
            f"and channel, got {threshold}."
        )
    if not np.all(array >= 0):
        raise ValueError(f"threshold must not be negative, got {threshold}.")
    array = array.reshape(lengths + (1,) * (3 - array.ndim))
    return np.broadcast_to(array, (level, 3, array.shape[2]))


def _as_tuples(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(_as_tuples(item) for item in value)
    return value
