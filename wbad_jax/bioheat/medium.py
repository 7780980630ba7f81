"""Thermal properties on the grid: nested tissues, tumours, vessels.

Boundaries pass through cells. Along a link that crosses the layers of the skin the
resistances of the tissues on it add up, which is exact for flat layers whatever their
slant; along one that runs within them conductivities are averaged. Perfusion and heat
are averaged over cells.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jax.lax import slice_in_dim
from jaxtyping import Array

from wbad_jax.bioheat.conduction import Medium
from wbad_jax.bioheat.cut_cells import AXES, Cells
from wbad_jax.bioheat.tissue import BLOOD_DENSITY, BLOOD_SPECIFIC_HEAT, Tissue

# Narrowest ramp of a boundary that runs along a link, in cells: without it the
# derivative by a tumour's place would be zero almost everywhere.
_RAMP = 0.5


class Region(NamedTuple):
    """Where a tissue is.

    Attributes:
        level: At the cells' centres in units of their edge, positive inside and near
            the boundary about the distance from it.
        tissue: What is there.
        volume: In cells, if known: the shares of the cells are scaled to it. A ball of
            few cells would be counted too large, and heat the skin too much.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.bioheat import MUSCLE, Region
        >>> Region(jnp.ones((2, 2, 2)), MUSCLE).volume is None
        True
    """

    level: Cells
    tissue: Tissue
    volume: Array | float | None = None


def tissue_medium(
    depth: Cells,
    *,
    background: Tissue,
    regions: Sequence[Region],
    skin: Tissue,
    skin_thickness: Array | float,
    extra_perfusion: Cells | float,
    spacing: float,
) -> Medium:
    """Composes the medium of a body.

    Args:
        depth: Of the cells' centres below the skin, in units of the spacing.
        background: The tissue where no region is.
        regions: Later ones lie over earlier ones, and all over the skin.
        skin: The outermost layer.
        skin_thickness: In units of the spacing; 0 for none.
        extra_perfusion: Heat capacity of further blood flow, of vessels, W/m3/K.
        spacing: Edge of a cell, metres.

    Returns:
        Properties of cells and links.

    Examples:
        >>> from wbad_jax.bioheat import FAT, SKIN, tissue_medium
        >>> medium = tissue_medium(  # see `solve`
        ...     cells.depth, background=FAT, regions=[], skin=SKIN, skin_thickness=0.5,
        ...     extra_perfusion=0.0, spacing=0.003,
        ... )
        >>> len(medium.resistivity)
        3
    """
    layers = [Region(skin_thickness - depth, skin), *regions]
    inner = _composed(_resistivity, background, regions, _share_of_cell)
    along = _composed(_conductivity, background, layers, _share_of_cell)
    links = []
    for axis in AXES:
        across = _composed(
            _resistivity,
            background,
            layers,
            lambda region, axis=axis: _share_of_link(region.level, axis),
        )
        crossing = jnp.clip(4 * _slope(depth, axis) ** 2, 0.0, 1.0)
        within = (along + _following(along, axis)) / 2
        links.append(1 / (crossing / across + (1 - crossing) * within))
    base = _composed(_resistivity, background, layers, _share_of_cell)
    in_skin = jnp.minimum(depth, skin_thickness) * _resistivity(skin)
    below = jnp.maximum(depth - skin_thickness, 0.0) * inner
    return Medium(
        resistivity=tuple(links),
        base_resistivity=base[..., 0, :, :],
        skin_resistance=(in_skin + below) * spacing,
        perfusion=_composed(_blood_heat, background, layers, _share_of_cell)
        + extra_perfusion,
        heat=_composed(lambda t: t.metabolic_heat, background, layers, _share_of_cell),
        capacity=_composed(_capacity, background, layers, _share_of_cell),
    )


def _composed(value, background: Tissue, regions, share) -> Array:
    """The property of the background, each region's laid over it in turn."""
    result = jnp.asarray(value(background))
    for region in regions:
        result = result + share(region) * (value(region.tissue) - result)
    return result


def _share_of_link(level: Cells, axis: int) -> Cells:
    """Share of the link to the next cell along `axis` with a positive level."""
    following = _following(level, axis)
    width = jnp.maximum(jnp.abs(following - level), _RAMP)
    return jnp.clip(0.5 + (level + following) / 2 / width, 0.0, 1.0)


def _share_of_cell(region: Region) -> Cells:
    """Share of each cell in a region."""
    extent = sum(_steepness(region.level, axis) for axis in AXES)
    share = jnp.clip(0.5 + region.level / jnp.maximum(extent, 1.0), 0.0, 1.0)
    if region.volume is None:
        return share
    counted = share.sum(axis=AXES, keepdims=True)
    return share * region.volume / jnp.where(counted > 0, counted, 1.0)


def _following(values: Cells, axis: int) -> Cells:
    """The next cell's value; the last one's own."""
    parts = [slice_in_dim(values, start, None, axis=axis) for start in (1, -1)]
    return jnp.concatenate(parts, axis)


def _slope(level: Cells, axis: int) -> Cells:
    """Change along the link to the next cell."""
    difference = jnp.diff(level, axis=axis)
    last = slice_in_dim(difference, -1, None, axis=axis)
    return jnp.concatenate([difference, last], axis)


def _steepness(level: Cells, axis: int) -> Cells:
    """Mean change along the links to both sides: one side would shift a small ball."""
    after = jnp.abs(_slope(level, axis))
    before = [slice_in_dim(after, 0, stop, axis=axis) for stop in (1, -1)]
    return (jnp.concatenate(before, axis) + after) / 2


def _conductivity(tissue: Tissue) -> Array:
    return jnp.asarray(tissue.conductivity)


def _resistivity(tissue: Tissue) -> Array:
    return 1 / jnp.asarray(tissue.conductivity)


def _blood_heat(tissue: Tissue) -> Array:
    return jnp.asarray(tissue.perfusion) * BLOOD_DENSITY * BLOOD_SPECIFIC_HEAT


def _capacity(tissue: Tissue) -> Array:
    return jnp.asarray(tissue.density) * tissue.specific_heat
