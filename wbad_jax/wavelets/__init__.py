"""Differentiable wavelet transforms of batches of images and of signals."""

from wbad_jax.wavelets.boundary import MODES
from wbad_jax.wavelets.coefficient_array import array_to_coeffs, coeffs_to_array
from wbad_jax.wavelets.filters import Wavelet, as_wavelet, wavelist
from wbad_jax.wavelets.multilevel import Details, dwt_max_level, wavedec2, waverec2
from wbad_jax.wavelets.one_dimensional import Bands, dwt, idwt, wavedec, waverec
from wbad_jax.wavelets.stationary import iswt, iswt2, swt, swt2, swt_max_level
from wbad_jax.wavelets.two_dimensional import BACKENDS, Backend, Subbands, dwt2, idwt2

__all__ = [
    "BACKENDS",
    "MODES",
    "Backend",
    "Bands",
    "Details",
    "Subbands",
    "Wavelet",
    "array_to_coeffs",
    "as_wavelet",
    "coeffs_to_array",
    "dwt",
    "dwt2",
    "dwt_max_level",
    "idwt",
    "idwt2",
    "iswt",
    "iswt2",
    "swt",
    "swt2",
    "swt_max_level",
    "wavedec",
    "wavedec2",
    "wavelist",
    "waverec",
    "waverec2",
]
