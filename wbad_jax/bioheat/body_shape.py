"""The shape of a frontal torso with raised arms, as level functions on a grid.

Lengths are millimetres: columns to the right and rows downwards from the image centre,
z from the chest wall to the camera. Level functions are negative inside and about the
distance from the surface near it.
"""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wbad_jax.bioheat.tissue import Scalar

_ARM_TILT = -52.0  # degrees; from the shoulder to the upper corner of the frame
_ROUNDING_MM = 22.0  # of the flank, where the chest turns backwards
_FILLET_MM = 12.0  # between breast and chest, and between the breasts
_TINY = 1e-12  # the square root has no derivative at 0, the centre of a breast


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grid:
    """A regular grid over the frame of the image.

    Attributes:
        shape: Cells along depth, rows and columns.
        spacing_mm: Edge of a cell.

    Examples:
        >>> from wbad_jax.bioheat import Grid
        >>> Grid(shape=(28, 128, 128), spacing_mm=3.0).spacing
        0.003
    """

    shape: tuple[int, int, int]
    spacing_mm: float

    @property
    def spacing(self) -> float:
        """Edge of a cell in metres, the unit of the physics."""
        return self.spacing_mm * 1e-3

    def axes(self, *, nodes: bool = False) -> tuple[Array, Array, Array]:
        """z, rows and columns in mm, broadcastable: cell centres, or their corners."""
        shift, more = (0.0, 1) if nodes else (0.5, 0)
        depth, rows, columns = self.shape
        z = (jnp.arange(depth + more) + shift) * self.spacing_mm
        y = (jnp.arange(rows + more) + shift - rows / 2) * self.spacing_mm
        x = (jnp.arange(columns + more) + shift - columns / 2) * self.spacing_mm
        return z[:, None, None], y[:, None], x


class Breast(NamedTuple):
    """Half an ellipsoid on the chest, its upper and lower half of unequal length.

    Attributes:
        side: -1 left of the image, +1 right of it.
        column: Of the centre.
        row: Of the centre.
        half_width: Semi-axis to both sides.
        upper: Semi-axis upwards.
        lower: Semi-axis downwards.
        projection: Semi-axis towards the camera, from the chest wall.
        sag: Rows that the section sinks per millimetre towards the camera.
        fat: Thickness of the fat under the skin.
        nipple_column: From the centre, in semi-axes.
        nipple_row: Likewise.

    Examples:
        >>> from wbad_jax.bioheat import CohortSettings, draw_healthy
        >>> twin, _ = draw_healthy(7, CohortSettings())
        >>> twin.body.left.side, twin.body.right.side
        (-1.0, 1.0)
    """

    side: Scalar
    column: Scalar
    row: Scalar
    half_width: Scalar
    upper: Scalar
    lower: Scalar
    projection: Scalar
    sag: Scalar
    fat: Scalar
    nipple_column: Scalar
    nipple_row: Scalar


class Torso(NamedTuple):
    """Everything of the body's shape but the breasts.

    Attributes:
        scale: Overall size, 1 for the average.
        column: Of the midline.
        row: Roughly the level of the nipples.
        chest: Half width at that level.
        waist: Half width at the lower edge of the frame.
        muscle: Thickness of the muscle on the chest wall.
        fat: Mean thickness of the fat on it.
        skin: Thickness of the skin.
        fat_waves: Amplitudes of smooth changes of the fat's thickness, `[4, 4]`, as
            shares of the mean.

    Examples:
        >>> from wbad_jax.bioheat import CohortSettings, draw_healthy
        >>> twin, _ = draw_healthy(7, CohortSettings())
        >>> twin.body.torso.skin > 0
        True
    """

    scale: Scalar
    column: Scalar
    row: Scalar
    chest: Scalar
    waist: Scalar
    muscle: Scalar
    fat: Scalar
    skin: Scalar
    fat_waves: Float[Array | np.ndarray, "4 4"]


class Body(NamedTuple):
    """Shape of one person.

    Examples:
        >>> from wbad_jax.bioheat import CohortSettings, draw_healthy
        >>> twin, _ = draw_healthy(7, CohortSettings())
        >>> twin.body._fields
        ('torso', 'left', 'right')
    """

    torso: Torso
    left: Breast
    right: Breast

    @property
    def breasts(self) -> tuple[Breast, Breast]:
        """Left and right of the image."""
        return self.left, self.right


