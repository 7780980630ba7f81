"""From the pixels of any picture to what is stored of an example.

Grey levels are a share of white; of a picture of temperatures the pixels are degrees.
A colour map is not a temperature: a model would learn its colours, and an attacker's
budget would mean another thing at each of them.
"""

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from wbad_jax.data import body_mask, examples
from wbad_jax.data.errors import DataError
from wbad_jax.data.matrices import PLAUSIBLE_CELSIUS

PIXEL_UNITS = (0.0, 1.0)


class Picture(NamedTuple):
    """What a file holds.

    Attributes:
        values: `[channels, height, width]` float64: degrees Celsius, or a share of
            white.
        is_celsius: Which of them.
    """

    values: np.ndarray
    is_celsius: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class PixelSettings:
    """How pictures become images.

    Attributes:
        height: Pixels of the stored image.
        width: Pixels of the stored image.
        channels: 1, or 3 to take colours as they are.
        window: Temperatures of pixel values 0 and 1, degrees Celsius; of grey levels,
            those of black and white. None: the levels stand for no temperature.
        white_level: Grey level of pixel value 1; if None the largest of 8 or 16 bits.
        mask_background: Set everything outside the body to a constant.

    Examples:
        >>> from wbad_jax.data import PixelSettings
        >>> PixelSettings(height=64, width=64, window=(22.0, 38.0)).channels
        1
    """

    height: int = 128
    width: int = 128
    channels: int = 1
    window: tuple[float, float] | None = None
    white_level: int | None = None
    mask_background: bool = True

    def __post_init__(self):
        for name in ("height", "width"):
            _check_count(name, getattr(self, name))
        if self.channels not in (1, 3):
            raise DataError(f"channels must be 1 or 3, got {self.channels!r}.")
        if self.white_level is not None:
            _check_count("white_level", self.white_level)
        if self.window is not None:
            low, high = self.window
            if not low < high:
                raise DataError(f"window needs low < high, got {low} .. {high}.")

    @property
    def stored_window(self) -> tuple[float, float]:
        """Window of the data set."""
        return self.window or PIXEL_UNITS


def _check_count(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise DataError(f"{name} must be a whole number of at least 1, got {value!r}.")


def to_picture(array: np.ndarray, name: str, settings: PixelSettings) -> Picture:
    """Checks the pixels of a picture.

    Args:
        array: `[height, width]` or `[height, width, channels]`; whole numbers are grey
            levels, others degrees Celsius, or shares of white where there is no window.
        name: Of the file, for the error.
        settings: How to read them.

    Raises:
        DataError: If the picture is coloured and one channel is wanted, or a value is
            out of range.
    """
    values = array[None] if array.ndim == 2 else np.moveaxis(array, -1, 0)
    if values.ndim != 3 or not values.size:
        raise DataError(f"{name}: a picture must have two sides, got {array.shape}.")
    values = _match_channels(values, name, settings.channels)
    if np.issubdtype(values.dtype, np.integer):
        if values.dtype not in (np.uint8, np.uint16) and not settings.white_level:
            raise DataError(
                f"{name}: levels of type {values.dtype} need white_level, the level of "
                "white."
            )
        white = settings.white_level or np.iinfo(values.dtype).max
        if values.min() < 0 or values.max() > white:
            raise DataError(
                f"{name}: grey levels must be in 0 .. {white}, got {values.min()} .. "
                f"{values.max()}."
            )
        return Picture(values / white, is_celsius=False)
    is_celsius = settings.window is not None
    low, high = PLAUSIBLE_CELSIUS if is_celsius else PIXEL_UNITS
    if not (values.min() >= low and values.max() <= high):  # NaN is neither
        hint = "" if is_celsius else " Are they temperatures? Then give a window."
        raise DataError(
            f"{name}: pixels must be in {low:g} .. {high:g}, got {values.min():g} .. "
            f"{values.max():g}.{hint}"
        )
    return Picture(values.astype(np.float64), is_celsius)


def _match_channels(values: np.ndarray, name: str, channels: int) -> np.ndarray:
    if len(values) == channels:
        return values
    if len(values) == 3:
        if (values == values[:1]).all():
            return values[:1]
        raise DataError(
            f"{name}: this picture is coloured. A colour map is not a temperature: "
            "export grey levels or temperatures, or give channels=3 to take the "
            "colours as they are."
        )
    raise DataError(
        f"{name}: a picture must have {channels} channels, got {len(values)}."
    )


def find_body(picture: Picture, name: str) -> np.ndarray:
    """The largest warm region, `[height, width]` bool; see `body_mask.find_body`."""
    return body_mask.find_body(picture.values.mean(axis=0), name)


def pixel_features(
    picture: Picture, body: np.ndarray | None, settings: PixelSettings
) -> dict[str, Any]:
    """Resizes, masks and quantises: image, mask and scalars of an example.

    Args:
        picture: Of `to_picture`.
        body: `[height, width]` bool; None for the whole frame.
        settings: Size, window and masking.

    Returns:
        `image`, `mask`, `background_celsius` and `noise_celsius`; the last two are
        shares of white where pixels stand for no temperature.
    """
    shape = settings.height, settings.width
    low, high = settings.stored_window
    if picture.is_celsius:
        celsius = picture.values
    else:
        celsius = low + (high - low) * picture.values
    everything = np.ones(celsius.shape[1:], bool)
    body = everything if body is None else body
    keep = body if settings.mask_background else everything
    shrunk = [body_mask.shrink(channel, keep, shape) for channel in celsius]
    image = examples.image_features(
        np.stack([pixels for pixels, _ in shrunk]), shrunk[0][1], (low, high)
    )["image"]
    _, mask = body_mask.shrink(celsius[0], body, shape)
    return {
        "image": np.moveaxis(image[..., 0], 0, -1),
        "mask": mask[..., None].astype(np.uint8),
        **examples.measure_scalars(celsius.mean(axis=0), body),
    }
