"""Attack on the noise level from which a denoiser takes its thresholds.

The estimate is the median magnitude of the finest diagonal band. A checkerboard aligned
to the signs of that band moves every coefficient, and so the median, by twice epsilon.
"""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from wbad_jax.attacks import threat_models, validation
from wbad_jax.attacks.pgd import PGD
from wbad_jax.attacks.result import AttackResult, StartedAttack
from wbad_jax.attacks.subband_transform import Band, SubbandTransform
from wbad_jax.types import Images, Key, Labels, LogitsFn

# With Haar one round is exact, since the filters do not overlap.
_ROUNDS = 8
_BAND: Band = (1, "diagonal")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ThresholdEstimatorAttack:
    """Inflates the estimate of the noise level, or deflates it, then climbs from there.

    Inflated thresholds remove a lesion; at deflated ones the denoiser passes what an
    attack does next, and gradients with it. The estimate moves by up to `2 / 0.6745`
    epsilon, or to 0. The inner attack starts at both points, and at the clean image,
    and keeps the better outcome for each example.

    Attributes:
        wavelet: That of the estimator.
        mode: Boundary mode of the estimator.
        inner: The attack that climbs from the starts, in its own norm.

    Examples:
        >>> from wbad_jax.attacks import PGD, ThresholdEstimatorAttack
        >>> ThresholdEstimatorAttack(inner=PGD(num_steps=10)).norm
        'linf'
    """

    wavelet: str = "haar"
    mode: str = "symmetric"
    inner: StartedAttack = PGD()

    def __post_init__(self):
        _ = self._transform

    @property
    def norm(self) -> threat_models.Norm:
        """Norm of the ball, that of the inner attack."""
        return self.inner.norm

    @property
    def _transform(self) -> SubbandTransform:
        return SubbandTransform(self.wavelet, self.mode, 1)

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
        """Prepares the starts and hands them to the inner attack.

        Args:
            logits_fn: The attacked model, images to logits `[batch, classes]`.
            key: Of the inner attack.
            images: `[batch, height, width, channels]`, within `bounds`.
            labels: True classes, `[batch]`.
            epsilon: Radius in pixel units, scalar or `[batch]`.
            bounds: Smallest and largest pixel value, each scalar or `[batch]`.
            mask: Where pixels may change (nonzero); everywhere if None.
            surrogates: More models whose gradients the inner attack follows.

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
        ball = {"epsilon": epsilon, "bounds": bounds, "mask": mask}
        starts = [self.inflated(images, **ball), self.deflated(images, **ball), images]
        return self.inner(
            logits_fn, key, images, labels,
            starts=jnp.stack(starts), surrogates=surrogates, **ball,
        )  # fmt: skip

    def inflated(
        self,
        images: Images,
        *,
        epsilon: threat_models.Scalars,
        bounds: threat_models.Bounds = (0.0, 1.0),
        mask: threat_models.Mask = None,
    ) -> Images:
        """Images within the ball whose noise level seems high.

        Every coefficient of the band moves away from zero, as far as all of them can
        together.

        Args:
            images: `[batch, height, width, channels]`, within `bounds`.
            epsilon: Radius in pixel units, scalar or `[batch]`.
            bounds: Smallest and largest pixel value.
            mask: Where pixels may change; everywhere if None.
        """
        transform, norm = self._transform, self.norm
        radius = threat_models.per_example(epsilon, images)

        def step(_, current):
            signs = transform.signs(current, _BAND)
            gradient = transform.analysis_transpose(signs, images)
            direction = threat_models.steepest_ascent(gradient, norm, mask=mask)
            moved = (current - images) + radius * direction
            return threat_models.move(
                images, moved, norm, epsilon, bounds=bounds, mask=mask
            )

        return jax.lax.fori_loop(0, _ROUNDS, step, images)

    def deflated(
        self,
        images: Images,
        *,
        epsilon: threat_models.Scalars,
        bounds: threat_models.Bounds = (0.0, 1.0),
        mask: threat_models.Mask = None,
    ) -> Images:
        """Images within the ball whose noise level seems low: the band is taken out.

        Args:
            images: `[batch, height, width, channels]`, within `bounds`.
            epsilon: Radius in pixel units, scalar or `[batch]`.
            bounds: Smallest and largest pixel value.
            mask: Where pixels may change; everywhere if None.
        """
        transform = self._transform

        def step(_, current):
            band = transform.select(transform.analyze(current), [_BAND])
            moved = (current - images) - transform.synthesize(band, images.shape)
            return threat_models.move(
                images, moved, self.norm, epsilon, bounds=bounds, mask=mask
            )

        return jax.lax.fori_loop(0, _ROUNDS, step, images)
