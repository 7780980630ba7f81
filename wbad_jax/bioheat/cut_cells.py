"""Cells of a regular grid cut by the skin: open faces, volumes, the piece of skin.

A body is where a level function is negative. The skin inside each cell is taken as a
plane through the level's values at the cell's corners. Its area follows from the open
shares of the six faces by the divergence theorem, so that a uniform flux through a cell
balances exactly and a slanted skin has its true area, not that of a staircase.

Axes are depth, rows, columns (z, y, x); z grows from the chest wall to the camera.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax.lax import slice_in_dim
from jaxtyping import Array, Float

Nodes = Float[Array, "*batch depth1 rows1 columns1"]
Cells = Float[Array, "*batch depth rows columns"]

AXES = (-3, -2, -1)  # z, y, x of any array of the grid
# Faces open by less than this are closed: a sliver would be an equation of its own.
_SLIVER = 1e-3


class CutCells(NamedTuple):
    """Geometry of the cells, in units of their edge.

    Attributes:
        open_z: Share of each face across z that lies in the body, one more along z
            than there are cells.
        open_y: Likewise across y.
        open_x: Likewise across x.
        volume: Share of each cell in the body.
        skin_area: Area of the skin in each cell.
        skin_facing: Part of it projected on the image plane, positive to the camera.
        depth: Distance of the cell's centre below the skin; negative outside.
    """

    open_z: Array
    open_y: Array
    open_x: Array
    volume: Cells
    skin_area: Cells
    skin_facing: Cells
    depth: Cells


def cut_cells(level: Nodes) -> CutCells:
    """Cuts the cells by the zero surface of a level function.

    Args:
        level: Values at the corners of the cells in units of their edge, negative in
            the body and near the skin about the distance from it;
            `[..., depth + 1, rows + 1, columns + 1]`.

    Returns:
        The geometry.

    Reference:
        Johansen and Colella (1998), A Cartesian grid embedded boundary method for
        Poisson's equation on irregular domains, J. Comput. Phys. 147:60.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.bioheat import cut_cells
        >>> corners = jnp.broadcast_to(jnp.arange(-4.0, 1.0)[:, None, None], (5, 3, 3))
        >>> cut_cells(corners).depth.shape
        (4, 2, 2)
    """
    faces = [_open_share(level, axis) for axis in AXES]
    faces = [jnp.where(share < _SLIVER, 0.0, share) for share in faces]
    normal = [*map(_difference, faces, AXES)]
    squared = sum(part**2 for part in normal)
    has_skin = squared > _SLIVER**2
    area = jnp.where(has_skin, jnp.sqrt(jnp.where(has_skin, squared, 1.0)), 0.0)
    depth = _depth(level)
    # The divergence theorem again, for the field x from the centre: exact for planes,
    # and nothing for a cell all of whose faces are closed.
    both = sum(map(_pair_mean, faces, AXES))
    volume = jnp.clip((both + area * depth) / 3, 0.0, 1.0)
    return CutCells(
        open_z=faces[0],
        open_y=faces[1],
        open_x=faces[2],
        volume=volume,
        skin_area=area,
        # Where the upper face is less open than the lower one, skin faces the camera.
        skin_facing=-normal[0],
        depth=depth,
    )


def centres(nodes: Nodes) -> Cells:
    """Averages the eight corners of each cell."""
    for axis in AXES:
        nodes = _pair_mean(nodes, axis)
    return nodes


def _depth(level: Nodes) -> Cells:
    """Depth of the centres below the skin: the level over its slope."""
    slopes = []
    for axis in AXES:
        slope = _difference(level, axis)
        for other in set(AXES) - {axis}:
            slope = _pair_mean(slope, other)
        slopes.append(slope)
    steepness = jnp.sqrt(jnp.maximum(sum(slope**2 for slope in slopes), 1e-6))
    return -centres(level) / steepness


def _open_share(level: Nodes, axis: int) -> Array:
    """Share of each face across `axis` with a negative level.

    Two triangles a face, by either diagonal: by one of them alone, a body and its
    mirror image would differ.
    """
    first, second = sorted(set(AXES) - {axis})
    a, b = _lower(level, first), _upper(level, first)
    c, d = _upper(a, second), _upper(b, second)
    a, b = _lower(a, second), _lower(b, second)
    one = _triangle(a, b, c) + _triangle(d, b, c)
    other = _triangle(b, a, d) + _triangle(c, a, d)
    return (one + other) / 4


def _triangle(a: Array, b: Array, c: Array) -> Array:
    """Share of a triangle with a negative linear function, from its corner values."""
    low, high = jnp.minimum(jnp.minimum(a, b), c), jnp.maximum(jnp.maximum(a, b), c)
    middle = a + b + c - low - high
    # One corner is cut off: the low one if the middle is positive, else the high one.
    corner = jnp.where(middle > 0, low, high)
    across = (corner - middle) * (corner - low - high + corner)
    piece = corner**2 / jnp.where(across > 0, across, 1.0)
    share = jnp.where(middle > 0, piece, 1 - piece)
    return jnp.where(low >= 0, 0.0, jnp.where(high <= 0, 1.0, share))


def _lower(array: Array, axis: int) -> Array:
    return slice_in_dim(array, 0, -1, axis=axis)


def _upper(array: Array, axis: int) -> Array:
    return slice_in_dim(array, 1, None, axis=axis)


def _difference(array: Array, axis: int) -> Array:
    return _upper(array, axis) - _lower(array, axis)


def _pair_mean(array: Array, axis: int) -> Array:
    return (_upper(array, axis) + _lower(array, axis)) / 2
