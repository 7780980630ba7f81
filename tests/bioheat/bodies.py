"""Bodies of simple shape on a grid, for tests of the heat solver against closed forms.

Axes are z, y, x; lengths are in metres unless a name says otherwise. Grids hold what
precision JAX is set to.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tests.bioheat.reference_solutions import FOUR
from wbad_jax.bioheat.conduction import (
    Medium,
    Surroundings,
    heat_balance,
    skin_temperature,
)
from wbad_jax.bioheat.cut_cells import CutCells, cut_cells
from wbad_jax.bioheat.medium import Region, tissue_medium
from wbad_jax.bioheat.solver import check_converged, solve
from wbad_jax.bioheat.tissue import Tissue

jitted_cut = jax.jit(cut_cells)
jitted_balance = jax.jit(heat_balance)


class Body(NamedTuple):
    cells: CutCells
    medium: Medium
    spacing: float


def surroundings(heat_transfer=10.0, air=21.0, core=37.0, blood=37.0):
    return Surroundings(*map(jnp.asarray, (heat_transfer, air, core, blood)))


def as_tissue(layer):
    return Tissue(
        layer.conductivity,
        layer.perfusion,
        layer.metabolic_heat,
        layer.density,
        layer.specific_heat,
    )


def node_axis(size, centre=0.0):
    """Corners of `size` cells in units of their edge, and their centres."""
    nodes = np.arange(size + 1) - centre
    return nodes, (nodes[1:] + nodes[:-1]) / 2


class Tumour(NamedTuple):
    """Below the corner of the grid, which the insulated sides mirror to a whole."""

    diameter: float
    depth: float
    perfusion: float
    heat: float


def slab(layers=FOUR, *, spacing, lateral=2, tumour=None):
    """Layers from the core up; the skin is the last of several, its top inside a cell.

    A tumour is laid over them.
    """
    thickness = np.array([layer.thickness for layer in layers]) / spacing
    top = thickness.sum()
    # A whole number of cells is left whole: its skin is the upper face of the last.
    nodes, z = node_axis(int(np.ceil(top - 1e-9)))
    z = jnp.asarray(np.broadcast_to(z[:, None, None], (z.size, lateral, lateral)))
    level = np.broadcast_to(
        nodes[:, None, None] - top, (nodes.size,) + 2 * (lateral + 1,)
    )
    cells = jitted_cut(jnp.asarray(level))
    *inner, outer = layers
    background = inner[-1] if inner else outer
    tops = np.cumsum(thickness)[: len(inner) - 1]
    # The deepest last: later regions lie over earlier ones.
    regions = [
        Region(end - z, as_tissue(layer))
        for end, layer in reversed(list(zip(tops, inner, strict=False)))
    ]
    if tumour:
        regions.append(_quarter_ball(tumour, z, top, spacing))
    medium = jitted_medium(
        cells.depth,
        as_tissue(background),
        regions,
        as_tissue(outer),
        thickness[-1] if inner else 0.0,
        spacing,
    )
    return Body(cells, medium, spacing)


@jax.jit
def jitted_medium(depth, background, regions, skin, skin_thickness, spacing):
    return tissue_medium(
        depth,
        background=background,
        regions=regions,
        skin=skin,
        skin_thickness=skin_thickness,
        extra_perfusion=0.0,
        spacing=spacing,
    )


def _quarter_ball(tumour, z, top, spacing):
    side = jnp.arange(z.shape[-1]) + 0.5
    below = z - (top - tumour.depth / spacing)
    distance = jnp.sqrt(below**2 + side[:, None] ** 2 + side**2)
    radius = tumour.diameter / 2 / spacing
    # Conductivity of gland; the rest is the tumour's own.
    tissue = Tissue(0.48, tumour.perfusion, tumour.heat)
    return Region(radius - distance, tissue, jnp.asarray(np.pi / 3 * radius**3))


def sphere(layer, *, radius, spacing, margin=2):
    """One tissue; the centre is a corner of the grid."""
    half = int(np.ceil(radius / spacing)) + margin
    nodes, _ = node_axis(2 * half, half)
    distance = np.sqrt(sum(np.square(np.meshgrid(*3 * [nodes], indexing="ij"))))
    cells = jitted_cut(jnp.asarray(distance - radius / spacing))
    tissue = as_tissue(layer)
    return Body(
        cells, jitted_medium(cells.depth, tissue, [], tissue, 0.0, spacing), spacing
    )


@functools.partial(jax.jit, static_argnames=("tolerance", "max_iterations"))
def jitted_steady(body, outside, tolerance=1e-6, max_iterations=50):
    balance = heat_balance(body.cells, body.medium, outside, body.spacing)
    theta, report = solve(
        balance.operator,
        balance.source,
        tolerance=tolerance,
        max_iterations=max_iterations,
    )
    return skin_temperature(balance, theta, body.cells, outside), theta, report


def steady(body, outside, **settings):
    """Skin and temperatures of the cells, which have converged."""
    skin, theta, report = jitted_steady(body, outside, **settings)
    check_converged(report, "the body of a test")
    return np.asarray(skin), np.asarray(theta)


def above_axis(skin):
    """Over the mirrored corner, between the first cells: even in both coordinates."""
    return float(skin[0, 0] + (skin[0, 0] - skin[1, 1]) / 8)
