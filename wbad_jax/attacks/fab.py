"""FAB: minimal-norm attacks by projections onto the linearised decision boundary.

Each step linearises the model, projects both the iterate and the clean image onto the
nearest of the resulting boundaries within the pixel range, and goes a little beyond a
mean of the two; after a success it goes back towards the clean image.

Deviations from the paper's code: after a success the boundary is linearised at the
success itself and not where the step back leads, so that one evaluation serves both the
verdict and the gradients; the closest success is shortened along its line once, after
all restarts.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from wbad_jax import stages
from wbad_jax.attacks import losses, threat_models, validation
from wbad_jax.attacks.boundary_search import (
    boundary_distance,
    farthest,
    perturbed,
    search,
    usable_gradient,
)
from wbad_jax.attacks.hyperplane import step_to_hyperplane
from wbad_jax.attacks.minimal_norm import Found, Problem, record
from wbad_jax.attacks.result import AttackResult, Candidate, judge
from wbad_jax.types import Images, Key, Labels, LogitsFn, PerExample

# Classes that a step may approach; the first axis is as long as its gradients are many.
Targets = Int[Array, "targets batch"]
# From images to the verdict, the logit differences to the targets and their gradients.
Linearizer = Callable[
    [Images, Targets],
    tuple[Candidate, Float[Array, "targets batch"], Float[Array, "targets ..."]],
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FAB:
    """Fast adaptive boundary attack: the closest misclassified image in a norm.

    Without `epsilon` a call looks for the closest misclassified image. With it the
    result lies in the ball of that radius: the closest success, or else the iterate of
    lowest margin, scaled onto the ball if it is outside. More restarts are never weaker
    than fewer under the same key.

    A step takes the gradients of all logit differences to the true class: one for two
    classes. With `num_targets` a run approaches one class only and takes one gradient.

    Attributes:
        norm: Norm of the distance, "linf" or "l2".
        num_steps: Steps per run.
        restarts: Runs; the first starts at the clean image, others at random points at
            half the radius of the ball, or of the closest success if that is less.
        num_targets: If given, each restart is one run for each of so many classes, the
            highest wrong logits of the clean image; all wrong classes if fewer.
        max_bias: Largest weight of the clean image's projection (alpha_max).
        overshoot: Factor by which steps go beyond the boundary (eta).
        backward: Share of the distance that the step back leaves (beta).

    Reference:
        Croce and Hein (2020), Minimally distorted adversarial examples with a fast
        adaptive boundary attack, algorithm 1; the targeted form is that of their
        Reliable evaluation of adversarial robustness with an ensemble of diverse
        parameter-free attacks (2020), section 6.1.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from wbad_jax.attacks import FAB
        >>> logits_fn = lambda x: x.mean((1, 2)) @ jnp.array([[-1.0, 1.0]])
        >>> images, labels = jnp.full((1, 4, 4, 1), 0.05), jnp.array([1])
        >>> attack = FAB(norm="l2", num_steps=5)
        >>> result = attack(logits_fn, jax.random.key(0), images, labels, epsilon=1.0)
        >>> print(result.success)
        [ True]
    """

    norm: threat_models.Norm = "linf"
    num_steps: int = 100
    restarts: int = 1
    num_targets: int | None = None
    max_bias: float = 0.1
    overshoot: float = 1.05
    backward: float = 0.9

    def __post_init__(self):
        validation.check_choice("norm", self.norm, ("linf", "l2"))
        validation.check_at_least("num_steps", self.num_steps, 1)
        validation.check_at_least("restarts", self.restarts, 1)
        if self.num_targets is not None:
            validation.check_at_least("num_targets", self.num_targets, 1)
        validation.check_fraction("max_bias", self.max_bias)
        validation.check_at_least("overshoot", self.overshoot, 1)
        validation.check_fraction("backward", self.backward)

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
            key: One typed key for the random starts, or one per example `[batch]`.
            images: `[batch, height, width, channels]`, within `bounds`.
            labels: True classes, `[batch]`.
            epsilon: Radius in pixel units, scalar or `[batch]`; None for the closest
                misclassified image at any distance.
            bounds: Smallest and largest pixel value, each scalar or `[batch]`.
            mask: Where pixels may change (nonzero); everywhere if None.
            surrogates: More models whose gradients are followed, each in runs of its
                own. Logits, and with them the verdicts, are those of `logits_fn`.

        Returns:
            With `epsilon`, images in the ball. Without, where nothing was found, the
            clean image with success False and an infinite distance.

        Raises:
            ValueError: If an argument breaks the rules above.
        """
        return search(
            functools.partial(self._run, key), logits_fn, images, labels,
            norm=self.norm, epsilon=epsilon, bounds=bounds, mask=mask,
            surrogates=surrogates,
        )  # fmt: skip

    def _run(self, key: Key, problem: Problem, model: LogitsFn, found: Found) -> Found:
        """Runs once for each restart and group of targets."""
        linearize = _linearizer(problem, model)
        groups = _target_groups(problem, self.num_targets)

        def body(index, found):
            restart, group = index // len(groups), index % len(groups)
            start = _start(problem, threat_models.fold_in(key, restart), restart, found)
            return self._approach(problem, linearize, groups[group], start, found)

        return jax.lax.fori_loop(0, self.restarts * len(groups), body, found)

    def _approach(
        self,
        problem: Problem,
        linearize: Linearizer,
        targets: Targets,
        start: Images,
        found: Found,
    ) -> Found:
        """One run of `num_steps` from a start."""

        def body(_, carry):
            images, found = carry
            verdict, values, gradients = linearize(images, targets)
            found = _record(problem, found, verdict)
            value, normal = _nearest(problem, values, gradients)
            return self._step(problem, verdict, value, normal), found

        images, found = jax.lax.fori_loop(0, self.num_steps, body, (start, found))
        verdict = judge(images, problem.logits_fn(images), problem.labels)
        return _record(problem, found, verdict)

    def _step(
        self, problem: Problem, verdict: Candidate, value: PerExample, normal: Images
    ) -> Images:
        """From an iterate, its logit difference and the gradient to the next."""
        perturbation = verdict.images - problem.images
        remaining = jnp.where(verdict.success, self.backward, 1.0)
        returned = threat_models.per_example(remaining, normal) * perturbation
        along = jnp.sum(normal * perturbation, axis=(1, 2, 3))
        box = {"bounds": problem.bounds, "mask": problem.mask}
        from_iterate = step_to_hyperplane(
            perturbed(problem, returned), normal, (1 - remaining) * along - value,
            problem.norm, **box,
        )  # fmt: skip
        # Each asks all devices when to stop: one after the other.
        from_iterate, normal = stages.in_order(from_iterate, normal)
        from_clean = step_to_hyperplane(
            problem.images, normal, along - value, problem.norm, **box
        )
        lengths = [
            threat_models.perturbation_norm(step, problem.norm)
            for step in (from_iterate, from_clean)
        ]
        total = lengths[0] + lengths[1]
        bias = lengths[0] / jnp.where(total > 0, total, 1)
        bias = threat_models.per_example(jnp.minimum(bias, self.max_bias), normal)
        return perturbed(
            problem,
            (1 - bias) * (returned + self.overshoot * from_iterate)
            + bias * self.overshoot * from_clean,
        )


