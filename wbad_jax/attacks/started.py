"""Gradient ascent from given points: the inner attack of those that prepare a start."""

import dataclasses
from collections.abc import Mapping
from typing import Protocol

import jax
from jaxtyping import Array, Float

from wbad_jax.attacks import losses, threat_models, validation
from wbad_jax.attacks.gradient import _oracle, _step_fn
from wbad_jax.attacks.result import (
    AttackResult,
    better,
    finish,
    judge,
    judge_clean,
)
from wbad_jax.types import Images, Key, Labels, LogitsFn

Starts = Float[Array, "starts batch height width channels"]


class StartedAttack(Protocol):
    """An attack that can be told where to start, and judges the starts themselves."""

    @property
    def norm(self) -> threat_models.Norm:
        """Norm in which `epsilon` and `AttackResult.distance` are measured."""
        ...

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
        starts: Starts | None = None,
    ) -> AttackResult:
        """Searches the ball from each of `starts`, or from where it likes."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class StartedPGD:
    """Projected gradient descent from given points, keeping the best point of all.

    Attributes:
        norm: Norm of the ball, "linf" or "l2".
        num_steps: Gradient steps per start.
        step_size: Step length as a fraction of epsilon; `2.5 / num_steps` if None.
        loss: Loss to ascend, a key of `losses.LOSSES`.
    """

    norm: threat_models.Norm = "linf"
    num_steps: int = 40
    step_size: float | None = None
    loss: str = "margin"

    def __post_init__(self):
        validation.check_norm_and_loss(self.norm, self.loss)
        validation.check_at_least("num_steps", self.num_steps, 1)
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
        starts: Starts | None = None,
    ) -> AttackResult:
        """Climbs from every start along the gradients of every model.

        Args:
            logits_fn: The attacked model, images to logits `[batch, classes]`.
            key: Not used; there for the signature that all attacks share.
            images: `[batch, height, width, channels]`, within `bounds`.
            labels: True classes, `[batch]`.
            epsilon: Radius in pixel units, scalar or `[batch]`.
            bounds: Smallest and largest pixel value, each scalar or `[batch]`.
            mask: Where pixels may change (nonzero); everywhere if None.
            surrogates: More models whose gradients are followed, each from every start.
                Points are judged by `logits_fn`.
            starts: Images `[starts, batch, height, width, channels]`, brought into the
                ball first; the clean images if None.

        Returns:
            The point of lowest margin per example.

        Raises:
            ValueError: If an argument breaks the rules above.
        """
        del key
        images, labels = validation.check_inputs(
            logits_fn, images, labels,
            epsilon=epsilon, bounds=bounds, mask=mask, surrogates=surrogates,
        )  # fmt: skip
        starts = images[None] if starts is None else starts
        if starts.ndim != 5 or starts.shape[1:] != images.shape:
            raise ValueError(
                f"starts must be of shape (starts, *{images.shape}), got "
                f"{starts.shape}."
            )
        ball = {"norm": self.norm, "epsilon": epsilon, "bounds": bounds, "mask": mask}
        step = _step_fn(images, **ball)
        length = 2.5 / self.num_steps if self.step_size is None else self.step_size
        best = judge_clean(images, logits_fn(images), labels)
        for model in (logits_fn, *(surrogates or {}).values()):
            oracle = _oracle(logits_fn, model, labels, losses.LOSSES[self.loss])

            def ascend(_, carry, oracle=oracle):
                current, best = carry
                logits, gradient = oracle(current)
                best = better(judge(current, logits, labels), best)
                return step(current, gradient, length), best

            def run(index, best, ascend=ascend):
                start = threat_models.move(images, starts[index] - images, **ball)
                carry = (start, best)
                end, best = jax.lax.fori_loop(0, self.num_steps, ascend, carry)
                return better(judge(end, logits_fn(end), labels), best)

            best = jax.lax.fori_loop(0, len(starts), run, best)
        return finish(logits_fn, images, best.images, labels, **ball)
