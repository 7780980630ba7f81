"""Square attack: random search that changes the pixels of one square at a time.

It needs no gradients, so it also breaks models whose gradients are zero or wrong. Each
query is one forward pass; a change that lowers the margin is kept.

A `logits_fn` that draws noise should return the mean of several draws, under a fixed
key: of one draw the search would keep the lucky noise.

Deviations from the authors' code: positions, and the orientation of the L2 pattern, are
drawn per example; windows reach the last row and column (in L2, where length spent on
the border is lost for the middle, only where there are few positions); images may have
any shape; a proposal that changes nothing is replaced by its negative.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Literal

import jax
import jax.numpy as jnp

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
    yielding,
)
from wbad_jax.attacks.square_moves import Draws, L2Moves, LinfMoves
from wbad_jax.attacks.square_windows import Grid, window_shares
from wbad_jax.types import Images, Key, Labels, LogitsFn


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

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from wbad_jax.attacks import Square
        >>> logits_fn = lambda x: x.mean((1, 2)) @ jnp.array([[-1.0, 1.0]])
        >>> images, labels = jnp.full((1, 4, 4, 1), 0.05), jnp.array([1])
        >>> attack = Square(num_queries=10)
        >>> result = attack(logits_fn, jax.random.key(0), images, labels, epsilon=0.1)
        >>> print(result.success)
        [False]
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
            norm=self.norm,
        )  # fmt: skip
        images, epsilon, bounds = jax.lax.stop_gradient((images, epsilon, bounds))
        ball = {"norm": self.norm, "epsilon": epsilon, "bounds": bounds, "mask": mask}
        _, height, width, _ = images.shape
        grid = Grid(height, width, self.aligned)
        shares = window_shares(
            self.num_queries, self.p_init, rescale=self.rescale_schedule
        )
        moves = (LinfMoves if self.norm == "linf" else L2Moves)(
            images, ball, grid, shares
        )
        keys = threat_models.key_per_example(key, images)

        def evaluate(images):
            return judge(images, logits_fn(images), labels)

        best = judge_clean(images, logits_fn(images), labels)
        best = self._search(evaluate, moves, keys, best)
        return finish(logits_fn, images, best.images, labels, **ball)

    def _search(
        self,
        evaluate: Callable[[Images], Candidate],
        moves: LinfMoves | L2Moves,
        keys: Key,
        best: Candidate,
    ) -> Candidate:
        """Runs until every example is broken or the queries are used up."""

        def run(carry):
            restart, best = carry
            fresh = threat_models.fold_in(keys, restart)
            # The start is accepted whatever its margin.
            current = yielding(best)
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
            current = jax.lax.while_loop(unbroken(self.num_queries), query, carry)[1]
            return restart + 1, better(current, best)

        carry = (jnp.asarray(0), best)
        return jax.lax.while_loop(unbroken(self.restarts), run, carry)[1]


def _uniform(keys: Key, index, number: int) -> Draws:
    draw = functools.partial(jax.random.uniform, shape=(number,))
    return jax.vmap(draw)(threat_models.fold_in(keys, index))
