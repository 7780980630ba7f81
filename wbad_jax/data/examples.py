"""What one stored example holds, and how it is made from a temperature image.

A real example is one image. A simulated one holds both twins of a patient, which share
all else; `reading` makes two examples of it, the same from there on as real ones.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import scipy
import tensorflow_datasets as tfds

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


def example_features(
    height: int,
    width: int,
    parameter_names: Iterable[str],
    *,
    channels: int = 1,
    label_names: Sequence[str] = LABEL_NAMES,
) -> dict[str, Any]:
    """TFDS features of one real example.

    `image` is uint16 with 65535 the upper end of the window: a 16 degree window keeps
    0.00024 degrees, far below camera noise, at half the bytes of float32.

    Args:
        height: Pixels.
        width: Pixels.
        parameter_names: Of what is known of an exposure.
        channels: Of the image.
        label_names: Of the classes, in order of the label.
    """
    scalar = tfds.features.Scalar
    return {
        "image": _pixels(np.uint16, height, width, channels),
        "factual": scalar(np.bool_),
        "frame": scalar(np.int32),
        "parameters": {name: scalar(np.float32) for name in parameter_names},
        **_shared_features(height, width, label_names),
    }


def twin_features(
    height: int, width: int, parameter_names: Iterable[str]
) -> dict[str, Any]:
    """TFDS features of one simulated example: a patient at one time, as both twins.

    `label` names the twin that is factual, whose background and noise are stored.

    Args:
        height: Pixels.
        width: Pixels.
        parameter_names: Of what a patient is made from.
    """
    scalar = tfds.features.Scalar
    return {
        "healthy_image": _pixels(np.uint16, height, width),
        "tumour_image": _pixels(np.uint16, height, width),
        "patient_seed": scalar(np.int64),
        "view": tfds.features.Text(),
        "frame": scalar(np.int32),
        "seconds": scalar(np.float32),
        "parameters": {name: scalar(np.float32) for name in parameter_names},
        **_shared_features(height, width),
    }


def _shared_features(
    height: int, width: int, label_names: Sequence[str] = LABEL_NAMES
) -> dict[str, Any]:
    return {
        "mask": _pixels(np.uint8, height, width),
        "label": tfds.features.ClassLabel(names=list(label_names)),
        "patient_id": tfds.features.Scalar(np.int64),
        "example_id": tfds.features.Text(),
        "background_celsius": tfds.features.Scalar(np.float32),
        "noise_celsius": tfds.features.Scalar(np.float32),
    }


def _pixels(
    dtype: Any, height: int, width: int, channels: int = 1
) -> tfds.features.Tensor:
    return tfds.features.Tensor(
        shape=(height, width, channels),
        dtype=dtype,
        encoding=tfds.features.Encoding.BYTES,
    )


def image_features(
    celsius: np.ndarray, mask: np.ndarray, window: tuple[float, float]
) -> dict[str, np.ndarray]:
    """Windows, masks and quantises images of one body.

    Args:
        celsius: `[..., height, width]`.
        mask: Pixels to keep, `[height, width]` bool; the rest becomes the middle of
            the window, a constant near skin temperature: at the lower end the outline
            would be the strongest edge of every image by far, and a network with
            normalisation layers learns little else.
        window: Lowest and highest temperature, degrees Celsius.

    Returns:
        `image`, `[..., height, width, 1]` uint16.
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
    inner = scipy.ndimage.binary_erosion(
        outside, iterations=_OUTLINE_PIXELS, border_value=1
    )
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
