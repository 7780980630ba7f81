"""DDN: a minimal L2 attack that decouples the direction from the distance.

The perturbation lies on a sphere whose radius shrinks by a factor while the image is
misclassified and grows by one while it is not; the gradient only turns it.

Deviations from the paper: the margin takes the place of cross-entropy, which for two
classes has the same direction but underflows; images are not quantised; the closest
success is shortened along its line at the end, by four forward passes.
"""

import dataclasses
import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax

from wbad_jax.attacks import threat_models, validation
from wbad_jax.attacks.boundary_search import (
    farthest,
    margin_oracle,
    perturbed,
    search,
)
from wbad_jax.attacks.minimal_norm import Found, Problem, record
from wbad_jax.attacks.result import AttackResult, judge, select
from wbad_jax.types import Images, Key, Labels, LogitsFn, PerExample

_LAST_STEP = 0.01  # Of the first one, at the end of the cosine schedule.


@dataclasses.dataclass(frozen=True, kw_only=True)
class DDN:
    """Decoupled direction and norm: the closest misclassified image in L2.

    Without `epsilon` a call looks for the closest misclassified image. With it the
    result lies in the L2 ball of that radius: the closest success, or else the iterate
    of lowest margin, scaled onto the ball if it is outside.

    Attributes:
        num_steps: Gradient steps. From `initial_epsilon` the radius can fall no lower
            than by `(1 - gamma) ** num_steps`, to 0.6 % of it by default.
        initial_epsilon: First radius of the sphere, as a fraction of the pixel range.
        gamma: Relative change of the radius in each step.
        step_size: First step length, as a fraction of the pixel range; falls to a
            hundredth of it along a cosine.

    Reference:
        Rony et al. (2019), Decoupling direction and norm for efficient gradient-based
        L2 adversarial attacks and defenses, algorithm 1.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from wbad_jax.attacks import DDN
        >>> logits_fn = lambda x: x.mean((1, 2)) @ jnp.array([[-1.0, 1.0]])
        >>> images, labels = jnp.full((1, 4, 4, 1), 0.05), jnp.array([1])
        >>> attack = DDN(num_steps=10)
        >>> result = attack(logits_fn, jax.random.key(0), images, labels, epsilon=1.0)
        >>> print(result.success)
        [ True]
    """

    num_steps: int = 100
    initial_epsilon: float = 1.0
    gamma: float = 0.05
    step_size: float = 1.0

    def __post_init__(self):
        validation.check_at_least("num_steps", self.num_steps, 1)
        validation.check_positive("initial_epsilon", self.initial_epsilon)
        validation.check_fraction("gamma", self.gamma)
        validation.check_positive("step_size", self.step_size)

    @property
    def norm(self) -> threat_models.Norm:
        """Norm of the distance."""
        return "l2"

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
            key: One typed key, or one per example `[batch]`, for the noise that takes
                the place of a zero gradient.
            images: `[batch, height, width, channels]`, within `bounds`.
            labels: True classes, `[batch]`.
            epsilon: L2 radius in pixel units, scalar or `[batch]`; None for the closest
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
        return search(
            functools.partial(self._run, key), logits_fn, images, labels,
            norm="l2", epsilon=epsilon, bounds=bounds, mask=mask, surrogates=surrogates,
        )  # fmt: skip

    def _run(self, key: Key, problem: Problem, model: LogitsFn, found: Found) -> Found:
        oracle = margin_oracle(problem, model)
        low, high = problem.bounds
        span = threat_models.per_example(jnp.asarray(high) - low, problem.images)
        length = optax.cosine_decay_schedule(self.step_size, self.num_steps, _LAST_STEP)
        largest = farthest(problem)

        def body(step, carry):
            images, radius, found = carry
            verdict, gradient = oracle(images)
            # Before the first step the image is the clean one.
            found = record(problem, found, verdict, verdict.success, step > 0)
            factor = jnp.where(verdict.success, 1 - self.gamma, 1 + self.gamma)
            radius = jnp.minimum(factor * radius, largest)
            direction = _direction(problem, gradient, threat_models.fold_in(key, step))
            moved = (images - problem.images) + length(step) * span * direction
            return perturbed(problem, _on_sphere(moved, radius)), radius, found

        radius = jnp.full_like(largest, self.initial_epsilon) * jnp.reshape(span, -1)
        carry = (problem.images, radius, found)
        images, _, found = jax.lax.fori_loop(0, self.num_steps, body, carry)
        verdict = judge(images, problem.logits_fn(images), problem.labels)
        return record(problem, found, verdict, verdict.success, verdict.success | True)


def _direction(problem: Problem, gradient: Images, key: Key) -> Images:
    """The unit gradient, or random where the gradient of an example is zero."""
    direction = threat_models.steepest_ascent(gradient, "l2")
    flat = jnp.all(gradient == 0, axis=(1, 2, 3))

    def replaced():
        noise = threat_models.sample(key, gradient, "l2", 1.0, mask=problem.mask)
        return select(flat, noise, direction)

    # Random numbers for all pixels in every step would cost as much as a small model.
    return jax.lax.cond(jnp.any(flat), replaced, lambda: direction)


def _on_sphere(perturbation: Images, radius: PerExample) -> Images:
    """Scales each perturbation to an L2 norm; zero stays zero."""
    direction = threat_models.steepest_ascent(perturbation, "l2")
    return threat_models.per_example(radius, perturbation) * direction
