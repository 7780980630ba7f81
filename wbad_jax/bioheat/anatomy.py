"""A frontal torso with raised arms: its outline and the temperature of its skin.

Lengths are millimetres from the image centre, columns to the right and rows downwards,
so the same person can be drawn on any grid. Numbers without a source are sizes of
adults chosen by eye against the outlines of DMR-IR frames.
"""

import dataclasses

import numpy as np
from scipy import ndimage

from wbad_jax.bioheat import texture


@dataclasses.dataclass(frozen=True, kw_only=True)
class Breast:
    """An ellipse on the frontal image, millimetres.

    Attributes:
        side: -1 left of the image, +1 right of it.
        column: Of the centre.
        row: Of the centre.
        half_width: Horizontal semi-axis.
        half_height: Vertical semi-axis.
    """

    side: int
    column: float
    row: float
    half_width: float
    half_height: float

    def relative_position(
        self, columns: np.ndarray, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Position in units of the semi-axes; the rim has radius 1."""
        return (
            (columns - self.column) / self.half_width,
            (rows - self.row) / self.half_height,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Body:
    """Shape of one person, millimetres.

    Attributes:
        scale: Overall size, 1 for the average.
        column: Of the midline.
        row: Of the level of the nipples, roughly.
        chest: Half width of the torso at that level.
        waist: Half width of the torso at the lower edge.
        breasts: Left and right of the image.
    """

    scale: float
    column: float
    row: float
    chest: float
    waist: float
    breasts: tuple[Breast, Breast]


def pixel_grid(
    shape: tuple[int, int], millimetres_per_pixel: float
) -> tuple[np.ndarray, np.ndarray]:
    """Positions of pixel centres: columns `[1, width]` and rows `[height, 1]`, mm."""
    height, width = shape
    columns = (np.arange(width) - (width - 1) / 2) * millimetres_per_pixel
    rows = (np.arange(height) - (height - 1) / 2) * millimetres_per_pixel
    return columns[None, :], rows[:, None]


def draw_body(rng: np.random.Generator) -> Body:
    """Draws a person's size, place in the frame, and unequal breasts."""
    scale = float(np.clip(rng.normal(1.0, 0.06), 0.85, 1.15))
    column, row = rng.normal(0, 6), rng.normal(15, 12)
    half_width, half_height = rng.uniform(62, 80), rng.uniform(68, 92)
    distance = rng.uniform(80, 95)
    breasts = []
    for side in (-1, 1):
        breasts.append(
            Breast(
                side=side,
                column=column + side * scale * distance * rng.normal(1, 0.03),
                row=row + scale * rng.normal(20, 5),
                half_width=scale * half_width * rng.normal(1, 0.04),
                half_height=scale * half_height * rng.normal(1, 0.04),
            )
        )
    return Body(
        scale=scale,
        column=column,
        row=row,
        chest=scale * rng.normal(146, 7),
        waist=scale * rng.normal(130, 11),
        breasts=(breasts[0], breasts[1]),
    )


def body_mask(body: Body, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Pixels on the body: torso, breasts, raised arms, neck.

    Args:
        body: The person.
        columns: `[1, width]` of `pixel_grid`.
        rows: `[height, 1]` of `pixel_grid`.

    Returns:
        `[height, width]`, bool.
    """
    x, y = (columns - body.column) / body.scale, (rows - body.row) / body.scale
    chest, waist = body.chest / body.scale, body.waist / body.scale
    half_width = chest + (waist - chest) * np.clip(y / 200, 0, 1)
    # Shoulders fall away from the neck.
    mask = (np.abs(x) < half_width) & (y > -150 + 0.25 * np.abs(x))
    mask |= (np.abs(x) < 58) & (y < -100)
    # Arms are bars from the shoulder to the upper corners of the frame.
    along, across = _rotate(np.abs(x) - 112, y + 60, angle=np.deg2rad(-52))
    mask |= (along > -30) & (np.abs(across) < 60)
    for breast in body.breasts:
        u, v = breast.relative_position(columns, rows)
        mask |= u**2 + v**2 < 1
    return mask


def broad_pattern(
    rng: np.random.Generator, body: Body, columns: np.ndarray, rows: np.ndarray
) -> np.ndarray:
    """Draws the slow change of temperature over the trunk and the arms.

    Nothing in it is narrower than 15 cm, so it can be given any amplitude without
    making or hiding a tumour.

    Args:
        rng: Consumed alike whatever the label.
        body: The person.
        columns: `[1, width]` of `pixel_grid`.
        rows: `[height, 1]` of `pixel_grid`.

    Returns:
        Relative temperature of arbitrary scale, `[height, width]`.
    """
    x, y = (columns - body.column) / body.scale, (rows - body.row) / body.scale
    warm_middle = rng.uniform(0.5, 1.5) * np.exp(-((x / 110) ** 2) / 2)
    cold_arms = rng.uniform(0.0, 1.0) * np.clip((np.abs(x) - 90) / 100, 0, 1)
    head_to_foot = rng.normal(0, 0.6) * np.sin(y / 150)
    waves = rng.normal(0, 0.4) * np.cos(y / 75 + rng.uniform(0, 2 * np.pi))
    return warm_middle - cold_arms + head_to_foot + waves


def local_pattern(
    rng: np.random.Generator,
    body: Body,
    mask: np.ndarray,
    millimetres_per_pixel: float,
    clutter: float,
) -> np.ndarray:
    """Draws breasts, folds, armpits, veins, warm spots and the cool outline.

    Args:
        rng: Consumed alike whatever the label.
        body: The person.
        mask: `[height, width]` of `body_mask`.
        millimetres_per_pixel: Edge of a pixel.
        clutter: Factor on veins and warm spots.

    Returns:
        Degrees Celsius relative to an arbitrary level, `[height, width]`.
    """
    columns, rows = pixel_grid(mask.shape, millimetres_per_pixel)
    x, y = (columns - body.column) / body.scale, (rows - body.row) / body.scale
    celsius = np.zeros(mask.shape)
    for side in (-1, 1):
        spot = ((x - side * 128) ** 2 + (y + 45) ** 2) / (2 * 22**2)
        celsius += rng.normal(0.7, 0.2) * np.exp(-spot)
    cooling, fold = rng.uniform(0.5, 1.8), rng.uniform(0.3, 1.2)
    for breast in body.breasts:
        celsius += _breast_structure(rng, breast, columns, rows, cooling, fold)
    origins = _vein_origins(rng, body)
    regions = [(b.column, b.row, b.half_width, b.half_height) for b in body.breasts]
    regions.append((body.column, body.row - 60, 90.0, 50.0))
    veins = texture.veins(rng, mask.shape, millimetres_per_pixel, origins)
    celsius += clutter * (veins + texture.warm_spots(rng, columns, rows, regions))
    # Skin seen at a grazing angle emits less and has cooled from the side.
    padded = np.pad(mask, 1, mode="edge")
    depth = np.asarray(ndimage.distance_transform_edt(padded))[1:-1, 1:-1]
    celsius -= rng.uniform(0.5, 1.5) * np.exp(-depth * millimetres_per_pixel / 12)
    return celsius


def _breast_structure(
    rng: np.random.Generator,
    breast: Breast,
    columns: np.ndarray,
    rows: np.ndarray,
    cooling: float,
    fold: float,
) -> np.ndarray:
    """A cool dome, a warm fold below it, and a nipple of its own temperature."""
    u, v = breast.relative_position(columns, rows)
    radius = np.hypot(u, v)
    dome = np.maximum(1 - radius**2, 0) * (0.7 + 0.4 * v)
    # The fold fades out sideways, where the breast hangs free of the chest.
    below = np.clip(v, 0, 1) * np.clip(0.9 - 0.5 * breast.side * u, 0, 1)
    rim = np.exp(-(((radius - 1) * breast.half_width / 9) ** 2) / 2) * below
    nipple_u, nipple_v = breast.side * rng.normal(0.3, 0.08), rng.normal(0.3, 0.08)
    squared = ((u - nipple_u) * breast.half_width) ** 2
    squared = squared + ((v - nipple_v) * breast.half_height) ** 2
    # Cooler in most, warmer in some, by 0.3-1 degrees.
    sign = -1 if rng.uniform() < 0.75 else 1
    nipple = sign * rng.uniform(0.3, 1.0) * np.exp(-squared / (2 * 6.0**2))
    return -cooling * rng.normal(1, 0.06) * dome + fold * rim + nipple


def _vein_origins(
    rng: np.random.Generator, body: Body
) -> list[tuple[float, float, float]]:
    """Where veins enter: from the armpit, the collarbone and the breastbone."""
    origins = []
    for breast in body.breasts:
        outward = breast.side
        places = [(125, -70, 2.4), (70, -110, 1.7), (20, -40, 0.8), (60, -20, 1.2)]
        for column, row, direction in places:
            angle = direction + rng.normal(0, 0.3)
            # Angles are written for the right of the image and mirrored for the left.
            origins.append(
                (
                    body.column + outward * (column + rng.normal(0, 12)) * body.scale,
                    body.row + (row + rng.normal(0, 12)) * body.scale,
                    angle if outward > 0 else np.pi - angle,
                )
            )
    return origins


def _rotate(
    x: np.ndarray, y: np.ndarray, angle: float
) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates along and across the direction `angle`."""
    return (
        x * np.cos(angle) + y * np.sin(angle),
        -x * np.sin(angle) + y * np.cos(angle),
    )
