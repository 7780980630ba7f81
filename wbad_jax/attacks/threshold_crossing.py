"""Attack that lifts wavelet coefficients over the threshold of a denoiser.

A coefficient below its threshold is removed, and the exact gradient does not see what
it would do if it were not. With hard shrinkage it would enter at full size.
"""

import dataclasses
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array

from wbad_jax.attacks import losses, threat_models, validation
from wbad_jax.attacks.ascent import Ball, make_oracle
from wbad_jax.attacks.dead_coefficients import (
    DETAILS,
    Thresholds,
    map_bands,
    nested,
    reach_of,
    reachable,
)
from wbad_jax.attacks.lifting import Lifting
from wbad_jax.attacks.pgd import PGD
from wbad_jax.attacks.result import AttackResult, StartedAttack
from wbad_jax.attacks.subband_transform import Details, SubbandTransform
from wbad_jax.types import Images, Key, Labels, LogitsFn

ThresholdsFn = Callable[[Images], Thresholds]

# Where gradients are looked up, coefficients are twice as large as the threshold: the
# noise level, and thresholds with it, may rise along.
_LIFT = 2.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class ThresholdCrossing:
    """Crosses thresholds within the ball, then climbs from there.

    For every dead coefficient that the ball could lift over its threshold, a gradient
    says which side raises the loss: that of the attacked model at the image with these
    coefficients lifted, in or out of the ball, and that of each surrogate. Not all can
    be lifted together; pixels turn to those that gain most and can, see `lifting`. The
    images found, one for each gradient, are the starts of the inner attack.

    Where thresholds follow a noise level estimated from the image, lifting many fine
    coefficients raises them; on images of little but noise nothing then crosses, and
    `ThresholdEstimatorAttack`, which lowers them first, is the stronger one.

    Attributes:
        thresholds: Of the denoiser, in pixel units: a number, or a function of images
            that returns, for each level, coarsest first, three arrays broadcastable to
            the bands, as `denoise.denoiser.detail_thresholds` does. A function that
            closes over traced parameters is built where the attack is called.
        wavelet: That of the denoiser.
        mode: Boundary mode of the denoiser.
        level: Levels of the denoiser.
        rounds: How often the choice of coefficients is revised, without the model.
        inner: The attack that climbs from the starts, in its own norm.

    Examples:
        >>> from wbad_jax.attacks import ThresholdCrossing
        >>> ThresholdCrossing(thresholds=0.05).wavelet
        'haar'
    """

    thresholds: float | ThresholdsFn
    wavelet: str = "haar"
    mode: str = "symmetric"
    level: int = 2
    rounds: int = 20
    inner: StartedAttack = PGD()

    def __post_init__(self):
        _ = self._transform
        validation.check_at_least("rounds", self.rounds, 1)
        validation.check_choice("norm", self.norm, ("l2", "linf"))
        if not callable(self.thresholds):
            validation.check_at_least("thresholds", self.thresholds, 0)

    @property
    def norm(self) -> threat_models.Norm:
        """Norm of the ball, that of the inner attack."""
        return self.inner.norm

    @property
    def _transform(self) -> SubbandTransform:
        return SubbandTransform(self.wavelet, self.mode, self.level)

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
        """Prepares one start for each model and hands them to the inner attack.

        Args:
            logits_fn: The attacked model, images to logits `[batch, classes]`.
            key: Of the inner attack.
            images: `[batch, height, width, channels]`, within `bounds`.
            labels: True classes, `[batch]`.
            epsilon: Radius in pixel units, scalar or `[batch]`.
            bounds: Smallest and largest pixel value, each scalar or `[batch]`.
            mask: Where pixels may change (nonzero); everywhere if None.
            surrogates: More models whose gradients choose sides, and are followed by
                the inner attack: other backward modes of the denoiser, or none.

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
        ball = Ball(images, self.norm, epsilon, bounds, mask)
        starts = []
        for model in (logits_fn, *(surrogates or {}).values()):
            oracle = make_oracle(model, model, labels, losses.margin_loss)
            guide = self._guide(oracle, images, epsilon)
            lifting = Lifting(self._transform, self._levels, ball, guide)
            starts.append(lifting.lifted(self.rounds))
        return self.inner(
            logits_fn, key, images, labels,
            epsilon=epsilon, bounds=bounds, mask=mask, surrogates=surrogates,
            starts=jnp.stack(starts),
        )  # fmt: skip

    def _levels(self, images: Images) -> list[tuple[Array, Array, Array]]:
        value = self.thresholds
        value = value(images) if callable(value) else value
        return jax.lax.stop_gradient(nested(value, self.level, images.dtype))

    def _guide(self, oracle, images: Images, epsilon) -> list[Details]:
        """Which side, and with what weight, per detail coefficient."""
        transform = self._transform
        approx, *details = transform.analyze(images)
        reach = reach_of(transform, images, self.norm, epsilon)

        def lift(w, threshold, reach):
            dead = reachable(jnp.abs(w), threshold, reach)
            return jnp.where(dead, jnp.copysign(_LIFT * threshold, w), w)

        lifted = map_bands(lift, details, self._levels(images), reach)
        gradient = oracle(transform.synthesize([approx, *lifted], images.shape))[1]
        gradient = jnp.clip(jnp.nan_to_num(gradient), -1e30, 1e30)
        size = jnp.max(jnp.abs(gradient), axis=(1, 2, 3), keepdims=True)
        guide = transform.synthesis_transpose(gradient / jnp.where(size > 0, size, 1))
        # A model without any gradient: every coefficient to the nearer side.
        return map_bands(
            lambda g, w: jnp.where(size > 0, g, jnp.copysign(1, w)),
            guide[DETAILS],
            details,
        )