def _linearizer(problem: Problem, model: LogitsFn) -> Linearizer:
    def linearize(images, targets):
        logits, pullback = jax.vjp(model, images)
        classes = functools.partial(
            jax.nn.one_hot, num_classes=logits.shape[-1], dtype=logits.dtype
        )
        differences = classes(targets) - classes(problem.labels)
        if len(targets) == 1:
            gradients = pullback(differences[0])[0][None]
        else:
            gradients = jax.vmap(pullback)(differences)[0]
        if model is not problem.logits_fn:
            logits = problem.logits_fn(images)
        verdict = judge(images, logits, problem.labels)
        logits = jax.lax.stop_gradient(logits.astype(images.dtype))
        pick = jax.vmap(lambda at: jnp.take_along_axis(logits, at[:, None], 1)[:, 0])
        values = pick(targets) - pick(problem.labels[None])
        return verdict, values, usable_gradient(problem, gradients)

    return linearize


def _target_groups(
    problem: Problem, num_targets: int | None
) -> Int[Array, "groups targets batch"]:
    """The wrong classes: one group of all, or `num_targets` groups of one."""
    num_classes = jax.eval_shape(problem.logits_fn, problem.images).shape[-1]
    if num_targets is None:
        offsets = jnp.arange(1, num_classes)[None, :, None]
        return (problem.labels + offsets) % num_classes
    logits = jax.lax.stop_gradient(problem.logits_fn(problem.images))
    return losses.largest_wrong(logits, problem.labels, num_targets).T[:, None]


def _start(problem: Problem, key: Key, restart: Array, found: Found) -> Images:
    radius = jnp.minimum(problem.radius, jnp.minimum(found.distance, farthest(problem)))
    noise = threat_models.sample(
        key, problem.images, problem.norm, radius / 2, mask=problem.mask
    )
    return jnp.where(restart > 0, perturbed(problem, noise), problem.images)


def _record(problem: Problem, found: Found, verdict: Candidate) -> Found:
    """Records an iterate; the clean image, where a first run starts, does not count."""
    counts = jnp.any(verdict.images != problem.images, axis=(1, 2, 3))
    return record(problem, found, verdict, verdict.success, counts)


def _nearest(
    problem: Problem, values: Array, gradients: Array
) -> tuple[PerExample, Images]:
    """The linearised boundary nearest to each iterate."""
    if len(values) == 1:
        return values[0], gradients[0]
    distances = boundary_distance(values, gradients, problem.norm)
    nearest = jnp.argmin(distances, axis=0)
    batch = jnp.arange(len(nearest))
    return values[nearest, batch], gradients[nearest, batch]
