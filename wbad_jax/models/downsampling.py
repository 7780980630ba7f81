"""Halving the resolution of maps: by strides, or by the low-pass band of a DWT.

A strided convolution keeps every second pixel of maps that it has not smoothed, so high
frequencies, noise among them, fold into low ones (aliasing). The low-pass band of a
wavelet transform drops them first (Li et al. 2020, Wavelet integrated CNNs for
noise-robust image classification, section 3.2).
"""

from wbad_jax import wavelets
from wbad_jax.models.layers import Maps
from wbad_jax.models.precision import at_least_float32

DOWNSAMPLINGS = ("stride", "dwt")
# Halves n to ceil(n / 2), as a stride of 2 does. The other modes add border samples for
# wavelets longer than haar, and maps of all widths would grow with the filter.
_MODE = "periodization"


def low_pass(maps: Maps, wavelet: str) -> Maps:
    """Approximation band of one level of the DWT, divided by 2.

    Divided, unlike in the paper, so that constant maps keep their value: a shortcut has
    no normalisation to take a factor of 2 out again.

    Args:
        maps: `[batch, height, width, channels]`; odd sizes repeat their last pixel.
        wavelet: PyWavelets name.

    Returns:
        `[batch, ceil(height / 2), ceil(width / 2), channels]`.
    """
    approx = wavelets.dwt2(at_least_float32(maps), wavelet, _MODE).approx
    return (approx / 2).astype(maps.dtype)


def check_downsampling(downsampling: str, wavelet: str) -> None:
    """Refuse an unknown kind of down-sampling or wavelet.

    Raises:
        ValueError: Naming the setting and the value.
    """
    if downsampling not in DOWNSAMPLINGS:
        raise ValueError(
            f"downsampling must be one of {DOWNSAMPLINGS}, got {downsampling!r}."
        )
    try:
        wavelets.as_wavelet(wavelet)
    except ValueError as error:
        raise ValueError(f"downsampling_wavelet: {error}") from error