def outline(torso: Torso, rows: Array, columns: Array) -> Array:
    """Level of the silhouette: torso, shoulders, neck and raised arms."""
    x = jnp.abs(columns - torso.column) / torso.scale
    y = (rows - torso.row) / torso.scale
    chest, waist = torso.chest / torso.scale, torso.waist / torso.scale
    flank = x - chest - (waist - chest) * jnp.clip(y / 200, 0, 1)
    # Shoulders fall away from the neck.
    trunk = jnp.maximum(flank, -195 + 0.2 * x - y)
    neck = jnp.maximum(x - 60, y + 150)
    tilt = jnp.deg2rad(_ARM_TILT)
    along = (x - 112) * jnp.cos(tilt) + (y + 95) * jnp.sin(tilt)
    across = -(x - 112) * jnp.sin(tilt) + (y + 95) * jnp.cos(tilt)
    arm = jnp.maximum(jnp.abs(across) - 58, -30 - along)
    return _smooth_min(_smooth_min(trunk, neck, 15.0), arm, 15.0) * torso.scale


def fat_thickness(torso: Torso, rows: Array, columns: Array) -> Array:
    """Fat between muscle and skin away from the breasts, mm: thin on the breastbone."""
    x = (columns - torso.column) / torso.scale
    y = (rows - torso.row) / torso.scale
    waves = sum(
        torso.fat_waves[i, j] * jnp.cos(jnp.pi * i * y / 400) * _odd_even(j, x)
        for i in range(4)
        for j in range(4)
    )
    share = 1.1 - 0.45 * jnp.exp(-((x / 28) ** 2) / 2) + waves
    return torso.fat * jnp.clip(share, 0.3, 2.2)


def skin_level(body: Body, z: Array, rows: Array, columns: Array) -> Array:
    """Level of the whole body, mm."""
    torso = body.torso
    thickness = torso.muscle + fat_thickness(torso, rows, columns) + torso.skin
    level = _smooth_max(z - thickness, outline(torso, rows, columns), _ROUNDING_MM)
    # The breasts first: a rounded minimum of three depends on their order.
    left, right = (breast_level(breast, z, rows, columns) for breast in body.breasts)
    return _smooth_min(level, _smooth_min(left, right, _FILLET_MM), _FILLET_MM)


def breast_level(
    breast: Breast, z: Array, rows: Scalar, columns: Scalar, *, inset: Scalar = 0.0
) -> Array:
    """Level of a breast, or of what lies more than `inset` mm inside it."""
    x = columns - breast.column
    y = rows - breast.row - breast.sag * z
    length = jnp.where(y < 0, breast.upper, breast.lower)
    axes = [
        jnp.maximum(axis - inset, 5.0)
        for axis in (breast.half_width, length, breast.projection)
    ]
    radius = jnp.sqrt(
        (x / axes[0]) ** 2 + (y / axes[1]) ** 2 + (z / axes[2]) ** 2 + _TINY
    )
    slope = jnp.sqrt(
        (x / axes[0] ** 2) ** 2
        + (y / axes[1] ** 2) ** 2
        + (z / axes[2] ** 2) ** 2
        + _TINY
    )
    # First-order distance.
    return (radius - 1) * radius / slope


def rim_position(
    breast: Breast, rows: Array, columns: Array
) -> tuple[Array, Array, Array]:
    """Position on the frontal image in semi-axes: to the right, downwards, radius."""
    y = rows - breast.row
    u = (columns - breast.column) / breast.half_width
    v = y / jnp.where(y < 0, breast.upper, breast.lower)
    return u, v, jnp.sqrt(u**2 + v**2 + _TINY)


def _odd_even(index: int, x: Array) -> Array:
    """Waves across the body: the first two symmetric, the others antisymmetric."""
    angle = jnp.pi * x / 300
    return (jnp.ones_like(x), jnp.cos(angle), jnp.sin(angle / 2), jnp.sin(angle))[index]


def _smooth_min(a: Array, b: Array, width: float) -> Array:
    """Minimum with a rounded edge. Quilez, polynomial smooth minimum."""
    blend = jnp.maximum(width - jnp.abs(a - b), 0.0) / width
    return jnp.minimum(a, b) - blend**2 * width / 4


def _smooth_max(a: Array, b: Array, width: float) -> Array:
    return -_smooth_min(-a, -b, width)
