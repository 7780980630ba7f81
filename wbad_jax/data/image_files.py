"""Pictures in files: PNG, TIFF and JPEG by Pillow, temperatures as text."""

import io
import pathlib

import numpy as np
from PIL import Image

from wbad_jax.data.errors import DataError
from wbad_jax.data.matrices import MOST_PIXELS, parse_matrix

IMAGE_SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg")
TEXT_SUFFIXES = (".txt", ".csv")
SUFFIXES = (*IMAGE_SUFFIXES, *TEXT_SUFFIXES)
_FORMATS = ("PNG", "TIFF", "JPEG")
_GREY_16 = ("I;16", "I;16B", "I;16L", "I")


def read_pixels(path: pathlib.Path) -> np.ndarray:
    """Reads a picture as it is, see `decode_pixels`.

    Args:
        path: With one of `SUFFIXES`.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path.name}: this file cannot be read: {error}.") from error
    return decode_pixels(content, path.name)


def decode_pixels(
    content: bytes, name: str, *, most_pixels: int = MOST_PIXELS
) -> np.ndarray:
    """Decodes a picture as it is.

    Args:
        content: Of the file.
        name: Of the file, with one of `SUFFIXES`.
        most_pixels: It may have; told before they are decoded.

    Returns:
        `[height, width]` or `[height, width, 3]`: uint8 or uint16 levels, or float32
        degrees Celsius of text and of TIFF files of floating point.

    Raises:
        DataError: If the file is damaged, empty, too large, transparent, or holds more
            than one picture.
    """
    if pathlib.PurePath(name).suffix.lower() in TEXT_SUFFIXES:
        return parse_matrix(content, name, most_pixels=most_pixels)
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            _check(image, name, most_pixels)
            if image.format == "PNG":
                image.verify()  # the checksums, which reading pixels does not look at
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            return _to_array(image, name)
    except DataError:
        raise
    # Pillow fails in a dozen ways on damaged files, SyntaxError among them.
    except Exception as error:
        raise DataError(f"{name}: this picture cannot be read: {error}.") from error


def _check(image: Image.Image, name: str, most_pixels: int) -> None:
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise DataError(f"{name}: a file must hold one picture, got {frames}.")
    if image.width * image.height > most_pixels:
        raise DataError(
            f"{name}: a picture may have {most_pixels} pixels, got {image.width} x "
            f"{image.height}."
        )


def _to_array(image: Image.Image, name: str) -> np.ndarray:
    if image.mode in _GREY_16:
        levels = np.asarray(image)
        if levels.min() < 0 or levels.max() > np.iinfo(np.uint16).max:
            raise DataError(
                f"{name}: grey levels must fit 16 bits, got {levels.min()} .. "
                f"{levels.max()}."
            )
        return levels.astype(np.uint16)
    if image.mode in ("L", "F", "RGB"):
        return np.asarray(image)
    if image.mode in ("P", "RGBA", "LA"):
        pixels = np.asarray(image.convert("RGBA"))
        if (pixels[..., 3] < np.iinfo(np.uint8).max).any():
            raise DataError(f"{name}: a picture must not be transparent.")
        return pixels[..., :3]
    raise DataError(
        f"{name}: a picture must be grey of 8 or 16 bits, of floating point, or RGB, "
        f"got mode {image.mode!r}."
    )
