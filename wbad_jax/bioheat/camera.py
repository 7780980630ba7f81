"""An infrared camera: optics, noise, a fixed temperature window, a quantiser.

Figures are those of the uncooled cameras of breast thermography (FLIR SC-620, noise
below 0.04 degrees at 30 degrees Celsius) and of 95 healthy DMR-IR matrices, whose
robust noise is 0.049 degrees in the finest Haar subband.
"""

import dataclasses

import numpy as np
from scipy import ndimage

_LEVELS = 65535  # of uint16; one level of a 16 degree window is 0.00024 degrees


@dataclasses.dataclass(frozen=True, kw_only=True)
class Camera:
    """Settings of the simulated camera.

    Attributes:
        psf_sigma_pixels: Gaussian blur of optics and detector, pixels of the image.
        noise_celsius: Standard deviation of white noise (the camera's NETD).
        column_celsius: Standard deviation of the offset of each detector column.
        drift_celsius: Standard deviation of one offset of the whole exposure, left by
            the last correction against the shutter.
    """

    psf_sigma_pixels: float = 0.6
    noise_celsius: float = 0.045
    column_celsius: float = 0.02
    drift_celsius: float = 0.1

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not value >= 0:
                raise ValueError(f"Camera needs {field.name} >= 0, got {value}.")


def blur(celsius: np.ndarray, mask: np.ndarray, camera: Camera) -> np.ndarray:
    """Blurs body and background with the point spread function, each within itself.

    An image of this size is a real exposure shrunk several times, with the body cut out
    first; so no pixel of the body is mixed with the wall behind it.

    Args:
        celsius: The scene, `[height, width]`.
        mask: Body pixels, bool.
        camera: Its blur.

    Returns:
        The blurred scene, `[height, width]`.
    """
    sigma = camera.psf_sigma_pixels
    blurred = np.empty(celsius.shape)
    for part in (mask, ~mask):
        weight = ndimage.gaussian_filter(part.astype(float), sigma, mode="nearest")
        value = np.where(part, celsius, 0.0)
        value = ndimage.gaussian_filter(value, sigma, mode="nearest")
        blurred[part] = value[part] / weight[part]
    return blurred


def draw_noise(
    rng: np.random.Generator, shape: tuple[int, int], camera: Camera
) -> np.ndarray:
    """Draws the additive noise of one exposure.

    Args:
        rng: Consumed in a fixed order: white noise, columns, drift.
        shape: Height and width.
        camera: Standard deviations of the three parts.

    Returns:
        Degrees Celsius, `[height, width]`.
    """
    white = rng.normal(0, camera.noise_celsius, shape)
    columns = rng.normal(0, camera.column_celsius, shape[1])
    drift = rng.normal(0, camera.drift_celsius)
    return white + columns + drift


def to_window(celsius: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """Maps a fixed temperature window to [0, 1], clipping what lies outside.

    The window is the same for every image: scaling each image by its own extremes would
    erase absolute temperature and give an attacker's budget another meaning in each.

    Args:
        celsius: Any shape.
        window: Lowest and highest temperature, degrees Celsius.

    Returns:
        Same shape, in [0, 1].

    Raises:
        ValueError: If the window is empty.
    """
    low, high = window
    if not low < high:
        raise ValueError(f"window needs low < high, got {low} .. {high}.")
    return np.clip((celsius - low) / (high - low), 0.0, 1.0)


def quantise(fraction: np.ndarray) -> np.ndarray:
    """Rounds [0, 1] to uint16, 65535 meaning 1."""
    return np.round(fraction * _LEVELS).astype(np.uint16)


def dequantise(levels: np.ndarray) -> np.ndarray:
    """Inverts `quantise` to float32 in [0, 1]."""
    return levels.astype(np.float32) / np.float32(_LEVELS)
