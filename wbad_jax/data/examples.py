"""What one stored example holds, and how it is made from a temperature image.

Real thermograms are one image an example, simulated ones two: both states of a patient.
After loading they look the same.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from scipy import ndimage

from wbad_jax.bioheat import camera

LABEL_NAMES = ("healthy", "tumour")
# The one TFDS split of every builder ("all" is reserved); parts are made by patient.
SPLIT = "patients"
# Pixel value outside the body.
OUTSIDE = 0.5
# Of a Gaussian: median absolute deviation over standard deviation.
_MAD_PER_SIGMA = 0.6745
# Pixels next to the outline mix body and wall.
_OUTLINE_PIXELS = 2


def example_features(height: int, width: int) -> dict[str, Any]:
    """TFDS features of one example.

    `image` is uint16 with 65535 the upper end of the window: a 16 degree window keeps
    0.00024 degrees, far below camera noise, at half the bytes of float32.
    """
    image = {"shape": (height, width, 1), "encoding": tfds.features.Encoding.BYTES}
    return {
        "image": tfds.features.Tensor(dtype=np.uint16, **image),
        "mask": tfds.features.Tensor(dtype=np.uint8, **image),
        "label": tfds.features.ClassLabel(names=LABEL_NAMES),
        "patient_id": tfds.features.Scalar(np.int64),
        "example_id": tfds.features.Text(),
        "factual": tfds.features.Scalar(np.bool_),
        "background_celsius": tfds.features.Scalar(np.float32),
        "noise_celsius": tfds.features.Scalar(np.float32),
    }


def twin_features(
    height: int, width: int, parameter_names: Sequence[str]
) -> dict[str, Any]:
    """TFDS features of one picture of a simulated patient, in both states."""
    features = example_features(height, width)
    image = features.pop("image")
    del features["factual"]
    return {
        **features,
        "healthy_image": image,
        "tumour_image": image,
        "patient_seed": tfds.features.Scalar(np.int64),
        "view": tfds.features.Text(),
        "frame": tfds.features.Scalar(np.int32),
        "seconds": tfds.features.Scalar(np.float32),
        "parameters": {
            name: tfds.features.Scalar(np.float32) for name in parameter_names
        },
    }


def image_features(
    celsius: np.ndarray, mask: np.ndarray, window: tuple[float, float]
) -> dict[str, np.ndarray]:
    """Windows, masks and quantises one image.

    Args:
        celsius: `[height, width]`.
        mask: Pixels to keep, `[height, width]` bool; the rest becomes the middle of
            the window, a constant near skin temperature: at the lower end the outline
            would be the strongest edge of every image by far, and a network with
            normalisation layers learns little else.
        window: Lowest and highest temperature, degrees Celsius.

    Returns:
        `image`, `[height, width, 1]` uint16.
    """
    fraction = np.where(mask, camera.to_window(celsius, window), OUTSIDE)
    return {"image": camera.quantise(fraction)[..., None]}


def measure_scalars(celsius: np.ndarray, mask: np.ndarray) -> dict[str, np.float32]:
    """Measures the two properties of an exposure that should not tell the label.

    Args:
        celsius: The whole exposure at its own resolution, `[height, width]`.
        mask: Body pixels, bool.

    Returns:
        `background_celsius`, the mean outside the body, and `noise_celsius`, the robust
        standard deviation of the finest diagonal Haar details inside it; 0 where there
        are no such pixels.
    """
    outside = ~mask
    # Towards the frame's border nothing is mixed: hence a border of ones.
    inner = ndimage.binary_erosion(outside, iterations=_OUTLINE_PIXELS, border_value=1)
    outside = np.asarray(inner, bool) if np.any(inner) else outside
    background = celsius[outside].mean() if outside.any() else 0.0
    return {
        "background_celsius": np.float32(background),
        "noise_celsius": np.float32(_haar_noise(celsius, mask)),
    }


def _haar_noise(celsius: np.ndarray, mask: np.ndarray) -> float:
    """MAD / 0.6745 of the diagonal Haar details wholly inside the mask.

    Donoho and Johnstone (1994), Ideal spatial adaptation by wavelet shrinkage.
    """
    height, width = (size - size % 2 for size in celsius.shape)
    blocks = celsius[:height, :width].reshape(height // 2, 2, width // 2, 2)
    inside = mask[:height, :width].reshape(blocks.shape).all(axis=(1, 3))
    diagonal = blocks[:, 0, :, 0] - blocks[:, 0, :, 1]
    diagonal = (diagonal - blocks[:, 1, :, 0] + blocks[:, 1, :, 1]) / 2
    if not inside.any():
        return 0.0
    return float(np.median(np.abs(diagonal[inside])) / _MAD_PER_SIGMA)
