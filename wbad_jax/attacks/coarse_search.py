"""Gradient-free search over perturbations that are constant on blocks of pixels.

Blocks of side 2^level span the approximation band of a Haar transform of that level. It
passes a wavelet denoiser untouched, and has so few coefficients that a search by
forward passes alone comes near its optimum: what this search finds and a gradient
attack does not find is a fault of the gradients.
"""

import dataclasses
import functools
import math
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
    unbroken,
)
from wbad_jax.attacks.square_windows import Grid
from wbad_jax.types import Images, Key, Labels, LogitsFn

_MOST_COEFFICIENTS = 256
# One number in [-1, 1] per block and channel, `[batch, rows, cols, channels]`.
Coefficients = Float[Array, "batch rows cols channels"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class CoarseSearch:
    """Flips the signs of ever smaller groups of blocks, then moves single blocks.

    The first `2 * coefficients` queries start at the brightest image of the ball and
    flip all blocks, both halves, their halves, and so on down to single ones; a flip
    that lowers the margin is kept. They find the optimum of a linear model, of any
    other one a corner of the ball. In the remaining queries each visits one block, and
    in turn flips it or gives it a random value.

    As in `Square`, an example is left alone once it is misclassified.

    Attributes:
        norm: Norm of the ball, "linf" or "l2". For "l2" the coefficients give the
            direction of the perturbation.
        num_queries: Forward passes, that of the starting point included. Two more are
            made to judge the clean image and the result.
        block: Side of a block in pixels; None for the smallest power of two that leaves
            at most 256 coefficients.

    Reference:
        The flips are those of Al-Dujaili and O'Reilly (2020), Sign bits are all you
        need for black-box attacks (SignHunter), over halves of the image instead of
        halves of a flat list; the moves of single blocks are ours.

    Examples:
        >>> from wbad_jax.attacks import CoarseSearch
        >>> CoarseSearch(num_queries=500).norm
        'linf'
    """

    norm: Literal["linf", "l2"] = "linf"
    num_queries: int = 2000
    block: int | None = None

    def __post_init__(self):
        validation.check_choice("norm", self.norm, ("linf", "l2"))
        validation.check_at_least("num_queries", self.num_queries, 1)
        if self.block is not None:
            validation.check_at_least("block", self.block, 1)

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
        """Searches the block-wise constant perturbations of the ball.

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
            Per example a misclassified image, or else the one of lowest margin. Where
            neither `bounds` nor `mask` cut it, the perturbation is constant on blocks.

        Raises:
            ValueError: If an argument breaks the rules above.
        """
        images, labels = validation.check_inputs(
            logits_fn, images, labels,
            epsilon=epsilon, bounds=bounds, mask=mask, surrogates=surrogates,
            norm=self.norm,
        )  # fmt: skip
        images, epsilon, bounds = jax.lax.stop_gradient((images, epsilon, bounds))
        ball = {"norm": self.norm, "epsilon": epsilon, "bounds": bounds, "mask": mask}
        batch, height, width, channels = images.shape
        grid = _grid(height, width, channels, self.block)
        moves = _Moves((grid.rows, grid.cols, channels))
        perturb = functools.partial(_perturb, images, grid, ball)
        keys = threat_models.key_per_example(key, images)

        clean = judge_clean(images, logits_fn(images), labels)
        # From here on a candidate's `images` are its coefficients.
        start = clean._replace(images=jnp.zeros((batch, *moves.shape), images.dtype))

        def query(current, coefficients, images):
            verdict = judge(images, logits_fn(images), labels)
            challenger = better(verdict._replace(images=coefficients), current)
            return select(current.success, current, challenger)

        best = self._search(query, perturb, moves, keys, start)
        return finish(logits_fn, images, perturb(best.images), labels, **ball)

    def _search(
        self,
        query: Callable[[Candidate, Coefficients, Images], Candidate],
        perturb: Callable[[Coefficients], Images],
        moves: "_Moves",
        keys: Key,
        start: Candidate,
    ) -> Candidate:
        """Runs until every example is broken or the queries are used up."""
        offset = jax.vmap(lambda key: jax.random.randint(key, (), 0, moves.size))(keys)

        draw = jax.vmap(functools.partial(jax.random.uniform, minval=-1.0))

        def step(carry):
            index, current, *proposal = carry
            current = query(current, *proposal)
            values = draw(threat_models.fold_in(keys, index + 1))
            coefficients = moves.propose(current.images, offset, values, index + 1)
            # Images go through the loop's state: fused into the model they would be
            # computed again for every use of a pixel.
            return index + 1, current, coefficients, perturb(coefficients)

        ones = jnp.ones_like(start.images)
        carry = (jnp.asarray(0), start, ones, perturb(ones))
        return jax.lax.while_loop(unbroken(self.num_queries), step, carry)[1]


class _Moves:
    """The coefficients that each query changes, and how."""

    def __init__(self, shape: tuple[int, int, int]):
        self.shape, self.size = shape, math.prod(shape)
        self.boxes = _boxes(shape)
        # Steps of this length, which shares no factor with the size, visit every
        # coefficient, and neighbouring ones at different times.
        self.stride = max(round(0.618 * self.size), 1)
        while math.gcd(self.stride, self.size) > 1:
            self.stride += 1

    def propose(
        self, current: Coefficients, offset: Array, values: Array, query: Array
    ) -> Coefficients:
        """Flips a box of coefficients; once through with them, moves a single one."""
        late = query - 1 - len(self.boxes)
        box = jnp.asarray(self.boxes)[jnp.minimum(query - 1, len(self.boxes) - 1)]
        place = np.indices(self.shape).reshape(3, -1).T
        in_box = jnp.all((place >= box[:3]) & (place < box[3:]), axis=-1)
        visited = (offset + late * self.stride) % self.size
        single = jnp.arange(self.size) == visited[:, None]
        chosen = jnp.where(late < 0, in_box, single).reshape(-1, *self.shape)
        # One sweep over all coefficients flips, the next one draws.
        flips = (late < 0) | (late // self.size % 2 == 0)
        opposite = jnp.where(late < 0, -current, jnp.where(current < 0, 1, -1))
        drawn = values[:, None, None, None]
        return jnp.where(chosen, jnp.where(flips, opposite, drawn), current)


def _boxes(shape: tuple[int, int, int]) -> np.ndarray:
    """All boxes, whole first, made by halving the longest side down to one entry.

    Returns:
        `[2 * size - 1, 6]`: first index of rows, columns and channels, then the ends.
    """
    boxes, level = [], [(0, 0, 0, *shape)]
    while level:
        boxes += level
        level = [half for box in level for half in _halves(np.asarray(box))]
    return np.asarray(boxes)


def _halves(box: np.ndarray) -> list[np.ndarray]:
    first, end = box[:3], box[3:]
    sides = end - first
    # Channels are told apart last.
    axis = int(np.argmax(sides[:2])) if sides[:2].max() > 1 else 2
    if sides[axis] == 1:
        return []
    lower, upper = box.copy(), box.copy()
    lower[3 + axis] = upper[axis] = first[axis] + sides[axis] // 2
    return [lower, upper]


def _grid(height: int, width: int, channels: int, block: int | None) -> Grid:
    grid = Grid(height, width, block or 1)
    while block is None and grid.rows * grid.cols * channels > _MOST_COEFFICIENTS:
        grid = Grid(height, width, 2 * grid.block)
    return grid


def _perturb(
    images: Images, grid: Grid, ball: dict, coefficients: Coefficients
) -> Images:
    direction = grid.expand(coefficients)
    if ball["norm"] == "l2":
        direction = threat_models.steepest_ascent(direction, "l2", mask=ball["mask"])
    radius = threat_models.per_example(ball["epsilon"], images)
    return threat_models.move(images, radius * direction, **ball)
