"""How Square starts and what it proposes at each query, in an Linf or an L2 ball.

Everything random is in the `draws` that a proposal is given.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wbad_jax.attacks import threat_models
from wbad_jax.attacks.square_windows import Bumps, Grid, inside, place, window_sides
from wbad_jax.types import Images

# Share of the squared radius that counts as used up: what rounding leaves is no budget.
_ROUNDING = 1e-5
# Keeps the rounded length of an L2 perturbation, summed in float32, below epsilon.
_INSIDE = 1 - 1e-6
# Uniform draws in [0, 1) of one query, `[batch, number]`.
Draws = Float[Array, "batch number"]


class LinfMoves:
    """Every pixel is at one of the two ends of what it may be."""

    def __init__(self, images: Images, ball: dict, grid: Grid, shares: np.ndarray):
        """Takes clean images, ball, blocks and the window's share at each query."""
        self.grid = grid
        self.sides = window_sides(shares, grid, odd=False)
        channels = images.shape[-1]
        radius = threat_models.per_example(ball["epsilon"], images)
        corner = jnp.broadcast_to(radius, images.shape)
        self.highest = threat_models.move(images, corner, **ball)
        self.lowest = threat_models.move(images, -corner, **ball)
        self.num_start_draws = self.grid.cols * channels
        self.num_draws = 2 + channels

    def start(self, draws: Draws) -> Images:
        """Vertical stripes, one block wide."""
        high = draws.reshape(draws.shape[0], 1, self.grid.cols, -1) < 0.5
        rows = jnp.repeat(high, self.grid.rows, axis=1)
        return jnp.where(self.grid.expand(rows), self.highest, self.lowest)

    def propose(self, current: Images, draws: Draws, query: Array) -> Images:
        """Moves a window, channel by channel, to the upper or the lower end."""
        side = jnp.asarray(self.sides)[query]
        window = inside(place(draws[:, :2], side, self.grid), side, self.grid)
        high = draws[:, None, None, 2:] < 0.5
        same = current == jnp.where(high, self.highest, self.lowest)
        nothing_new = jnp.all(same | ~window, axis=(1, 2, 3), keepdims=True)
        target = jnp.where(high ^ nothing_new, self.highest, self.lowest)
        return jnp.where(window, target, current)


class L2Moves:
    """Squared length flows from one window to a bump in another."""

    def __init__(self, images: Images, ball: dict, grid: Grid, shares: np.ndarray):
        """Takes clean images, ball, blocks and the window's share at each query."""
        self.images, self.ball, self.grid = images, ball, grid
        self.channels = images.shape[-1]
        sides = window_sides(shares, grid, odd=True)
        self.sides, self.index = np.unique(sides, return_inverse=True)
        self.bumps = Bumps(self.sides)
        self.tile = max(min(self.grid.rows, self.grid.cols) // 5, 1)
        self.tiles = (self.grid.rows // self.tile, self.grid.cols // self.tile)
        self.num_start_draws = int(np.prod(self.tiles)) * (1 + self.channels)
        self.num_draws = 5 + self.channels

    def start(self, draws: Draws) -> Images:
        """Tiles of side height // 5 or width // 5 about the middle, a bump in each."""
        draws = draws.reshape(-1, *self.tiles, 1 + self.channels)
        every = Grid(self.tile, self.tile)
        corner = (jnp.zeros(1, jnp.int32),) * 2
        bump = Bumps(np.asarray([self.tile]))
        upright, lying = (
            jnp.tile(
                bump(jnp.asarray(0), corner, jnp.asarray([way]), every),
                (1, *self.tiles, 1),
            )
            for way in (False, True)
        )
        for axis in (1, 2):
            draws = jnp.repeat(draws, self.tile, axis=axis)
        bumps = jnp.where(draws[..., :1] < 0.5, upright, lying)
        bumps = jnp.where(draws[..., 1:] < 0.5, bumps, -bumps)
        rest = [
            size - count * self.tile
            for size, count in zip(
                (self.grid.rows, self.grid.cols), self.tiles, strict=True
            )
        ]
        margins = [(0, 0), *((n // 2, n - n // 2) for n in rest), (0, 0)]
        return self._onto_sphere(self.grid.expand(jnp.pad(bumps, margins)))

    def propose(self, current: Images, draws: Draws, query: Array) -> Images:
        """Clears one window and adds a bump, with what that frees, to another."""
        index = jnp.asarray(self.index)[query]
        side = jnp.asarray(self.sides)[index]
        first, second = (
            place(two, side, self.grid, last=False)
            for two in (draws[:, :2], draws[:, 2:4])
        )
        window, cleared = (inside(at, side, self.grid) for at in (first, second))
        bump = self.bumps(index, first, draws[:, 4] >= 0.5, self.grid)
        bump = jnp.where(draws[:, None, None, 5:] < 0.5, bump, -bump)
        if self.ball["mask"] is not None:
            bump = jnp.where(self.ball["mask"] != 0, bump, 0)
        radius = threat_models.per_example(self.ball["epsilon"], current)
        # In units of the radius, so that no square underflows.
        delta = (current - self.images) / jnp.where(radius > 0, radius, 1)
        unused = 1 - _ROUNDING - _squared(delta).sum(-1, keepdims=True)
        unused = jnp.maximum(unused, 0)
        available = _squared(jnp.where(window | cleared, delta, 0))
        available = available + unused / self.channels
        mixed = bump + _unit(jnp.where(window, delta, 0))
        added = jnp.sqrt(available) * _unit(mixed)
        kept = jnp.where(window | cleared, 0, delta)
        return self._onto_sphere(jnp.where(window, added, kept))

    def _onto_sphere(self, delta: Images) -> Images:
        """The images at distance epsilon in the direction of `delta`."""
        if self.ball["mask"] is not None:
            delta = jnp.where(self.ball["mask"] != 0, delta, 0)
        length = jnp.sqrt(_squared(delta).sum(-1, keepdims=True))
        radius = threat_models.per_example(self.ball["epsilon"], delta) * _INSIDE
        # The length is right already: what is left to do, rounding towards the clean
        # image and the pixel range, does not depend on the norm and is cheap for Linf.
        return threat_models.move(
            self.images, radius * (delta / jnp.maximum(length, 1e-10)), "linf", jnp.inf,
            bounds=self.ball["bounds"],
        )  # fmt: skip


def _squared(x: Images) -> Array:
    """Squared length of each channel, `[batch, 1, 1, channels]`."""
    return jnp.sum(x * x, axis=(1, 2), keepdims=True)


def _unit(x: Images) -> Images:
    """Each channel divided by its length; one of rounding errors stays small."""
    return x / jnp.sqrt(jnp.maximum(_squared(x), 1e-10))
