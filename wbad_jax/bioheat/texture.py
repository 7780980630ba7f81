"""Warm patterns of healthy skin: veins, warm spots, and a Gaussian random field.

They are what a tumour must be told from, so they are drawn alike in both classes.
"""

import functools
import math

import numpy as np
from scipy import ndimage

_FWHM_PER_SIGMA = 2.3548
_STEP_MM = 2.0  # along a vein; below the pixel of every supported grid
_VEIN_DEPTHS_MM = (3.0, 5.0, 8.0)
_VEIN_CELSIUS = (0.2, 1.2)
_VEIN_LIMIT = 1.8  # degrees Celsius

# Frequency below which the field's spectrum is flat, cycles/mm. The power law was
# measured from 3 cycles per 256 pixels of about 0.7 mm upwards; carried on to zero it
# would be a single slope across the body.
_KNEE = 1 / 60


@functools.lru_cache(maxsize=8)
def field_power_spectrum(
    shape: tuple[int, int],
    millimetres_per_pixel: float,
    *,
    standard_deviation: float,
    log_slope: float,
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
        log_slope: Of power against radial frequency above one cycle in 60 mm; -4.4 is
            between the -4.2 and -4.6 measured on 95 healthy DMR-IR matrices.

    Returns:
        `[height, width]` in the order of `numpy.fft.fft2`, squared degrees Celsius.
        Read-only, since it is cached.
    """
    rows = np.fft.fftfreq(shape[0], millimetres_per_pixel)[:, None]
    columns = np.fft.fftfreq(shape[1], millimetres_per_pixel)
    power = (_KNEE**2 + rows**2 + columns**2) ** (log_slope / 2)
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


def warm_spots(
    rng: np.random.Generator,
    columns_mm: np.ndarray,
    rows_mm: np.ndarray,
    regions: list[tuple[float, float, float, float]],
) -> np.ndarray:
    """Draws benign findings: up to two warm spots in each of the given regions.

    Amplitudes 0.2-1.2 degrees and widths 12-40 mm overlap those of tumours by intent: a
    hot spot alone is not a diagnosis.

    Args:
        rng: Consumed alike whatever the label.
        columns_mm: Position of each pixel, `[height, width]` or broadcastable.
        rows_mm: Likewise.
        regions: Centre column, centre row, half width, half height, millimetres.

    Returns:
        Degrees Celsius, `[height, width]`.
    """
    total = np.zeros(np.broadcast_shapes(columns_mm.shape, rows_mm.shape))
    for column, row, half_width, half_height in regions:
        for _ in range(rng.integers(0, 3)):
            distance, angle = math.sqrt(rng.uniform()), rng.uniform(0, 2 * math.pi)
            x = columns_mm - column - distance * half_width * math.cos(angle)
            y = rows_mm - row - distance * half_height * math.sin(angle)
            amplitude = rng.uniform(0.2, 1.2)
            sigma = rng.uniform(12.0, 40.0) / _FWHM_PER_SIGMA
            total += amplitude * np.exp(-(x**2 + y**2) / (2 * sigma**2))
    return total


def veins(
    rng: np.random.Generator,
    shape: tuple[int, int],
    millimetres_per_pixel: float,
    origins: list[tuple[float, float, float]],
) -> np.ndarray:
    """Draws branching warm lines, blurred by the tissue above them.

    A line of heat at depth d warms the skin over a width of about 2 d (Carslaw and
    Jaeger 1959); veins lie 2-8 mm deep and warm the skin by the range visible in
    healthy DMR-IR frames.

    Args:
        rng: Consumed alike whatever the label.
        shape: Height and width.
        millimetres_per_pixel: Edge of a pixel.
        origins: Column and row of each trunk's start in millimetres from the image
            centre, and its initial direction in radians.

    Returns:
        Degrees Celsius, `[height, width]`.
    """
    total = np.zeros(shape)
    for depth_mm in _VEIN_DEPTHS_MM:
        sigma_mm = 2 * depth_mm / _FWHM_PER_SIGMA
        # A line of unit heat per mm has this height after the blur.
        height = 1 / (sigma_mm * math.sqrt(2 * math.pi))
        lines = np.zeros(shape)
        for origin in origins:
            if rng.uniform() < 1 / 3:
                continue
            amplitude = rng.uniform(*_VEIN_CELSIUS)
            column, row, direction = origin
            # Each layer has veins of its own, near the same places.
            place = column + rng.normal(0, 15), row + rng.normal(0, 15)
            for column, row in _branches(rng, *place, direction):
                _deposit(lines, column, row, amplitude, millimetres_per_pixel)
        lines *= _STEP_MM / millimetres_per_pixel**2 / height
        total += ndimage.gaussian_filter(lines, sigma_mm / millimetres_per_pixel)
    # Where veins cross, the skin cannot pass the temperature of the blood.
    return _VEIN_LIMIT * np.tanh(total / _VEIN_LIMIT)


def _branches(
    rng: np.random.Generator, column: float, row: float, direction: float
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Draws a trunk and up to two branches leaving it, as points 2 mm apart."""
    trunk = _walk(rng, column, row, direction, rng.uniform(60, 160))
    branches = [trunk]
    for _ in range(rng.integers(0, 3)):
        start = rng.integers(len(trunk[0]))
        turn = direction + rng.choice((-1, 1)) * rng.uniform(0.4, 1.0)
        origin = trunk[0][start], trunk[1][start]
        branches.append(_walk(rng, *origin, turn, rng.uniform(30, 90)))
    return branches


def _walk(
    rng: np.random.Generator,
    column: float,
    row: float,
    direction: float,
    length_mm: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Draws one winding line."""
    steps = int(length_mm / _STEP_MM)
    angles = direction + np.cumsum(rng.normal(0, 0.15, steps))
    return (
        column + np.cumsum(_STEP_MM * np.cos(angles)),
        row + np.cumsum(_STEP_MM * np.sin(angles)),
    )


def _deposit(
    image: np.ndarray,
    columns_mm: np.ndarray,
    rows_mm: np.ndarray,
    amount: float,
    millimetres_per_pixel: float,
) -> None:
    """Adds `amount` at each point, shared between its four pixels."""
    height, width = image.shape
    x = columns_mm / millimetres_per_pixel + (width - 1) / 2
    y = rows_mm / millimetres_per_pixel + (height - 1) / 2
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    for dy in (0, 1):
        for dx in (0, 1):
            share = (1 - np.abs(x - left - dx)) * (1 - np.abs(y - top - dy))
            column, row = left + dx, top + dy
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            np.add.at(image, (row[inside], column[inside]), amount * share[inside])
