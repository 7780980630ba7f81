"""A Gaussian random field: the part of healthy variation whose law is known exactly.

Whatever the physics leaves out of a healthy thermogram, small vessels, sweat, uneven
fat, is one stationary field of known spectrum. So the best that any observer could do
against it can be computed.
"""

import functools

import numpy as np

# Frequency below which the field's spectrum is flat, cycles/mm: a power law carried on
# to zero would be a single slope across the body.
_KNEE = 1 / 60


@functools.lru_cache(maxsize=8)
def field_power_spectrum(
    shape: tuple[int, int],
    millimetres_per_pixel: float,
    *,
    standard_deviation: float,
    log_slope: float,
    smoothing_mm: float = 0.0,
) -> np.ndarray:
    """Variances of the field's Fourier modes: the eigenvalues of its covariance.

    The covariance is circulant, so with F the orthonormal two-dimensional transform
    (`numpy.fft.fft2(norm="ortho")`) it is F^H diag(spectrum) F exactly, and an observer
    of known-signal problems can whiten with it. The mean of the spectrum is the
    variance of every pixel.

    Args:
        shape: Height and width.
        millimetres_per_pixel: Edge of a pixel.
        standard_deviation: Of every pixel, degrees Celsius.
        log_slope: Of power against radial frequency above one cycle in 60 mm.
        smoothing_mm: Standard deviation of a Gaussian blur of the field: what lies
            under the skin shows through it smoothed by conduction.

    Returns:
        `[height, width]` in the order of `numpy.fft.fft2`, squared degrees Celsius.
        Read-only, since it is cached.
    """
    rows = np.fft.fftfreq(shape[0], millimetres_per_pixel)[:, None]
    columns = np.fft.fftfreq(shape[1], millimetres_per_pixel)
    power = (_KNEE**2 + rows**2 + columns**2) ** (log_slope / 2)
    power = power * np.exp(-((2 * np.pi * smoothing_mm) ** 2) * (rows**2 + columns**2))
    # The mean over the body is drawn separately.
    power[0, 0] = 0.0
    power *= standard_deviation**2 / power.mean()
    power.setflags(write=False)
    return power


def draw_field(rng: np.random.Generator, power_spectrum: np.ndarray) -> np.ndarray:
    """Draws a stationary Gaussian field with the given spectrum, `[height, width]`."""
    white = rng.standard_normal(power_spectrum.shape)
    modes = np.fft.rfft2(white) * np.sqrt(
        power_spectrum[:, : power_spectrum.shape[1] // 2 + 1]
    )
    return np.fft.irfft2(modes, s=power_spectrum.shape)
