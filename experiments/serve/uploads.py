"""From the bytes that somebody sends to an image of the run's size.

Nothing of a sent name is ever used as a path, and sizes are told before pixels are
decoded.
"""

import dataclasses
import pathlib
from typing import Literal

import numpy as np

from experiments.trained_run import TrainedRun
from wbad_jax.bioheat import camera
from wbad_jax.data import PIXEL_UNITS, DataError, PixelSettings, pixels
from wbad_jax.data.examples import OUTSIDE
from wbad_jax.data.image_files import SUFFIXES, TEXT_SUFFIXES, decode_pixels

Background = Literal["automatic", "frame", "find"]
MOST_PIXELS = 2**21  # 1,600 x 1,300; larger ones would keep others waiting
_LONGEST_NAME = 80


@dataclasses.dataclass(frozen=True)
class Thermogram:
    """One image for the classifiers.

    Attributes:
        name: Of the file, to show; never a path.
        image: `[height, width, channels]` float32 in pixel units.
        notes: What was done to it, and what about it is doubtful.
    """

    name: str
    image: np.ndarray
    notes: tuple[str, ...]


def shown_name(name: str) -> str:
    """The last part of a name without anything unprintable, for text alone."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(c for c in last if c.isprintable())[-_LONGEST_NAME:] or "unnamed"


def read_upload(
    content: bytes, name: str, run: TrainedRun, background: Background = "automatic"
) -> Thermogram:
    """Reads, checks and resizes a picture as the data sets do.

    Args:
        content: Of the file.
        name: Of the file; its ending tells the format.
        run: Whose image size and window count.
        background: "frame" keeps all pixels, "find" takes out what is not body;
            "automatic" keeps pictures of the run's size, which may be masked already.

    Raises:
        DataError: Naming what is wrong with the file.
    """
    name = shown_name(name)
    suffix = pathlib.PurePath(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{name}: a file must end in {', '.join(SUFFIXES)}.")
    if not content:
        raise DataError(f"{name}: this file is empty.")
    array = decode_pixels(content, name, most_pixels=MOST_PIXELS)
    height, width, channels = run.image_shape
    settings = PixelSettings(
        height=height, width=width, channels=channels,
        window=None if run.window == PIXEL_UNITS else run.window,
    )  # fmt: skip
    if suffix in TEXT_SUFFIXES and settings.window is None:
        raise DataError(f"{name}: this run knows no temperatures; send a picture.")
    picture = pixels.to_picture(array, name, settings)
    same_size = picture.values.shape[1:] == (height, width)
    find = background == "find" or (background == "automatic" and not same_size)
    body = pixels.find_body(picture, name) if find else None
    notes = _notes(picture, array, body, settings)
    if same_size and body is None:
        fraction = picture.values
        if picture.is_celsius:
            fraction = camera.to_window(fraction, run.window)
        image = np.moveaxis(fraction, 0, -1).astype(np.float32)
    else:
        made = pixels.pixel_features(picture, body, settings)
        image = camera.dequantise(made["image"])
    return Thermogram(name, image, tuple(notes))


def _notes(picture, array, body, settings: PixelSettings):
    """Sentences, most important first."""
    low, high = settings.stored_window
    rows, columns = picture.values.shape[1:]
    if not picture.is_celsius and settings.window is not None:
        yield (
            f"Grey levels are no temperatures: black was taken for {low:g} °C and "
            f"white for {high:g} °C. If the camera meant others, all below is wrong."
        )
    if (rows, columns) != (settings.height, settings.width):
        shape = "" if rows * settings.width == columns * settings.height else (
            " Its proportions changed."
        )  # fmt: skip
        yield (
            f"Resized from {rows} x {columns} to {settings.height} x {settings.width} "
            f"pixels with anti-aliasing, as data sets are.{shape} Fine detail is gone."
        )
    if body is not None:
        outside = low + OUTSIDE * (high - low)
        unit = " °C" if settings.window else ""
        yield (
            f"The body was looked for: the warm region found covers {body.mean():.0%} "
            f"of the frame, and all else was set to {outside:g}{unit}."
        )
    elif (rows, columns) == (settings.height, settings.width):
        yield "Taken as it is: nothing was cut out or resized."
    if picture.is_celsius:
        inside = np.ones((rows, columns), bool) if body is None else body
        values = picture.values[:, inside]
        clipped = float(np.mean((values < low) | (values > high)))
        if clipped:
            yield (
                f"{clipped:.1%} of the pixels are outside of {low:g} .. {high:g} °C, "
                "the window of this run, and were clipped."
            )
    if array.ndim == 3 and len(picture.values) == 1:
        yield "A picture of three equal channels: one was taken."
