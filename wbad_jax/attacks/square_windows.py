"""Where a step of the Square attack acts, and the pattern that it adds there.

All lengths are in blocks of `block` pixels per side; with `block=1` a block is a pixel.
The last row and column of blocks may be cut off by the image's edge. The side of a
window may be traced: windows are found by comparing coordinates, so that no shape
depends on it.
"""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

# Queries of a run of 10,000 after which the share of pixels in a window is halved.
_HALVINGS = np.asarray([10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000])

# Positions in a row of which a window cannot spare one.
_FEW = 8


@dataclasses.dataclass(frozen=True)
class Grid:
    """An image's height and width in pixels, and the side of a block."""

    height: int
    width: int
    block: int = 1

    @property
    def rows(self) -> int:
        """Blocks from top to bottom."""
        return -(-self.height // self.block)

    @property
    def cols(self) -> int:
        """Blocks from left to right."""
        return -(-self.width // self.block)

    def row_offsets(self, first: Array) -> Array:
        """Block of each pixel row, counted from row `first`, `[batch, height]`."""
        return jnp.arange(self.height) // self.block - first[:, None]

    def col_offsets(self, first: Array) -> Array:
        """Block of each pixel column, counted from column `first`, `[batch, width]`."""
        return jnp.arange(self.width) // self.block - first[:, None]

    def expand(self, values: Array) -> Array:
        """Repeats `[batch, rows, cols, channels]` over the pixels of each block."""
        values = jnp.repeat(values, self.block, axis=1)[:, : self.height]
        return jnp.repeat(values, self.block, axis=2)[:, :, : self.width]


def window_shares(num_queries: int, p_init: float, *, rescale: bool) -> np.ndarray:
    """Share of the image that the window covers at each query, `[num_queries]`.

    Args:
        num_queries: Length of the run.
        p_init: Share of the first window.
        rescale: Whether the schedule, written for 10,000 queries, is rescaled to the
            run's length.
    """
    query = np.arange(num_queries)
    if rescale:
        query = query * 10_000 // num_queries
    return p_init / 2.0 ** (query[:, None] > _HALVINGS).sum(axis=1)


def window_sides(shares: np.ndarray, grid: Grid, *, odd: bool) -> np.ndarray:
    """Sides of windows in blocks; at choice odd and, if that fits, at least 3."""
    side = np.maximum(np.rint(np.sqrt(shares * grid.rows * grid.cols)), 1).astype(int)
    fits = min(grid.rows, grid.cols)
    if not odd:
        return np.minimum(side, fits)
    side = np.maximum(side + (side + 1) % 2, 3)
    return np.minimum(side, fits - (fits + 1) % 2)


def place(
    draws: Float[Array, "batch 2"], side: Array, grid: Grid, *, last: bool = True
) -> tuple[Array, ...]:
    """First row and column of each example's window from two uniform draws in [0, 1).

    Every position at which the window fits is equally likely; without `last` all but
    those at the last row and column, where there are more than `_FEW` others.
    """
    room = jnp.asarray([grid.rows, grid.cols]) - side
    most = room if last else room - (room > _FEW)
    # float32 may round a draw just below 1 up to the next position.
    first = jnp.minimum(jnp.floor(draws * (most + 1)).astype(jnp.int32), most)
    return first[:, 0], first[:, 1]


def inside(
    first: tuple[Array, ...], side: Array, grid: Grid
) -> Bool[Array, "batch height width 1"]:
    """Which pixels lie in each example's window."""
    rows, cols = grid.row_offsets(first[0]), grid.col_offsets(first[1])
    rows, cols = (rows >= 0) & (rows < side), (cols >= 0) & (cols < side)
    return rows[:, :, None, None] & cols[:, None, :, None]


class Bumps:
    """Unit-norm pattern of the L2 attack for each side in a list of sides.

    A pattern consists of two halves of opposite sign and equal norm. In each, the value
    is `sum over k >= d of 1 / (k + 1)^2`, where d is the Chebyshev distance from the
    half's centre. As that falls with d, it is the smaller of a row's and a column's
    value: a pattern is stored as three vectors, and a traced side indexes a table.

    Reference:
        Andriushchenko et al. (2020), Square Attack, section on the L2 attack.
    """

    def __init__(self, sides: np.ndarray):
        """Tabulates the patterns of `sides`, `[n]`."""
        shape = (len(sides), int(np.max(sides)))
        self.along, self.across, self.weight = np.zeros((3, *shape), np.float32)
        for row, side in enumerate(sides):
            along, across, weight = _profiles(int(side))
            self.along[row, :side] = along
            self.across[row, :side] = across
            self.weight[row, :side] = weight

    def __call__(
        self,
        index: Array,
        first: tuple[Array, ...],
        transposed: Bool[Array, " batch"],
        grid: Grid,
    ) -> Float[Array, "batch height width 1"]:
        """Each example's pattern in its window, zero elsewhere.

        Args:
            index: Which of the tabulated sides; may be traced.
            first: First row and column of the windows, each `[batch]`.
            transposed: Whether the halves lie side by side instead of one on top of the
                other.
            grid: The image.
        """
        length = self.along.shape[1]
        along, across = jnp.asarray(self.along)[index], jnp.asarray(self.across)[index]
        weight = jnp.asarray(self.weight)[index]

        def lookup(offsets, halved):
            valid = (offsets >= 0) & (offsets < length)
            offsets = jnp.clip(offsets, 0, length - 1)
            value = jnp.where(halved[:, None], along[offsets], across[offsets])
            sign = jnp.where(halved[:, None], weight[offsets], 1)
            return jnp.where(valid, value, 0), sign

        rows, row_sign = lookup(grid.row_offsets(first[0]), ~transposed)
        cols, col_sign = lookup(grid.col_offsets(first[1]), transposed)
        value = jnp.minimum(rows[:, :, None], cols[:, None])
        return (row_sign[:, :, None] * col_sign[:, None] * value)[..., None]


def _profiles(side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Value per row, per column, and the signed scale of a row's half."""
    middle = side // 2
    tail = np.cumsum(1.0 / np.arange(middle + 1, 0, -1) ** 2)[::-1]  # From d on.
    across = tail[np.abs(np.arange(side) - middle)]
    along, weight = np.zeros(side), np.zeros(side)
    for start, size, sign in ((0, middle, 1), (middle, side - middle, -1)):
        rows = tail[np.abs(np.arange(size) - size // 2)]
        along[start : start + size] = rows
        norm = np.sqrt((np.minimum(rows[:, None], across) ** 2).sum()) if size else 1
        weight[start : start + size] = sign / norm
    return along, across, weight / math.sqrt(2 if middle else 1)
