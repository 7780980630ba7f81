"""Differentiable wavelet transforms of batches of images and of signals."""

from wbad_jax.wavelets.boundary import MODES
from wbad_jax.wavelets.dwt import BACKENDS, Backend, Subbands, dwt2, idwt2
from wbad_jax.wavelets.filters import Wavelet, as_wavelet, wavelist
from wbad_jax.wavelets.multilevel import Details, dwt_max_level, wavedec2, waverec2
from wbad_jax.wavelets.stationary import iswt, iswt2, swt, swt2, swt_max_level

__all__ = [
    "BACKENDS",
    "Backend",
    "MODES",
    "Details",
    "Subbands",
    "Wavelet",
    "as_wavelet",
    "dwt2",
    "dwt_max_level",
    "idwt2",
    "iswt",
    "iswt2",
    "swt",
    "swt2",
    "swt_max_level",
    "wavedec2",
    "wavelist",
    "waverec2",
]
