"""An infrared camera: emissivity, optics, detector, a fixed window, a quantiser.

Figures are those of the uncooled cameras of breast thermography (FLIR SC-620, noise
below 0.04 degrees at 30 degrees Celsius) and of 95 healthy DMR-IR matrices, whose
robust noise is 0.049 degrees in the finest Haar subband and whose files keep 0.01.
"""

import dataclasses
import functools
import math

import numpy as np
import scipy

_LEVELS = 65535  # of uint16; one level of a 16 degree window is 0.00024 degrees
# Standard deviation of the slope of skin lines in each direction, about 17 degrees. Not
# measured: chosen for 0.87 of the frontal emissivity at 80 degrees. Smooth skin, 0.67,
# would look 3 degrees too cold there; Lambertian skin would not at all. Both have been
# claimed: Watmough et al. (1970), Sanchez-Marin et al. (2009).
_SKIN_SLOPE = 0.3
_TAG_SHARE = 1 / 16  # edge of the reference plate in heights of the frame
# Where its centre lies: shares of the body's height and of its width at that height.
_TAG_ROWS = (0.91, 0.96)
_TAG_COLUMNS = (0.05, 0.2)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Camera:
    """Settings of the simulated camera.

    Attributes:
        psf_sigma_pixels: Gaussian blur of optics and detector, pixels of the image.
        noise_celsius: Standard deviation of white noise (the camera's NETD).
        column_celsius: Standard deviation of the offset of each detector column.
        drift_celsius: Standard deviation of one offset of the whole exposure, left by
            the last correction against the shutter.
        gain: Standard deviation of the relative error of differences from room
            temperature, at which the shutter's correction is exact.
        emissivity: Of skin seen face on, known to the camera's software. 1 for skin
            that looks equally warm at every angle.
        quantum_celsius: Step of the temperatures in the camera's files, 0 for none.
        detector_pixels: Edge of a detector element in pixels of the image.
        reference_tag: Whether a plate at room temperature lies on the body.

    Examples:
        >>> from wbad_jax.bioheat import Camera
        >>> Camera(noise_celsius=0.03).psf_sigma_pixels
        0.6
    """

    psf_sigma_pixels: float = 0.6
    noise_celsius: float = 0.045
    column_celsius: float = 0.02
    drift_celsius: float = 0.1
    gain: float = 0.003
    emissivity: float = 0.98
    quantum_celsius: float = 0.01
    detector_pixels: int = 1
    reference_tag: bool = False

    def __post_init__(self):
        chosen = {"emissivity", "detector_pixels", "reference_tag"}
        for name in (f.name for f in dataclasses.fields(self)):
            value = getattr(self, name)
            if name not in chosen and not 0 <= value < math.inf:
                raise ValueError(f"Camera needs finite {name} >= 0, got {value}.")
        if not 0 < self.emissivity <= 1:
            raise ValueError(
                f"Camera needs 0 < emissivity <= 1, got {self.emissivity}."
            )
        if not (isinstance(self.detector_pixels, int) and self.detector_pixels >= 1):
            raise ValueError(
                f"Camera needs an integer detector_pixels >= 1, got "
                f"{self.detector_pixels}."
            )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Exposure:
    """Everything random about one picture, the same for both twins of a patient.

    Attributes:
        white: White noise, degrees, `[H, W]`, or `[frames, H, W]` of a series.
        columns: Offset of each column, degrees, `[W]`.
        offset: Of the whole picture, degrees.
        gain: Relative error of differences from room temperature.
        tag: Centre of the reference plate as shares of the body's height and of its
            width at that height; None without plate.
    """

    white: np.ndarray
    columns: np.ndarray
    offset: float
    gain: float
    tag: tuple[float, float] | None


