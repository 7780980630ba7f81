"""The law of what a thermogram shows beside physics, and its whitening on the body.

Gaussian field, camera noise, column offsets and drift are one stationary Gaussian
field, so one spectrum describes them. Only the body is seen, and a stationary field
seen through a mask is not diagonal in the Fourier domain; whitening is therefore by
the Cholesky factor of the covariance of the body's pixels, which is exact.
"""

from typing import NamedTuple

import numpy as np
import scipy
from jaxtyping import Array, Bool, Float

from wbad_jax.bioheat.cohort import CohortSettings

# Memory grows with the square of the pixels: 256 MB in single precision.
MOST_PIXELS = 8192
# Standard deviation of what no physics explains in the bands left free, degrees.
_FREE_CELSIUS = 100.0


class Whitening(NamedTuple):
    """Turns residuals of one body into independent numbers of variance 1.

    Attributes:
        matrix: `[pixels, pixels]` float32, inverse Cholesky factor; rows and columns of
            pixels outside the body are 0.
        count: Pixels of the body.
    """

    matrix: Float[Array | np.ndarray, "pixels pixels"]
    count: int


def residual_power_spectrum(settings: CohortSettings) -> np.ndarray:
    """Variances of the Fourier modes of a picture around what physics predicts.

    The sum of the Gaussian field, blurred by the camera, and of the camera's white
    noise, rounding, column offsets and drift. The field is taken to be seen face on.

    Args:
        settings: Of the cohort: field and camera. Spread of noise between units of the
            camera is not part of it.

    Returns:
        `[height, width]` in the order of `numpy.fft.fft2`, orthonormal, squared degrees
        Celsius.
    """
    camera, (height, width) = settings.camera, settings.shape
    passed = np.exp(-((2 * np.pi * camera.psf_sigma_pixels) ** 2) * _squared(settings))
    power = (
        settings.field_spectrum * passed
        + camera.noise_celsius**2
        + camera.quantum_celsius**2 / 12
    )
    power[0] += height * camera.column_celsius**2
    power[0, 0] += height * width * camera.drift_celsius**2
    return power


def free_coarse_bands(
    power: np.ndarray, settings: CohortSettings, period_mm: float
) -> np.ndarray:
    """The spectrum with all modes coarser than `period_mm` left free.

    Their variance is made so large that whatever a picture holds there costs nothing:
    a chi-square with this spectrum judges the finer bands only.

    Args:
        power: Of `residual_power_spectrum`.
        settings: Of the cohort.
        period_mm: Modes of longer periods are free.

    Returns:
        Like `power`.
    """
    frequency = np.sqrt(_squared(settings)) / settings.spacing_mm
    return np.where(frequency < 1 / period_mm, power + _FREE_CELSIUS**2, power)


def whiten_body(power: np.ndarray, mask: Bool[np.ndarray, "rows columns"]) -> Whitening:
    """Whitening of the pixels of a body.

    Args:
        power: Spectrum, `[rows, columns]`.
        mask: Body pixels.

    Returns:
        The whitening; independent of everything outside the body.

    Raises:
        ValueError: If the mask is empty, of another shape, or too large.
    """
    if mask.shape != power.shape or mask.dtype != bool or not mask.any():
        raise ValueError(
            f"mask needs bool {power.shape} with some body, got {mask.dtype} "
            f"{mask.shape} with {np.count_nonzero(mask)} pixels."
        )
    if mask.size > MOST_PIXELS:
        raise ValueError(f"mask needs at most {MOST_PIXELS} pixels, got {mask.size}.")
    rows, columns = np.nonzero(mask)
    covariance = np.fft.ifft2(power).real
    between = covariance[rows[:, None] - rows, columns[:, None] - columns]
    factor = scipy.linalg.cholesky(between, lower=True, overwrite_a=True)
    (invert_triangle,) = scipy.linalg.get_lapack_funcs(("trtri",), (factor,))
    inverse, _ = invert_triangle(factor, lower=1)
    place = np.flatnonzero(mask)
    matrix = np.zeros((mask.size, mask.size), np.float32)
    matrix[np.ix_(place, place)] = inverse
    return Whitening(matrix, rows.size)


def _squared(settings: CohortSettings) -> np.ndarray:
    """Squared radial frequency, cycles per pixel."""
    rows, columns = (np.fft.fftfreq(size) for size in settings.shape)
    return rows[:, None] ** 2 + columns**2
