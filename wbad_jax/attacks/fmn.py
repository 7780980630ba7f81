"""FMN: minimal-norm attacks that adapt the radius of the ball they search.

Steps along the gradient are projected onto a ball. Before a first success its radius is
the linear estimate of the distance to the boundary; then it shrinks by a factor while
the image is misclassified and grows by one while it is not, less and less so.

Deviations from the paper: no start from an image of another class; before a success the
radius also grows by the factor at least, and by 0.1 % more than the estimate, which can
stop short of the boundary for good where the pixel range binds; the closest success is
shortened along its line at the end, by four forward passes.
"""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Bool

from wbad_jax.attacks import threat_models, validation
from wbad_jax.attacks.boundary_search import (
    boundary_distance,
    farthest,
    margin_oracle,
    search,
)
from wbad_jax.attacks.minimal_norm import Found, Problem, record
from wbad_jax.attacks.result import AttackResult, Candidate, judge
from wbad_jax.types import Images, Key, Labels, LogitsFn, PerExample

_LAST_STEP = 0.01  # Of the first one, at the end of the cosine schedule.
_LAST_GAMMA = 0.001


class _State(NamedTuple):
    """The iterate; `reached` marks examples with a success in this run."""

    images: Images
    radius: PerExample
    reached: Bool[Array, " batch"]
    found: Found


@dataclasses.dataclass(frozen=True, kw_only=True)
class FMN:
    """Fast minimum-norm attack: the closest misclassified image in a norm.

    Without `epsilon` a call looks for the closest misclassified image. With it the
    result lies in the ball of that radius: the closest success, or else the iterate of
    lowest margin, scaled onto the ball if it is outside.

    Attributes:
        norm: Norm of the distance.
        num_steps: Gradient steps.
        step_size: First step length in L2 (whatever the norm), as a fraction of the
            pixel range; falls to a hundredth of it along a cosine.
        gamma: First relative change of the radius in a step; falls to 0.001 along a
            cosine.

    Reference:
        Pintor et al. (2021), Fast minimum-norm adversarial attacks through adaptive
        norm constraints, algorithm 1.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from wbad_jax.attacks import FMN
        >>> logits_fn = lambda x: x.mean((1, 2)) @ jnp.array([[-1.0, 1.0]])
        >>> images, labels = jnp.full((1, 4, 4, 1), 0.05), jnp.array([1])
        >>> attack = FMN(norm="l2", num_steps=10)
        >>> result = attack(logits_fn, jax.random.key(0), images, labels, epsilon=1.0)
        >>> print(result.success)
        [ True]
    """

    norm: threat_models.Norm = "linf"
    num_steps: int = 100
    step_size: float = 1.0
    gamma: float = 0.05

    def __post_init__(self):
        validation.check_choice("norm", self.norm, threat_models.NORMS)
        validation.check_at_least("num_steps", self.num_steps, 1)
        validation.check_positive("step_size", self.step_size)
        validation.check_fraction("gamma", self.gamma)

    def __call__(
        self,
        logits_fn: LogitsFn,
        key: Key,
        images: Images,
        labels: Labels,
        *,
        epsilon: threat_models.Scalars | None = None,
        bounds: threat_models.Bounds = (0.0, 1.0),
        mask: threat_models.Mask = None,
        surrogates: Mapping[str, LogitsFn] | None = None,
    ) -> AttackResult:
        """Searches for a close misclassified image.

        Args:
            logits_fn: The attacked model, images to logits `[batch, classes]`.
            key: Not used; there for the signature that all attacks share.
            images: `[batch, height, width, channels]`, within `bounds`.
            labels: True classes, `[batch]`.
            epsilon: Radius in pixel units, scalar or `[batch]`; None for the closest
                misclassified image at any distance.
            bounds: Smallest and largest pixel value, each scalar or `[batch]`.
            mask: Where pixels may change (nonzero); everywhere if None.
            surrogates: More models whose gradients are followed, each in a run of its
                own. Success is judged by `logits_fn`.

        Returns:
            With `epsilon`, images in the ball. Without, where nothing was found, the
            clean image with success False and an infinite distance.

        Raises:
            ValueError: If an argument breaks the rules above.
        """
        del key
        return search(
            self._run, logits_fn, images, labels, norm=self.norm,
            epsilon=epsilon, bounds=bounds, mask=mask, surrogates=surrogates,
        )  # fmt: skip

    def _run(self, problem: Problem, model: LogitsFn, found: Found) -> Found:
        oracle = margin_oracle(problem, model)
        low, high = problem.bounds
        span = threat_models.per_example(jnp.asarray(high) - low, problem.images)
        length = optax.cosine_decay_schedule(self.step_size, self.num_steps, _LAST_STEP)
        gamma = optax.cosine_decay_schedule(
            self.gamma, self.num_steps, _LAST_GAMMA / self.gamma
        )
        largest = farthest(problem)

        def body(step, state: _State) -> _State:
            verdict, gradient = oracle(state.images)
            # Before the first step the image is the clean one.
            found = record(problem, state.found, verdict, verdict.success, step > 0)
            state = state._replace(found=found, reached=state.reached | verdict.success)
            radius = _next_radius(
                problem, state, verdict, gradient, jnp.asarray(gamma(step))
            )
            radius = jnp.minimum(radius, largest)
            direction = threat_models.steepest_ascent(gradient, "l2")
            images = threat_models.move(
                problem.images,
                (state.images - problem.images) + length(step) * span * direction,
                self.norm, radius, bounds=problem.bounds, mask=problem.mask,
            )  # fmt: skip
            return state._replace(images=images, radius=radius)

        nowhere = jnp.zeros_like(largest, dtype=bool)
        state = _State(problem.images, jnp.zeros_like(largest), nowhere, found)
        state = jax.lax.fori_loop(0, self.num_steps, body, state)
        images = state.images
        verdict = judge(images, problem.logits_fn(images), problem.labels)
        return record(problem, state.found, verdict, verdict.success, ~nowhere)


def _next_radius(
    problem: Problem,
    state: _State,
    verdict: Candidate,
    gradient: Images,
    gamma: ArrayLike,
) -> PerExample:
    """The radius after a verdict: shrunk, grown, or estimated before any success."""
    length = threat_models.perturbation_norm(
        state.images - problem.images, problem.norm
    )
    margin = verdict.margin.astype(length.dtype)
    estimate = length + boundary_distance(margin, gradient, problem.norm)
    grown = (1 + gamma) * state.radius
    # Without the growth, an estimate that knows of no box could stop short of the
    # boundary for good; on a straight one it would just not cross.
    first = jnp.maximum((1 + _LAST_GAMMA) * estimate, grown)
    grown = jnp.where(state.reached, grown, first)
    shrunk = jnp.minimum((1 - gamma) * state.radius, state.found.distance)
    return jnp.where(verdict.success, shrunk, grown)
