"""An attack on a classifier guarded by a detector of adversarial images.

The image has to be misclassified *and* score low at the detector. A weighted sum of
both losses wastes its steps undoing one goal for the other. Two schemes avoid a weight:

- *selective*: each step follows the gradient of a goal that is not met yet;
- *orthogonal*: of that gradient, only the part along which the other goal's loss does
  not change to first order.

The orthogonal scheme is quick where the goals conflict, but it cannot use up what the
detector would tolerate; the selective one can. Both are run, from the same starts.

Reference:
    Bryniarski, Hingun, Pachuca, Wang and Carlini (2022), Evading adversarial example
    detection defenses with orthogonal projected gradient descent, arXiv 2106.15023,
    section 4. Here steps shrink towards zero, so that a thin set of images that meet
    both goals is not stepped over.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from wbad_jax.attacks import losses, threat_models, validation
from wbad_jax.attacks.ascent import Ball, make_oracle
from wbad_jax.attacks.result import (
    AttackResult,
    Candidate,
    better,
    finish,
    judge,
    select,
    yielding,
)
from wbad_jax.types import Images, Key, Labels, LogitsFn, PerExample

# From images to one score an image, the higher, the more suspicious.
ScoreFn = Callable[[Images], PerExample]
SCHEMES = ("orthogonal", "selective")
# A part of a unit gradient that is shorter than this is rounding, not a direction.
_NOTHING_LEFT = 1e-3


class _View(NamedTuple):
    """What the attacker sees at a point."""

    verdict: Candidate
    wrong: Bool[Array, " batch"]
    flagged: Bool[Array, " batch"]
    mislead: Images
    hide: Images


@dataclasses.dataclass(frozen=True, kw_only=True)
class DetectorAwarePGD:
    """Gradient ascent that evades a classifier and a detector together.

    Attributes:
        norm: Norm of the ball, a member of `threat_models.NORMS`.
        num_steps: Steps per restart and scheme, each of two gradients.
        restarts: Number of starting points: the clean image, then random ones.
        step_size: Mean step length as a fraction of epsilon; `10 / num_steps` if None.
            Steps shrink linearly, from twice that length to zero. They follow the
            gradient, not its sign, which would be orthogonal to nothing; in the Linf
            ball that is the root mean square of the changes of single pixels, and many
            pixels take several steps to the end of their reach.
        schemes: Which of `SCHEMES` to run.

    Examples:
        >>> from wbad_jax.attacks import DetectorAwarePGD
        >>> DetectorAwarePGD(num_steps=50).schemes
        ('orthogonal', 'selective')
    """

    norm: threat_models.Norm = "linf"
    num_steps: int = 100
    restarts: int = 1
    step_size: float | None = None
    schemes: tuple[str, ...] = SCHEMES

    def __post_init__(self):
        validation.check_choice("norm", self.norm, threat_models.NORMS)
        validation.check_at_least("num_steps", self.num_steps, 1)
        validation.check_at_least("restarts", self.restarts, 1)
        validation.check_at_least("number of schemes", len(self.schemes), 1)
        for scheme in self.schemes:
            validation.check_choice("scheme", scheme, SCHEMES)
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
        score_fn: ScoreFn,
        score_limit: threat_models.Scalars,
        bounds: threat_models.Bounds = (0.0, 1.0),
        mask: threat_models.Mask = None,
        surrogates: Mapping[str, LogitsFn] | None = None,
    ) -> AttackResult:
        """Searches the ball for an image that is misclassified and not flagged.

        Args:
            logits_fn: The attacked model, images to logits `[batch, classes]`.
            key: One typed key for the random starts, or one per example `[batch]`.
            images: `[batch, height, width, channels]`, within `bounds`.
            labels: True classes, `[batch]`.
            epsilon: Radius in pixel units, scalar or `[batch]`.
            score_fn: The detector, images to scores `[batch]`.
            score_limit: An image is flagged where its score is above this; scalar or
                `[batch]`.
            bounds: Smallest and largest pixel value, each scalar or `[batch]`.
            mask: Where pixels may change (nonzero); everywhere if None.
            surrogates: More models whose gradients are followed in place of those of
                `logits_fn`, by which all points are judged.

        Returns:
            `success` says whether the image is misclassified and not flagged. The point
            returned is the success of lowest margin; without one, the point of lowest
            margin, flagged or not.

        Raises:
            ValueError: If an argument breaks the rules above.
        """
        images, labels = validation.check_inputs(
            logits_fn, images, labels,
            epsilon=epsilon, bounds=bounds, mask=mask, surrogates=surrogates,
            norm=self.norm,
        )  # fmt: skip
        _check_scores(score_fn, score_limit, images)
        ball = Ball(images, self.norm, epsilon, bounds, mask)
        best = None
        for model in (logits_fn, *(surrogates or {}).values()):
            view = functools.partial(
                _look, logits_fn, model, score_fn, score_limit, labels, mask
            )
            best = best or yielding(view(images).verdict)
            for scheme in self.schemes:
                best = self._climb(view, scheme, key, ball, best)
        assert best is not None  # The attacked model itself is always in the loop.
        result = finish(logits_fn, images, best.images, labels, **ball.constraints)
        hidden = score_fn(result.adversarial) <= score_limit
        return jax.lax.stop_gradient(result._replace(success=result.success & hidden))

    def _climb(
        self,
        view: Callable[[Images], _View],
        scheme: str,
        key: Key,
        ball: Ball,
        best: Candidate,
    ) -> Candidate:
        """Follows one scheme from every start."""
        length = 10 / self.num_steps if self.step_size is None else self.step_size
        if self.norm == "linf":  # So that a pixel that may change moves by `length`.
            length = length * _root_of_pixels(ball)

        def ascend(index, carry):
            current, best = carry
            seen = view(current)
            best = better(seen.verdict, best)
            direction = threat_models.steepest_ascent(
                _direction(seen, scheme), "l2", mask=ball.mask
            )
            stride = 2 * length * (1 - index / self.num_steps)
            return ball.step(current, direction, stride), best

        def run(restart, best):
            drawn = ball.sample(threat_models.fold_in(key, restart))
            start = jnp.where(restart == 0, ball.images, drawn)
            carry = (start, best)
            current, best = jax.lax.fori_loop(0, self.num_steps, ascend, carry)
            return better(view(current).verdict, best)

        return jax.lax.fori_loop(0, self.restarts, run, best)


def _look(
    logits_fn: LogitsFn, model: LogitsFn, score_fn: ScoreFn, score_limit,
    labels: Labels, mask: threat_models.Mask, images: Images,
) -> _View:  # fmt: skip
    """Judges both goals at a point, with the unit gradients of both."""

    def hidden(images):
        score = score_fn(images)
        return -jnp.sum(score), score

    oracle = make_oracle(logits_fn, model, labels, losses.margin_loss)
    logits, mislead = oracle(images)
    hide, score = jax.grad(hidden, has_aux=True)(images)
    verdict = judge(images, logits, labels)
    wrong, flagged = verdict.success, ~(score <= score_limit)
    seen = _View(
        verdict._replace(success=wrong & ~flagged), wrong, flagged,
        threat_models.steepest_ascent(mislead, "l2", mask=mask),
        threat_models.steepest_ascent(hide, "l2", mask=mask),
    )  # fmt: skip
    return jax.lax.stop_gradient(seen)


def _root_of_pixels(ball: Ball) -> PerExample:
    """Square root of how many numbers of each image may change."""
    allowed = jnp.ones((), bool) if ball.mask is None else jnp.asarray(ball.mask) != 0
    allowed = jnp.broadcast_to(allowed, ball.images.shape)
    return jnp.sqrt(jnp.sum(allowed, axis=(1, 2, 3)).astype(ball.images.dtype))


def _direction(seen: _View, scheme: str) -> Images:
    """The gradient to follow: the classifier's, unless only the detector objects."""
    chosen, other = select(
        seen.wrong & seen.flagged, (seen.hide, seen.mislead), (seen.mislead, seen.hide)
    )
    if scheme == "selective":
        return chosen
    along = jnp.sum(chosen * other, axis=(1, 2, 3), keepdims=True)
    rest = chosen - along * other
    length = threat_models.perturbation_norm(rest, "l2")
    return select(length > _NOTHING_LEFT, rest, chosen)


def _check_scores(score_fn: ScoreFn, score_limit, images: Images) -> None:
    shape = getattr(jax.eval_shape(score_fn, images), "shape", None)
    if shape != images.shape[:1]:
        raise ValueError(
            f"score_fn must return scores of shape {images.shape[:1]}, got {shape}."
        )
    if jnp.shape(score_limit) not in ((), images.shape[:1]):
        raise ValueError(
            f"score_limit must be a scalar or of shape {images.shape[:1]}, got "
            f"{jnp.shape(score_limit)}."
        )