def draw_exposure(
    rng: np.random.Generator,
    shape: tuple[int, int],
    camera: Camera,
    frames: int = 1,
) -> Exposure:
    """Draws what is random about a picture.

    Columns are drawn anew for each exposure although called fixed-pattern noise: they
    change with every correction against the shutter, and a pattern common to a whole
    cohort would be a constant that a network could subtract.

    Args:
        rng: Consumed in a fixed order: white noise, columns, offset, gain, tag; alike
            with and without tag.
        shape: Height and width, multiples of `camera.detector_pixels`.
        camera: Standard deviations of the parts.
        frames: Pictures of a series, which differ in white noise only.

    Returns:
        The exposure. Noise is that of a detector element, so constant over it.

    Raises:
        ValueError: If the shape does not fit the detector, or there is no frame.
    """
    edge = camera.detector_pixels
    if shape[0] % edge or shape[1] % edge:
        raise ValueError(f"shape needs multiples of detector_pixels {edge}: {shape}.")
    if frames < 1:
        raise ValueError(f"frames needs >= 1, got {frames}.")
    leading = () if frames == 1 else (frames,)
    white = rng.normal(
        0, camera.noise_celsius, (*leading, shape[0] // edge, shape[1] // edge)
    )
    columns = rng.normal(0, camera.column_celsius, shape[1] // edge)
    offset, gain = rng.normal(0, camera.drift_celsius), rng.normal(0, camera.gain)
    row, column = rng.uniform(*_TAG_ROWS), rng.uniform(*_TAG_COLUMNS)
    place = row, column if rng.integers(2) else 1 - column
    return Exposure(
        white=white.repeat(edge, axis=-2).repeat(edge, axis=-1),
        columns=columns.repeat(edge),
        offset=offset,
        gain=gain,
        tag=place if camera.reference_tag else None,
    )


def take_image(
    skin_celsius: np.ndarray,
    mask: np.ndarray,
    facing: np.ndarray,
    room_celsius: float,
    exposure: Exposure,
    camera: Camera,
) -> np.ndarray:
    """Takes a picture of the skin in front of a wall at room temperature.

    Everything before `quantum_celsius` is linear in the temperature of the skin, so
    twins differ by the tumour's excess times emissivity, blurred, times gain. To be
    exact the signal goes with about the fourth power; at 80 degrees that moves the
    picture by 0.04 degrees, and nothing at the front, where software corrects for it.

    Args:
        skin_celsius: `[..., H, W]`, whatever outside the mask; twins are stacked in
            front, and `[..., frames, H, W]` or `[..., 1, H, W]` for a series.
        mask: Body pixels, `[H, W]` bool.
        facing: Cosine between skin and line of sight, `[H, W]`.
        room_celsius: Of the wall, and of all that the skin reflects.
        exposure: The random part.
        camera: The rest.

    Returns:
        Temperatures as the camera's software gives them, `[..., H, W]` float64.

    Raises:
        ValueError: If shapes do not fit, or temperatures or cosines of the body are
            not finite.
    """
    skin, facing = np.asarray(skin_celsius, float), np.asarray(facing, float)
    _check_scene(skin, mask, facing, room_celsius, exposure)
    warmth = relative_emissivity(np.where(mask, facing, 1.0), camera)
    warmth = warmth * np.where(mask, skin - room_celsius, 0.0)
    if exposure.tag is not None:
        warmth = np.where(_tag_pixels(mask, exposure.tag), 0.0, warmth)
    warmth = _on_detector(blur(warmth, mask, camera), mask, camera.detector_pixels)
    celsius = room_celsius + (1 + exposure.gain) * warmth
    celsius = celsius + exposure.offset + exposure.columns + exposure.white
    if camera.quantum_celsius == 0:
        return celsius
    return np.round(celsius / camera.quantum_celsius) * camera.quantum_celsius


def relative_emissivity(facing: np.ndarray, camera: Camera) -> np.ndarray:
    """Emissivity of slanted skin over that of skin seen face on.

    Camera software divides by the frontal value, so that only this ratio shows.

    Args:
        facing: Cosine between skin and line of sight, any shape.
        camera: Its `emissivity` sets the refractive index of skin: 1.33 for 0.98.

    Returns:
        Same shape, at most about 1.

    Reference:
        Masuda, Takashima and Takayama (1988), Emissivity of pure and sea waters for the
        model sea surface in the infrared window regions: Fresnel's equations averaged
        over the facets of a rough surface that are seen, without shadows.
    """
    table = _emissivity_table(camera.emissivity)
    values = np.interp(facing, np.linspace(0, 1, table.size), table)
    return values / table[-1]


@functools.lru_cache
def _emissivity_table(emissivity: float) -> np.ndarray:
    """Emissivity of rough skin at evenly spaced cosines from 0 to 1."""
    root = math.sqrt(1 - emissivity)
    index = (1 + root) / (1 - root)
    cosine = np.linspace(0, 1, 129)[:, None, None]
    slopes = np.linspace(-4, 4, 121) * _SKIN_SLOPE
    x, y = slopes[:, None], slopes  # along and across the line of sight
    density = np.exp(-(x**2 + y**2) / (2 * _SKIN_SLOPE**2))
    seen = np.maximum(cosine - x * np.sqrt(1 - cosine**2), 0.0)
    emitted = _fresnel_emissivity(seen / np.sqrt(1 + x**2 + y**2), index)
    weight = density * seen
    table = (weight * emitted).sum((1, 2)) / weight.sum((1, 2))
    table.setflags(write=False)
    return table


def _fresnel_emissivity(cosine: np.ndarray, index: float) -> np.ndarray:
    """Unpolarised emissivity of a smooth dielectric."""
    cosine = np.maximum(cosine, 1e-9)  # index 1 gives 0 / 0 at grazing view
    inside = np.sqrt(index**2 - 1 + cosine**2)
    across = (cosine - inside) / (cosine + inside)
    along = (index**2 * cosine - inside) / (index**2 * cosine + inside)
    return 1 - (across**2 + along**2) / 2


def blur(celsius: np.ndarray, mask: np.ndarray, camera: Camera) -> np.ndarray:
    """Blurs body and background with the point spread function, each within itself.

    An image of this size is a real exposure shrunk several times, with the body cut out
    first; so no pixel of the body is mixed with the wall behind it.

    Args:
        celsius: The scene, `[..., height, width]`.
        mask: Body pixels, `[height, width]` bool.
        camera: Its blur.

    Returns:
        The blurred scene, same shape.
    """
    smooth = functools.partial(
        scipy.ndimage.gaussian_filter,
        sigma=camera.psf_sigma_pixels,
        mode="nearest",
        axes=(-2, -1),
    )
    return _within_parts(celsius, mask, smooth)


def _on_detector(celsius: np.ndarray, mask: np.ndarray, edge: int) -> np.ndarray:
    """Averages over detector elements, for body and wall apart as in `blur`."""

    def average(image: np.ndarray) -> np.ndarray:
        *leading, height, width = image.shape
        blocks = image.reshape(*leading, height // edge, edge, width // edge, edge)
        means = blocks.mean(axis=(-3, -1))
        return means.repeat(edge, axis=-2).repeat(edge, axis=-1)

    return celsius if edge == 1 else _within_parts(celsius, mask, average)


def _within_parts(celsius, mask, smooth) -> np.ndarray:
    """Applies a linear filter to body and wall, normalised within each."""
    smoothed = np.empty(celsius.shape)
    for part in (mask, ~mask):
        weight = smooth(part.astype(float))
        value = smooth(np.where(part, celsius, 0.0))
        smoothed[..., part] = value[..., part] / weight[part]
    return smoothed


def _tag_pixels(mask: np.ndarray, place: tuple[float, float]) -> np.ndarray:
    """Pixels under the reference plate, none where there is no body."""
    rows = np.flatnonzero(mask.any(axis=1))
    if rows.size == 0:
        return np.zeros(mask.shape, bool)
    row = rows[int(place[0] * rows.size)]
    columns = np.flatnonzero(mask[row])
    column = columns[int(place[1] * columns.size)]
    half = _TAG_SHARE * mask.shape[0] / 2
    y, x = np.ogrid[: mask.shape[0], : mask.shape[1]]
    return (abs(y + 0.5 - row) < half) & (abs(x + 0.5 - column) < half)


def _check_scene(skin, mask, facing, room_celsius, exposure) -> None:
    shape, series = mask.shape, exposure.white.shape[:-2]
    if mask.dtype != bool or len(shape) != 2:
        raise ValueError(f"mask needs bool [H, W], got {mask.dtype} {shape}.")
    for name, array in (
        ("skin_celsius", skin),
        ("facing", facing),
        ("exposure", exposure.white),
    ):
        if array.shape[-2:] != shape:
            raise ValueError(f"{name} needs shape {shape} of mask, got {array.shape}.")
    # Else twins could be taken for frames, and each be given noise of its own.
    if series and skin.ndim > 2 and skin.shape[-3] not in (1, *series):
        raise ValueError(
            f"skin_celsius of {series[0]} frames needs [..., frames or 1, H, W], got "
            f"{skin.shape}."
        )
    if not (math.isfinite(room_celsius) and np.isfinite(skin[..., mask]).all()):
        raise ValueError("skin_celsius and room_celsius need to be finite.")
    # Areas of cut cells are approximate: cosines may pass 1 by a thousandth.
    if not ((facing[mask] >= 0) & (facing[mask] <= 1.01)).all():
        raise ValueError("facing needs cosines from 0 to 1 on the body.")


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
