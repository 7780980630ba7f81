"""Gradient ascent confined to a set of perturbations smaller than the ball.

The perturbation is kept apart from the images. It never leaves the set: where the ball
would cut it, the whole of it is scaled. What cannot be scaled is the pixel range, or a
mask, since a single pixel at the end of its range would then forbid any perturbation:
there the images alone are cut, pixel by pixel, and what is left of the perturbation
leaves the set by what was cut.
"""

import abc
import dataclasses
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from wbad_jax.attacks import losses, threat_models, validation
from wbad_jax.attacks.ascent import make_oracle
from wbad_jax.attacks.result import (
    AttackResult,
    Candidate,
    better,
    finish,
    judge,
    judge_clean,
)
from wbad_jax.types import Images, Key, Labels, LogitsFn

# Clipping to the Linf ball and returning to the set, in turns, comes close to where
# both hold; a last scaling makes up for the rest.
_ROUNDS = 3


class Confinement(NamedTuple):
    """A convex set of perturbations that holds zero.

    Attributes:
        direction: From a gradient to a perturbation of the ball, in the set or close to
            it, along which the loss grows.
        nearest: From any perturbation to one of the set, close to it.
    """

    direction: Callable[[Images], Images]
    nearest: Callable[[Images], Images]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConfinedPGD(abc.ABC):
    """Projected gradient descent on perturbations of a set; subclasses say which.

    Attributes:
        norm: Norm of the ball, "linf" or "l2".
        num_steps: Gradient steps per restart.
        restarts: Number of starting points. The first is one full step along the first
            gradient, the others are random.
        step_size: Step length as a fraction of epsilon; `2.5 / num_steps` if None.
        momentum: Weight of past gradients, each of unit length; 0 for none.
        loss: Loss to ascend, a key of `losses.LOSSES`.
    """

    norm: threat_models.Norm = "linf"
    num_steps: int = 40
    restarts: int = 1
    step_size: float | None = None
    momentum: float = 0.0
    loss: str = "margin"

    def __post_init__(self):
        validation.check_norm_and_loss(self.norm, self.loss)
        validation.check_choice("norm", self.norm, ("l2", "linf"))
        validation.check_at_least("num_steps", self.num_steps, 1)
        validation.check_at_least("restarts", self.restarts, 1)
        validation.check_at_least("momentum", self.momentum, 0)
        if self.step_size is not None:
            validation.check_positive("step_size", self.step_size)

    @abc.abstractmethod
    def _confinement(
        self, images: Images, epsilon: threat_models.Scalars
    ) -> Confinement:
        """The set, which may depend on images and radius."""

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
        """Searches the part of the ball that lies in the set.

        Args:
            logits_fn: The attacked model, images to logits `[batch, classes]`.
            key: One typed key for the random starts, or one per example `[batch]`.
            images: `[batch, height, width, channels]`, within `bounds`.
            labels: True classes, `[batch]`.
            epsilon: Radius in pixel units, scalar or `[batch]`.
            bounds: Smallest and largest pixel value, each scalar or `[batch]`.
            mask: Where pixels may change (nonzero); everywhere if None.
            surrogates: More models whose gradients are followed, each in runs of its
                own from the same random starts. Points are judged by `logits_fn`.

        Returns:
            The point of lowest margin per example.

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
        best = judge_clean(images, logits_fn(images), labels)
        for model in (logits_fn, *(surrogates or {}).values()):
            best = self._climb(logits_fn, model, key, images, labels, ball, best)
        return finish(logits_fn, images, best.images, labels, **ball)

    def _climb(
        self, logits_fn, model, key, images, labels, ball, best: Candidate
    ) -> Candidate:
        """Follows one model's gradients from every start."""
        oracle = make_oracle(logits_fn, model, labels, losses.LOSSES[self.loss])
        norm, epsilon = self.norm, ball["epsilon"]
        confinement = self._confinement(images, epsilon)
        length = 2.5 / self.num_steps if self.step_size is None else self.step_size

        def visit(perturbation):
            current = threat_models.move(images, perturbation, **ball)
            logits, gradient = oracle(current)
            free = _free(current, gradient, images, ball)
            return judge(current, logits, labels), jnp.where(free, gradient, 0)

        def fit(perturbation):
            return _fit(perturbation, confinement.nearest, norm, epsilon)

        def ascend(_, carry):
            perturbation, velocity, best = carry
            candidate, gradient = visit(perturbation)
            unit = threat_models.steepest_ascent(gradient, "l2")
            velocity = self.momentum * velocity + unit
            step = length * confinement.direction(velocity)
            return fit(perturbation + step), velocity, better(candidate, best)

        first = fit(confinement.direction(visit(jnp.zeros_like(images))[1]))

        def run(restart, best):
            start = first
            if self.restarts > 1:
                noise = threat_models.sample(
                    threat_models.fold_in(key, restart), images, norm, epsilon
                )
                drawn = stretch(confinement.nearest(noise), norm, epsilon)
                start = jnp.where(restart == 0, first, fit(drawn))
            carry = (start, jnp.zeros_like(images), best)
            end, _, best = jax.lax.fori_loop(0, self.num_steps, ascend, carry)
            final = threat_models.move(images, end, **ball)
            return better(judge(final, logits_fn(final), labels), best)

        return jax.lax.fori_loop(0, self.restarts, run, best)


def _free(current: Images, gradient: Images, images: Images, ball) -> jax.Array:
    """Where the gradient leads neither out of the pixel range nor into the mask."""
    low, high = (threat_models.per_example(end, images) for end in ball["bounds"])
    free = ~((current >= high) & (gradient > 0)) & ~((current <= low) & (gradient < 0))
    return free if ball["mask"] is None else free & (ball["mask"] != 0)


def _fit(perturbation: Images, nearest, norm, epsilon) -> Images:
    """A perturbation of set and ball, close to the given one."""
    if norm == "linf":
        for _ in range(_ROUNDS):
            clipped = threat_models.project(perturbation, norm, epsilon)
            perturbation = nearest(clipped)
    else:
        perturbation = nearest(perturbation)
    return _shrink(perturbation, norm, epsilon)


def _shrink(
    perturbation: Images, norm: threat_models.Norm, epsilon: threat_models.Scalars
) -> Images:
    """Scales what lies outside the ball onto it; nothing is clipped."""
    size = threat_models.perturbation_norm(perturbation, norm)
    outside = size > jnp.asarray(epsilon, size.dtype)
    factor = jnp.where(outside, epsilon / jnp.where(outside, size, 1), 1)
    return threat_models.per_example(factor, perturbation) * perturbation


def stretch(
    perturbation: Images, norm: threat_models.Norm, epsilon: threat_models.Scalars
) -> Images:
    """Scales a perturbation onto the sphere, from within or from outside."""
    size = threat_models.perturbation_norm(perturbation, norm)
    factor = jnp.where(size > 0, epsilon / jnp.where(size > 0, size, 1), 0)
    return threat_models.per_example(factor, perturbation) * perturbation
