"""Attacks on the decision as deployed, and on the score itself.

A classifier is deployed with a threshold chosen on validation patients, such as the one
of 90 % specificity, and not with argmax. `at_threshold` gives the attacks a model whose
argmax is that decision. Where a metric reads the score and not the decision (area under
the curve, Brier score, calibration error), an attack must not stop once the decision is
wrong: `SignedScore` pushes each score as far in the wrong direction as the radius lets
it. Minimal-norm attacks do not serve there, as they end at the boundary.
"""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from wbad_jax.attacks import losses, threat_models, validation
from wbad_jax.attacks.ascent import Ball
from wbad_jax.attacks.pgd import PGD
from wbad_jax.attacks.result import AttackResult, finish, select
from wbad_jax.types import Images, Key, Labels, Logits, LogitsFn, PerExample


def at_threshold(
    logits_fn: LogitsFn,
    threshold: threat_models.Scalars,
    *,
    on: Literal["score", "probability"] = "score",
) -> LogitsFn:
    """Makes the argmax of a two-class model its decision at a threshold.

    The score is the second logit minus the first, the log odds of class 1; its
    probability is the logistic function of the score. Class 1 is decided where the
    score (or the probability, which is the same decision) exceeds the threshold, class
    0 at an exact tie. The logits returned are (0, score - threshold): their margin is
    the distance from the threshold, in units of the score.

    Args:
        logits_fn: Images to two logits.
        threshold: Scalar or `[batch]`; may be traced.
        on: Whether the threshold is on the "score" or the "probability" of class 1.

    Returns:
        A function from images to two logits.

    Raises:
        ValueError: If `on` is unknown, a concrete threshold is not finite, or that on a
            probability is not between 0 and 1; when called, if the model has not two
            logits.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.attacks import at_threshold
        >>> logits_fn = lambda x: x.mean((1, 2)) @ jnp.array([[-1.0, 1.0]])
        >>> deployed = at_threshold(logits_fn, 0.5, on="score")
        >>> print(deployed(jnp.full((1, 4, 4, 1), 0.25)))
        [[0. 0.]]
    """
    validation.check_choice("on", on, ("score", "probability"))
    if not isinstance(threshold, Tracer):
        values = np.asarray(threshold)
        valid = np.isfinite(values)
        if on == "probability":
            valid = (values > 0) & (values < 1)
        if not np.all(valid):
            raise ValueError(
                f"threshold on a {on} must be finite, and that on a probability "
                f"between 0 and 1, got {threshold}."
            )
    threshold = jnp.asarray(threshold)
    if on == "probability":
        threshold = jnp.log(threshold) - jnp.log1p(-threshold)

    def decide(images: Images) -> Logits:
        logits = logits_fn(images)
        if logits.shape[-1] != 2:
            raise ValueError(
                f"A threshold needs a model of two logits, got {logits.shape[-1]}."
            )
        # The threshold is taken from the difference: added to one logit, it would be
        # rounded away on a model with large logits.
        return _two_classes(_score(logits, 1) - threshold)

    return decide


@dataclasses.dataclass(frozen=True, kw_only=True)
class SignedScore(PGD):
    """Pushes the score of every example in the wrong direction by the full radius.

    The score is the positive class's logit minus the largest other. It is lowered for
    images of that class and raised for all others, whether or not the decision is wrong
    already, and the point of worst score is kept.

    This is `PGD`, with its settings, on the two-class reading "positive or not" of the
    model. For two classes it visits the points of `PGD`, which does not stop at a
    success either; it differs for more classes, where a margin may fall without the
    positive score rising. It never returns a point whose score is better than that of
    the clean image.

    Attributes:
        positive: Class whose score it is.

    Examples:
        >>> from wbad_jax.attacks import SignedScore
        >>> SignedScore(num_steps=20).norm
        'linf'
    """

    positive: int = 1

    def __post_init__(self):
        super().__post_init__()
        validation.check_at_least("positive", self.positive, 0)

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
        """Searches the ball for the point of worst score.

        Args:
            logits_fn: The attacked model, images to logits `[batch, classes]`.
            key: One typed key for the random starts, or one per example `[batch]`.
            images: `[batch, height, width, channels]`, within `bounds`.
            labels: True classes, `[batch]`.
            epsilon: Radius in pixel units, scalar or `[batch]`.
            bounds: Smallest and largest pixel value, each scalar or `[batch]`.
            mask: Where pixels may change (nonzero); everywhere if None.
            surrogates: More models whose gradients are followed. Points are judged by
                `logits_fn`.

        Returns:
            The points of worst score; `success` and `margin` are those of `logits_fn`
            and all its classes, as for every attack.

        Raises:
            ValueError: If an argument breaks the rules above.
        """
        images, labels = validation.check_inputs(
            logits_fn, images, labels,
            epsilon=epsilon, bounds=bounds, mask=mask, surrogates=surrogates,
            norm=self.norm,
        )  # fmt: skip
        positive = (labels == self.positive).astype(labels.dtype)
        against_rest = self._against_rest(logits_fn)
        others = {
            name: self._against_rest(model)
            for name, model in (surrogates or {}).items()
        }
        ball = Ball(images, self.norm, epsilon, bounds, mask)
        found = super().__call__(
            against_rest, key, images, positive, epsilon=epsilon, bounds=bounds,
            mask=mask, surrogates=others,
        )  # fmt: skip
        clean = losses.margin(against_rest(images), positive)
        worst = select(found.margin < clean, found.adversarial, images)
        return finish(logits_fn, images, worst, labels, **ball.constraints)

    def _against_rest(self, model: LogitsFn) -> LogitsFn:
        return lambda images: _two_classes(_score(model(images), self.positive))


def _score(logits: Logits, positive: int) -> PerExample:
    if positive >= logits.shape[-1]:
        raise ValueError(
            f"positive must be one of the {logits.shape[-1]} classes, got {positive}."
        )
    return losses.margin(logits, jnp.full(logits.shape[0], positive))


def _two_classes(score: PerExample) -> Logits:
    return jnp.stack([jnp.zeros_like(score), score], axis=-1)
