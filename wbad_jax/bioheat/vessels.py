"""Warm blood near the skin: veins and benign warm findings, as points that heat tissue.

Each point exchanges heat between arterial blood and the cells around it. What the skin
shows of it, and how blurred, is left to the physics.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wbad_jax.bioheat.body_shape import Grid
from wbad_jax.bioheat.conduction import Surface
from wbad_jax.bioheat.cut_cells import Cells
from wbad_jax.bioheat.tissue import FAT

# Column and row in mm from the image centre, depth below the skin in mm, W/K.
Points = Float[Array | np.ndarray, "points 4"]
_STEP_MM = 3.0
_MILLIMETRE = 1e-3
_FINDING_POINTS = 60
# A cell's temperature is that of the tissue at this distance from a line in it, in
# cells (0.2 for a line along the centre, Peaceman 1978; more for one that is spread).
_SPREAD = 0.4
_WALL_RADIUS_MM = 0.7
# Of a metre of tissue between two radii in the ratio e, m K/W; veins lie in fat.
_RADIAL_RESISTANCE = 1 / (2 * math.pi * FAT.conductivity)
_LARGEST = 2.0  # W/K per metre, of the wall


def draw_tree(
    rng: np.random.Generator,
    column: float,
    row: float,
    direction: float,
    *,
    depth_mm: float,
    conductance: float,
    length_mm: float,
) -> np.ndarray:
    """Draws a vein with up to three branches.

    Args:
        rng: Source of the course.
        column: Of its start, mm.
        row: Likewise.
        direction: Of its start, radians from the right, downwards positive.
        depth_mm: Mean depth below the skin; it wanders by a third.
        conductance: Heat exchange of the trunk's wall with the blood, W/K per metre;
            at most 2 is counted.
        length_mm: Of the trunk.

    Returns:
        Points, `[points, 4]`.
    """
    trunk = _walk(rng, column, row, direction, length_mm)
    parts = [(trunk, conductance)]
    for _ in range(rng.integers(0, 4)):
        start = rng.integers(len(trunk))
        turn = trunk[start, 2] + rng.choice((-1, 1)) * rng.uniform(0.4, 1.1)
        length = rng.uniform(0.3, 0.7) * length_mm
        branch = _walk(rng, trunk[start, 0], trunk[start, 1], turn, length)
        parts.append((branch, conductance * rng.uniform(0.4, 0.9)))
    points = []
    for path, strength in parts:
        depth = depth_mm * np.exp(0.3 * _smooth_noise(rng, len(path)))
        fading = np.linspace(1.0, 0.5, len(path))
        watts = min(strength, _LARGEST) * fading * _STEP_MM * _MILLIMETRE
        points.append(np.column_stack([path[:, :2], depth, watts]))
    return np.concatenate(points)


def draw_finding(
    rng: np.random.Generator,
    column: float,
    row: float,
    *,
    depth_mm: float,
    radius_mm: float,
    conductance: float,
) -> np.ndarray:
    """Draws a benign warm finding: a patch of richer blood flow.

    Args:
        rng: Source of the points in the patch.
        column: Of its centre, mm.
        row: Likewise.
        depth_mm: Of its centre below the skin.
        radius_mm: Of the patch, flat to half of that in depth.
        conductance: Heat exchange of the whole patch, W/K.

    Returns:
        Points, `[points, 4]`.
    """
    offset = rng.normal(0, radius_mm / 2, (_FINDING_POINTS, 3))
    depth = np.maximum(depth_mm + offset[:, 2] / 2, 1.5)
    watts = np.full(_FINDING_POINTS, conductance / _FINDING_POINTS)
    return np.column_stack([column + offset[:, 0], row + offset[:, 1], depth, watts])


def deposit(points: Points, height: Surface, grid: Grid) -> Cells:
    """Spreads points over the cells around them.

    Args:
        points: Those outside the frame and those of 0 W/K count nothing.
        height: Of the skin above the chest wall, mm, `[rows, columns]`.
        grid: To spread on.

    Returns:
        Heat exchange per volume, W/m3/K, `[depth, rows, columns]`.
    """
    depth, rows, columns = grid.shape
    length = _STEP_MM * _MILLIMETRE
    # From the wall to where the cell's temperature is: more on a coarser grid.
    radii = math.log(_SPREAD * grid.spacing_mm / _WALL_RADIUS_MM) * _RADIAL_RESISTANCE
    # Floored: on cells finer than a vein it would turn round.
    exchange = points[:, 3] / jnp.maximum(1 + points[:, 3] / length * radii, 0.3)
    x = points[:, 0] / grid.spacing_mm + columns / 2 - 0.5
    y = points[:, 1] / grid.spacing_mm + rows / 2 - 0.5
    above = jax.scipy.ndimage.map_coordinates(height, [y, x], order=1, mode="nearest")
    z = (above - points[:, 2]) / grid.spacing_mm - 0.5
    position = jnp.stack([z, y, x])
    lower = jnp.floor(position)
    share = position - lower
    result = jnp.zeros(grid.shape, points.dtype)
    for corner in np.ndindex(2, 2, 2):
        index = lower.astype(jnp.int32) + np.array(corner)[:, None]
        weight = jnp.prod(
            jnp.where(np.array(corner)[:, None] == 1, share, 1 - share), axis=0
        )
        # Negative indices would count from the end.
        inside = jnp.all(index >= 0, axis=0)
        index = jnp.where(inside, index, depth + rows + columns)
        result = result.at[tuple(index)].add(weight * exchange, mode="drop")
    return result / grid.spacing**3


def pad_points(parts: list[np.ndarray], size: int) -> np.ndarray:
    """Joins points and fills up with points of no effect.

    Raises:
        ValueError: If there are more than `size`.
    """
    points = np.concatenate([np.zeros((0, 4)), *parts])
    if len(points) > size:
        raise ValueError(f"pad_points has room for {size} points, got {len(points)}.")
    filled = np.zeros((size, 4), np.float32)
    filled[: len(points)] = points
    return filled


def _walk(
    rng: np.random.Generator,
    column: float,
    row: float,
    direction: float,
    length_mm: float,
) -> np.ndarray:
    """Draws one winding line: column, row and direction of each point."""
    steps = max(int(length_mm / _STEP_MM), 2)
    angles = direction + np.cumsum(rng.normal(0, 0.16, steps))
    columns = column + np.cumsum(_STEP_MM * np.cos(angles))
    rows = row + np.cumsum(_STEP_MM * np.sin(angles))
    return np.column_stack([columns, rows, angles])


def _smooth_noise(rng: np.random.Generator, size: int) -> np.ndarray:
    """A wave of unit amplitude with a random phase, one in some 80 mm."""
    phase = rng.uniform(0, 2 * math.pi)
    return np.sin(phase + 2 * math.pi * np.arange(size) * _STEP_MM / 80.0)
