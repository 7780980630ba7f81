"""Gradient ascent inside the ball: FGSM (one step) and PGD (many).

Both attacks keep, per example, the misclassified point of lowest margin among all they
visit, judged by the attacked model. A clean image that is already misclassified is one
of these points. Settings are static; epsilon and bounds may be traced.

The loops are `lax` loops, and nothing is jitted here: call an attack inside a jitted
step, with `logits_fn` built there from traced parameters. Called eagerly with a fresh
closure per batch, the loop would be compiled again for each batch.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from wbad_jax.attacks import losses, threat_models, validation
from wbad_jax.attacks.result import (
    AttackResult,
    Candidate,
    better,
    finish,
    judge,
    judge_clean,
)
from wbad_jax.types import Images, Key, Labels, Logits, LogitsFn

# From images to the attacked model's logits and the gradient of the attack's loss.
Oracle = Callable[[Images], tuple[Logits, Images]]
# From the current images, a gradient and a step length to the next images.
StepFn = Callable[[Images, Images, float], Images]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FGSM:
    """Fast gradient (sign) method: one step of length epsilon from the clean image.

    Attributes:
        norm: Norm of the ball, "linf" or "l2".
        loss: Loss to ascend, a key of `losses.LOSSES`.

    Reference:
        Goodfellow, Shlens and Szegedy (2015), Explaining and harnessing adversarial
        examples, section 4.
    """

    norm: threat_models.Norm = "linf"
    loss: str = "margin"

    def __post_init__(self):
        validation.check_norm_and_loss(self.norm, self.loss)

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
        """Steps along the gradient of `logits_fn`, and of each surrogate.

        Args:
            logits_fn: The attacked model, images to logits `[batch, classes]`.
            key: Not used; there for the signature that all attacks share.
            images: `[batch, height, width, channels]`, within `bounds`.
            labels: True classes, `[batch]`.
            epsilon: Radius in pixel units, scalar or `[batch]`.
            bounds: Smallest and largest pixel value, each scalar or `[batch]`.
            mask: Where pixels may change (nonzero); everywhere if None.
            surrogates: More models to take gradients from. The step is chosen, and
                success judged, by `logits_fn`.

        Returns:
            Per example the step of lowest margin, or the clean image if that is
            misclassified by more.

        Raises:
            ValueError: If an argument breaks the rules above.
        """
        del key
        images, labels = validation.check_inputs(
            logits_fn, images, labels,
            epsilon=epsilon, bounds=bounds, mask=mask, surrogates=surrogates,
        )  # fmt: skip
        ball = {"norm": self.norm, "epsilon": epsilon, "bounds": bounds, "mask": mask}
        step = _step_fn(images, **ball)
        best = None
        for model in (logits_fn, *(surrogates or {}).values()):
            oracle = _oracle(logits_fn, model, labels, losses.LOSSES[self.loss])
            logits, gradient = oracle(images)
            best = best or judge_clean(images, logits, labels)
            moved = step(images, gradient, 1.0)
            best = better(judge(moved, logits_fn(moved), labels), best)
        assert best is not None  # The attacked model itself is always in the loop.
        return finish(logits_fn, images, best.images, labels, **ball)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PGD:
    """Projected gradient descent with restarts, keeping the best point of all steps.

    With `fgsm_start` the attack visits the FGSM point of the same norm and loss, so it
    is never weaker than FGSM on any example. More restarts are never weaker than fewer
    under the same key.

    Attributes:
        norm: Norm of the ball, "linf" or "l2".
        num_steps: Gradient steps per restart.
        restarts: Number of starting points.
        step_size: Step length as a fraction of epsilon; `2.5 / num_steps` if None.
        loss: Loss to ascend, a key of `losses.LOSSES`.
        fgsm_start: Whether the first restart starts at the FGSM point, which takes one
            more gradient; otherwise every restart starts at a random point.

    Reference:
        Madry et al. (2018), Towards deep learning models resistant to adversarial
        attacks, section 2.1. The default step size is that of their appendix on
        CIFAR10 and of later L2 work: the ball's radius can be crossed 2.5 times.
    """

    norm: threat_models.Norm = "linf"
    num_steps: int = 40
    restarts: int = 1
    step_size: float | None = None
    loss: str = "margin"
    fgsm_start: bool = True

    def __post_init__(self):
        validation.check_norm_and_loss(self.norm, self.loss)
        validation.check_at_least("num_steps", self.num_steps, 1)
        validation.check_at_least("restarts", self.restarts, 1)
        if self.step_size is not None:
            validation.check_positive("step_size", self.step_size)

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
        """Searches the ball for the point of lowest margin.

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
        )  # fmt: skip
        ball = {"norm": self.norm, "epsilon": epsilon, "bounds": bounds, "mask": mask}
        step = _step_fn(images, **ball)
        best = judge_clean(images, logits_fn(images), labels)
        for model in (logits_fn, *(surrogates or {}).values()):
            oracle = _oracle(logits_fn, model, labels, losses.LOSSES[self.loss])
            first = step(images, oracle(images)[1], 1.0) if self.fgsm_start else None
            start = functools.partial(self._start, key, images, ball, first)
            best = self._climb(logits_fn, oracle, step, start, labels, best)
        return finish(logits_fn, images, best.images, labels, **ball)

    def _start(self, key, images, ball, first, restart) -> Images:
        if first is not None and self.restarts == 1:
            return first
        noise = threat_models.sample(
            threat_models.fold_in(key, restart), images, ball["norm"], ball["epsilon"],
            mask=ball["mask"],
        )  # fmt: skip
        start = threat_models.move(images, noise, **ball)
        return start if first is None else jnp.where(restart == 0, first, start)

    def _climb(
        self,
        logits_fn: LogitsFn,
        oracle: Oracle,
        step: StepFn,
        start: Callable[[jax.Array], Images],
        labels: Labels,
        best: Candidate,
    ) -> Candidate:
        """Follows one model's gradients from every start."""
        length = 2.5 / self.num_steps if self.step_size is None else self.step_size

        def ascend(_, carry):
            current, best = carry
            logits, gradient = oracle(current)
            best = better(judge(current, logits, labels), best)
            return step(current, gradient, length), best

        def run(restart, best):
            carry = (start(restart), best)
            current, best = jax.lax.fori_loop(0, self.num_steps, ascend, carry)
            return better(judge(current, logits_fn(current), labels), best)

        return jax.lax.fori_loop(0, self.restarts, run, best)


def _oracle(
    logits_fn: LogitsFn, model: LogitsFn, labels: Labels, loss: losses.LossFn
) -> Oracle:
    """Pairs the attacked model's logits with the gradient of `model`'s loss."""

    def total(images):
        logits = model(images)
        # Examples do not interact, so the gradient of the sum holds each one's own; the
        # mean would shrink it by 1 / batch.
        return jnp.sum(loss(logits, labels)), logits

    def oracle(images):
        gradient, logits = jax.grad(total, has_aux=True)(images)
        if model is not logits_fn:
            logits = logits_fn(images)
        return jax.lax.stop_gradient((logits, gradient))

    return oracle


def _step_fn(images: Images, norm, epsilon, bounds, mask) -> StepFn:
    def step(current, gradient, length):
        direction = threat_models.steepest_ascent(gradient, norm, mask=mask)
        stride = length * threat_models.per_example(epsilon, images)
        perturbation = (current - images) + stride * direction
        return threat_models.move(
            images, perturbation, norm, epsilon, bounds=bounds, mask=mask
        )

    return step
