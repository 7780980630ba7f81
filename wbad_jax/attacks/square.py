"""Square attack: random search that changes the pixels of one square at a time.

It needs no gradients, so it also breaks models whose gradients are zero or wrong. Each
query is one forward pass; a change that lowers the margin is kept.

A `logits_fn` that draws noise should return the mean of several draws, under a fixed
key: of one draw the search would keep the lucky noise.

Deviations from the authors' code: positions, and the orientation of the L2 pattern, are
drawn per example; windows reach the last row and column; the L2 tiles cover images of
any shape; a proposal that changes nothing is replaced by its negative.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wbad_jax.attacks import threat_models, validation
from wbad_jax.attacks.result import (
    AttackResult,
    Candidate,
    better,
    finish,
    judge,
    judge_clean,
    select,
)
from wbad_jax.attacks.square_windows import (
    Bumps,
    Grid,
    inside,
    place,
    side_schedule,
)
from wbad_jax.types import Images, Key, Labels, LogitsFn

# Share of the squared radius that counts as used up: what rounding leaves is no budget.
_ROUNDING = 1e-5
# Keeps the rounded length of an L2 perturbation, summed in float32, below epsilon.
_INSIDE = 1 - 1e-6
# Uniform draws in [0, 1) of one query, `[batch, number]`.
Draws = Float[Array, "batch number"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Square:
    """Square attack in an Linf or L2 ball.

    An example is left alone once it is misclassified, and the search ends when all are:
    the result is a success found with few queries, not the lowest margin.

    Attributes:
        norm: Norm of the ball, "linf" or "l2".
        num_queries: Forward passes per restart, that of the starting point included.
            Two more judge the clean image and the result.
        p_init: Share of the image that the first windows cover.
        rescale_schedule: Whether windows shrink over the `num_queries` as they do over
            10,000 in the paper. AutoAttack does not rescale.
        restarts: Number of runs with fresh random draws.
        aligned: Side of a block in pixels. Windows consist of whole blocks, so that a
            wavelet coefficient of that support is hit as a whole; 1 for pixels.

    Reference:
        Andriushchenko et al. (2020), Square Attack: a query-efficient black-box
        adversarial attack via random search, algorithms 1 to 3.
    """

    norm: Literal["linf", "l2"] = "linf"
    num_queries: int = 5000
    p_init: float = 0.8
    rescale_schedule: bool = True
    restarts: int = 1
    aligned: int = 1

    def __post_init__(self):
        validation.check_choice("norm", self.norm, ("linf", "l2"))
        validation.check_at_least("num_queries", self.num_queries, 1)
        validation.check_positive("p_init", self.p_init)
        validation.check_at_least("restarts", self.restarts, 1)
        validation.check_at_least("aligned", self.aligned, 1)

    def __call__(
        self,
        logits_fn: LogitsFn,
        key: Key,
        images: Images,
        labels: Labels,
        *,
        epsilon: threat_models.Scalars,
        bounds: threat_models.Bounds = (0.0, 1.0),
        mask: threat_models.Mask = None,
        surrogates: Mapping[str, LogitsFn] | None = None,
    ) -> AttackResult:
        """Searches the ball for a misclassified image.

        Args:
            logits_fn: The attacked model, images to logits `[batch, classes]`.
            key: One typed key, or one per example `[batch]`.
            images: `[batch, height, width, channels]`, within `bounds`.
            labels: True classes, `[batch]`.
            epsilon: Radius in pixel units, scalar or `[batch]`.
            bounds: Smallest and largest pixel value, each scalar or `[batch]`.
            mask: Where pixels may change (nonzero); everywhere if None.
            surrogates: Not used: no gradient is taken.

        Returns:
            Per example a misclassified image, or else the one of lowest margin.

        Raises:
            ValueError: If an argument breaks the rules above.
        """
        images, labels = validation.check_inputs(
            logits_fn, images, labels,
            epsilon=epsilon, bounds=bounds, mask=mask, surrogates=surrogates,
        )  # fmt: skip
        ball = {"norm": self.norm, "epsilon": epsilon, "bounds": bounds, "mask": mask}
        moves = (LinfMoves if self.norm == "linf" else L2Moves)(self, images, ball)
        keys = key if key.ndim else jax.random.split(key, images.shape[0])

        def evaluate(images):
            return judge(images, logits_fn(images), labels)

        best = judge_clean(images, logits_fn(images), labels)
        best = self._search(evaluate, moves, keys, best)
        return finish(logits_fn, images, best.images, labels, **ball)

    def _search(
        self,
        evaluate: Callable[[Images], Candidate],
        moves: "LinfMoves | L2Moves",
        keys: Key,
        best: Candidate,
    ) -> Candidate:
        """Runs until every example is broken or the queries are used up."""

        def run(carry):
            restart, best = carry
            fresh = _fold_in(keys, restart)
            # The start is accepted whatever its margin.
            current = best._replace(
                margin=jnp.where(best.success, best.margin, jnp.inf)
            )
            start = moves.start(_uniform(fresh, 0, moves.num_start_draws))

            def query(carry):
                index, current, proposal = carry
                challenger = better(evaluate(proposal), current)
                current = select(current.success, current, challenger)
                draws = _uniform(fresh, index + 1, moves.num_draws)
                # Proposals go through the loop's state: fused into the model they would
                # be computed again for every use of a pixel.
                proposal = moves.propose(current.images, draws, index + 1)
                return index + 1, current, proposal

            carry = (jnp.asarray(0), current, start)
            current = jax.lax.while_loop(_unbroken(self.num_queries), query, carry)[1]
            return restart + 1, better(current, best)

        carry = (jnp.asarray(0), best)
        return jax.lax.while_loop(_unbroken(self.restarts), run, carry)[1]


class LinfMoves:
    """Every pixel is at one of the two ends of what it may be."""

    def __init__(self, attack: Square, images: Images, ball: dict):
        _, height, width, channels = images.shape
        self.grid = Grid(height, width, attack.aligned)
        self.sides = side_schedule(
            self.grid, attack.num_queries, attack.p_init,
            rescale=attack.rescale_schedule, odd=False,
        )  # fmt: skip
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

    def __init__(self, attack: Square, images: Images, ball: dict):
        _, height, width, self.channels = images.shape
        self.images, self.ball = images, ball
        self.grid = Grid(height, width, attack.aligned)
        sides = side_schedule(
            self.grid, attack.num_queries, attack.p_init,
            rescale=attack.rescale_schedule, odd=True,
        )  # fmt: skip
        self.sides, self.index = np.unique(sides, return_inverse=True)
        self.bumps = Bumps(self.sides)
        self.tile = max(min(self.grid.rows, self.grid.cols) // 5, 1)
        self.tiles = (-(-self.grid.rows // self.tile), -(-self.grid.cols // self.tile))
        self.num_start_draws = int(np.prod(self.tiles)) * (1 + self.channels)
        self.num_draws = 5 + self.channels

    def start(self, draws: Draws) -> Images:
        """Tiles of side height // 5 or width // 5, with a bump in each."""
        draws = draws.reshape(-1, *self.tiles, 1 + self.channels)
        every = Grid(self.tile, self.tile)
        corner = (jnp.zeros(1, jnp.int32),) * 2
        bump = Bumps(np.asarray([self.tile]))
        upright, lying = (
            bump(jnp.asarray(0), corner, jnp.asarray([way]), every)
            for way in (False, True)
        )

        def over_tiles(values):
            for axis in (1, 2):
                values = jnp.repeat(values, self.tile, axis=axis)
            return self.grid.expand(values[:, : self.grid.rows, : self.grid.cols])

        def over_blocks(pattern):
            pattern = jnp.tile(pattern, (1, *self.tiles, 1))
            return self.grid.expand(pattern[:, : self.grid.rows, : self.grid.cols])

        draws = over_tiles(draws)
        bumps = jnp.where(
            draws[..., :1] < 0.5, over_blocks(upright), over_blocks(lying)
        )
        return self._onto_sphere(jnp.where(draws[..., 1:] < 0.5, bumps, -bumps))

    def propose(self, current: Images, draws: Draws, query: Array) -> Images:
        """Clears one window and adds a bump, with what that frees, to another."""
        index = jnp.asarray(self.index)[query]
        side = jnp.asarray(self.sides)[index]
        first = place(draws[:, :2], side, self.grid)
        window = inside(first, side, self.grid)
        cleared = inside(place(draws[:, 2:4], side, self.grid), side, self.grid)
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


def _unbroken(limit: int) -> Callable:
    """Whether a loop goes on, from its index and its candidate."""

    def proceed(carry):
        index, candidate, *_ = carry
        return (index < limit) & ~jnp.all(candidate.success)

    return proceed


def _fold_in(keys: Key, data) -> Key:
    return jax.vmap(functools.partial(jax.random.fold_in, data=data))(keys)


def _uniform(keys: Key, index, number: int) -> Draws:
    draw = functools.partial(jax.random.uniform, shape=(number,))
    return jax.vmap(draw)(_fold_in(keys, index))
