"""The thermal twin: from the description of a patient to the temperature of her skin.

Two functions, both pure and differentiable: the steady skin temperature of a patient,
and the change that a tumour makes. The second is a solve of its own on the part of the
grid around the breast, since a tumour warms nothing that is ten decay lengths away; it
is exact, not a superposition, as conductance and blood flow change with the tumour.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from wbad_jax.bioheat import body_shape, conduction
from wbad_jax.bioheat.body_shape import Body, Grid
from wbad_jax.bioheat.conduction import (
    HeatBalance,
    HeatOperator,
    Medium,
    Surface,
    Surroundings,
)
from wbad_jax.bioheat.cut_cells import Cells, CutCells, cut_cells
from wbad_jax.bioheat.medium import Region, tissue_medium
from wbad_jax.bioheat.patient import Tumour, Twin
from wbad_jax.bioheat.solver import SolveReport, solve
from wbad_jax.bioheat.vessels import deposit
from wbad_jax.stages import default_stage

# Half the edge of the square around a tumour in which its effect is solved: eight decay
# lengths of gland, three beyond nearly all vessels that grow with it. With 96 mm the
# skin near long vessels is wrong by up to 0.05 degrees.
_REACH_MM = 120.0
_LEAST_SEEN = 0.5  # share of a pixel that is skin


class Discretised(NamedTuple):
    """A twin on a grid.

    Attributes:
        cells: Geometry.
        medium: Thermal properties.
        surroundings: As arrays over the image.
        balance: The heat balance.
        height: Of the skin above the chest wall, mm, `[rows, columns]`.
    """

    cells: CutCells
    medium: Medium
    surroundings: Surroundings
    balance: HeatBalance
    height: Surface


class View(NamedTuple):
    """What a camera in front of the patient could see.

    Attributes:
        skin: Temperature, degrees Celsius, `[rows, columns]`.
        body: Whether there is skin, bool.
        facing: Cosine of the angle between skin and line of sight.

    Examples:
        >>> from wbad_jax.bioheat import CohortSettings, draw_healthy, solve_healthy
        >>> settings = CohortSettings()
        >>> twin, _ = draw_healthy(7, settings)
        >>> _, _, view = solve_healthy(twin, settings.grid)  # doctest: +SKIP
        >>> view.skin.shape  # doctest: +SKIP
    """

    skin: Surface
    body: Array
    facing: Surface


def discretise(twin: Twin, grid: Grid) -> Discretised:
    """Puts a patient on a grid.

    Args:
        twin: The patient.
        grid: Its plane is the image.

    Returns:
        Geometry, medium and heat balance.
    """
    stage = default_stage()
    level = stage(_skin_level_in_cells, twin.body, grid=grid)
    cells = stage(cut_cells, level)
    height = cells.volume.sum(axis=-3) * grid.spacing_mm
    return _with_medium(twin, grid, cells, height, tumour=None)


def with_tumour(
    twin: Twin, tumour: Tumour, grid: Grid, healthy: Discretised
) -> Discretised:
    """The same patient with a tumour."""
    return _with_medium(twin, grid, healthy.cells, healthy.height, tumour)


def steady_state(
    patient: Discretised, tolerance: float = 1e-6
) -> tuple[Cells, SolveReport]:
    """Temperatures of the cells relative to 37 degrees, and how the solve ended."""
    return solve(patient.balance.operator, patient.balance.source, tolerance=tolerance)


def tumour_change(
    healthy: Discretised,
    ill: Discretised,
    theta: Cells,
    tumour: Tumour,
    grid: Grid,
    tolerance: float = 1e-4,
) -> tuple[Cells, SolveReport]:
    """Solves for the change of the temperatures that a tumour makes.

    Args:
        healthy: The patient without it.
        ill: The patient with it.
        theta: Temperatures of `healthy`.
        tumour: Where to solve: a square of 240 mm around it, insulated at its sides.
        grid: Of all of these.
        tolerance: Relative to the change, not to the temperature.

    Returns:
        The change on the whole grid, 0 outside the square, and how the solve ended.
    """
    before, after = healthy.balance, ill.balance
    operator_change = jax.tree.map(jnp.subtract, after.operator, before.operator)
    source = after.source - before.source - conduction.apply(operator_change, theta)
    start, size = _square(tumour, grid)

    def cut(array: Array) -> Array:
        return jax.lax.dynamic_slice(array, start, size)

    links = [cut(link) for link in after.operator.links]
    # Links that leave the square.
    links[1] = links[1].at[..., -1, :].set(0.0)
    links[2] = links[2].at[..., -1].set(0.0)
    operator = HeatOperator(*links, sink=cut(after.operator.sink))
    change, report = solve(operator, cut(source), tolerance=tolerance)
    return jax.lax.dynamic_update_slice(jnp.zeros_like(theta), change, start), report


def silhouette(body: Body, grid: Grid) -> Array:
    """Which pixels see skin, as in `View.body`, without a solve.

    Args:
        body: The shape.
        grid: Its plane is the image.

    Returns:
        `[rows, columns]` bool.
    """
    return _seen(cut_cells(_skin_level_in_cells(body, grid=grid))) > _LEAST_SEEN


def view(patient: Discretised, theta: Cells) -> View:
    """The skin as seen along the line of sight."""
    cells = patient.cells
    facing = jnp.maximum(cells.skin_facing, 0.0)
    seen = _seen(cells)
    area = jnp.where(facing > 0, cells.skin_area, 0.0).sum(axis=-3)
    skin = conduction.skin_temperature(
        patient.balance, theta, cells, patient.surroundings
    )
    return View(skin, seen > _LEAST_SEEN, seen / jnp.where(area > 0, area, 1.0))


def _seen(cells: CutCells) -> Surface:
    """Share of each pixel in which the camera sees skin."""
    return jnp.maximum(cells.skin_facing, 0.0).sum(axis=-3)


def tumour_place(
    tumour: Tumour, twin: Twin, height: Surface, grid: Grid
) -> tuple[Array, Array]:
    """Where the centre of a tumour lies.

    Returns:
        Its z in mm from the chest wall, and the level of the breast there: negative
        inside a breast, and about the distance from its surface.
    """
    z = _centre_height(tumour, height, grid)
    levels = [
        body_shape.breast_level(breast, z, tumour.row, tumour.column)
        for breast in twin.body.breasts
    ]
    return z, jnp.minimum(*levels)


def _with_medium(
    twin: Twin, grid: Grid, cells: CutCells, height: Surface, tumour: Tumour | None
) -> Discretised:
    stage = default_stage()
    points = twin.vessels
    regions = stage(_tissue_regions, twin, grid=grid)
    if tumour is not None:
        points = jnp.concatenate([points, tumour.vessels])
        regions.append(_tumour_region(tumour, height, grid))
    medium = stage(
        _medium,
        cells.depth,
        twin,
        regions,
        stage(deposit, points, height, grid=grid),
        grid=grid,
    )
    surroundings = stage(_surroundings, twin, grid=grid)
    balance = stage(
        conduction.heat_balance,
        cells,
        medium,
        surroundings,
        spacing=grid.spacing,
    )
    return Discretised(cells, medium, surroundings, balance, height)


def _medium(
    depth: Cells, twin: Twin, regions: list[Region], vessels: Cells, *, grid: Grid
) -> Medium:
    return tissue_medium(
        depth,
        background=twin.tissues.fat,
        regions=regions,
        skin=twin.tissues.skin,
        skin_thickness=twin.body.torso.skin / grid.spacing_mm,
        extra_perfusion=vessels,
        spacing=grid.spacing,
    )


def _skin_level_in_cells(body: Body, *, grid: Grid) -> Array:
    return body_shape.skin_level(body, *grid.axes(nodes=True)) / grid.spacing_mm


def _tissue_regions(twin: Twin, *, grid: Grid) -> list[Region]:
    """Gland inside the fat of the breasts, and muscle on the chest wall."""
    z, rows, columns = grid.axes()
    muscle = (twin.body.torso.muscle - z) / grid.spacing_mm
    muscle = jnp.broadcast_to(muscle, grid.shape)
    glands = [
        -body_shape.breast_level(breast, z, rows, columns, inset=breast.fat)
        for breast in twin.body.breasts
    ]
    gland = jnp.maximum(*glands) / grid.spacing_mm
    return [Region(gland, twin.tissues.gland), Region(muscle, twin.tissues.muscle)]


def _tumour_region(tumour: Tumour, height: Surface, grid: Grid) -> Region:
    z, rows, columns = grid.axes()
    squared = (z - _centre_height(tumour, height, grid)) ** 2
    squared = squared + (rows - tumour.row) ** 2 + (columns - tumour.column) ** 2
    radius = tumour.diameter / 2
    # The square root has no derivative at the very centre.
    level = (radius - jnp.sqrt(squared + 1e-6)) / grid.spacing_mm
    volume = 4 / 3 * jnp.pi * (radius / grid.spacing_mm) ** 3
    return Region(level, tumour.tissue, volume)


def _centre_height(tumour: Tumour, height: Surface, grid: Grid) -> Array:
    """Height of the centre: its depth is measured across a skin that may be slanted."""
    _, rows, columns = grid.shape
    y = tumour.row / grid.spacing_mm + rows / 2 - 0.5
    x = tumour.column / grid.spacing_mm + columns / 2 - 0.5

    def sample(dy: float, dx: float) -> Array:
        place = [jnp.atleast_1d(y + dy), jnp.atleast_1d(x + dx)]
        values = jax.scipy.ndimage.map_coordinates(height, place, 1, mode="nearest")
        return values[0]

    reach = 2.0
    slopes = [
        (sample(dy, dx) - sample(-dy, -dx)) / (2 * reach * grid.spacing_mm)
        for dy, dx in ((reach, 0.0), (0.0, reach))
    ]
    steepness = jnp.sqrt(1 + slopes[0] ** 2 + slopes[1] ** 2)
    return sample(0.0, 0.0) - tumour.depth * steepness


def _surroundings(twin: Twin, *, grid: Grid) -> Surroundings:
    """Heat transfer over the image: folds are shielded, nipples stand out."""
    _, rows, columns = grid.axes()
    torso, skin = twin.body.torso, twin.skin
    factor = jnp.ones(grid.shape[1:])
    for breast, nipple in zip(twin.body.breasts, skin.nipples, strict=True):
        u, v, radius = body_shape.rim_position(breast, rows, columns)
        # The fold fades out sideways, where the breast hangs free of the chest.
        below = jnp.clip(v + 0.2, 0, 1) * jnp.clip(0.9 - 0.5 * breast.side * u, 0, 1)
        rim = jnp.exp(-(((radius - 1.02) * breast.half_width / 10) ** 2) / 2)
        factor *= 1 - skin.fold * rim * below
        squared = ((u - breast.nipple_column) * breast.half_width) ** 2
        squared += ((v - breast.nipple_row) * breast.lower) ** 2
        factor *= 1 + nipple * jnp.exp(-squared / (2 * 5.0**2))
    for side in (-1, 1):
        x = (columns - torso.column) / torso.scale - side * 130
        y = (rows - torso.row) / torso.scale + 70
        factor *= 1 - skin.armpit * jnp.exp(-(x**2 + y**2) / (2 * 22**2))
    heat_transfer = skin.heat_transfer * factor[None]
    inside = jnp.minimum(body_shape.outline(torso, rows, columns), 0.0)
    core = twin.core - skin.flank * jnp.exp(inside / 18)
    return Surroundings(heat_transfer, twin.air, core[None], twin.core)


def _square(tumour: Tumour, grid: Grid) -> tuple[Sequence[Array], tuple[int, ...]]:
    """First cell and size of the square around a tumour, inside the grid."""
    depth, rows, columns = grid.shape
    edge = 2 * round(_REACH_MM / grid.spacing_mm)
    size = (depth, min(edge, rows), min(edge, columns))
    places = ((tumour.row, rows, size[1]), (tumour.column, columns, size[2]))
    start = [jnp.int32(0)]
    for place, cells, extent in places:
        centre = place / grid.spacing_mm + cells / 2
        first = jnp.round(centre - extent / 2).astype(jnp.int32)
        start.append(jnp.clip(first, 0, cells - extent))
    return start, size
