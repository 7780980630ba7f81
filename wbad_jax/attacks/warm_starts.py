"""Starts for an attack with exact gradients, where these see little of the denoiser."""

import dataclasses
from collections.abc import Mapping
from typing import get_args

import jax
import jax.numpy as jnp

from wbad_jax.attacks import threat_models, validation
from wbad_jax.attacks.pgd import PGD
from wbad_jax.attacks.result import AttackResult, StartedAttack
from wbad_jax.attacks.subband_transform import Orientation, SubbandTransform
from wbad_jax.types import Images, Key, Labels, LogitsFn


@dataclasses.dataclass(frozen=True, kw_only=True)
class WarmStarts:
    """Collects starts where gradients are alive, then climbs from all of them.

    The starts are: the clean image; what the inner attack finds in a larger ball,
    brought into this one; corners of the ball, where the details of one orientation
    and level are raised, or lowered, as far as pixels allow; and for each surrogate
    what the inner attack finds against that in this ball, from the same kinds of
    starts. The last climb, from all of them, follows the attacked model alone.

    Attributes:
        enlargement: Radius of the larger ball, as a multiple of epsilon; None for
            none.
        corner_levels: Levels whose corners are tried, 1 being the finest; 6 starts
            each. A corner moves coefficients by `2**level` epsilon with Haar.
        wavelet: That of the denoiser, for the corners.
        mode: Boundary mode of the denoiser, likewise.
        inner: The attack that climbs, in its own norm.

    Examples:
        >>> from wbad_jax.attacks import PGD, WarmStarts
        >>> WarmStarts(inner=PGD(num_steps=10)).corner_levels
        (1, 2)
    """

    enlargement: float | None = 2.0
    corner_levels: tuple[int, ...] = (1, 2)
    wavelet: str = "haar"
    mode: str = "symmetric"
    inner: StartedAttack = PGD()

    def __post_init__(self):
        object.__setattr__(self, "corner_levels", tuple(self.corner_levels))
        for level in self.corner_levels:
            SubbandTransform(self.wavelet, self.mode, level)
        if self.enlargement is not None and not self.enlargement > 1:
            raise ValueError(f"enlargement must be above 1, got {self.enlargement!r}.")

    @property
    def norm(self) -> threat_models.Norm:
        """Norm of the ball, that of the inner attack."""
        return self.inner.norm

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
            surrogates: Models that are attacked for a start each: the network without
                denoiser, other backward modes.

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
        ball = {"epsilon": epsilon, "bounds": bounds, "mask": mask}
        corners = self._corners(images, ball)

        def starts_of(model):
            found = [images, *corners]
            if self.enlargement is not None:
                far = self.inner(
                    model, key, images, labels,
                    epsilon=self._larger(images, epsilon, bounds),
                    bounds=bounds, mask=mask,
                ).adversarial  # fmt: skip
                near = threat_models.move(images, far - images, self.norm, **ball)
                found.append(near)
            return jnp.stack(found)

        starts = [starts_of(logits_fn)]
        for model in (surrogates or {}).values():
            found = self.inner(
                model, key, images, labels, starts=starts_of(model), **ball
            )
            starts.append(found.adversarial[None])
        return self.inner(
            logits_fn, key, images, labels, starts=jnp.concatenate(starts), **ball
        )

    def _larger(self, images: Images, epsilon, bounds) -> jax.Array:
        """The larger radius, short of one that attacks refuse as beyond all images."""
        low, high = (threat_models.per_example(bound, images) for bound in bounds)
        width = jnp.broadcast_to(high - low, images.shape)
        everything = 0.999 * threat_models.perturbation_norm(width, self.norm)
        larger = (self.enlargement or 1.0) * jnp.asarray(epsilon)
        return jnp.minimum(larger, everything)

    def _corners(self, images: Images, ball) -> list[Images]:
        """Images with the details of one band raised or lowered at every pixel."""
        radius = threat_models.per_example(ball["epsilon"], images)
        corners = []
        for level in self.corner_levels:
            transform = SubbandTransform(self.wavelet, self.mode, level)
            for orientation in get_args(Orientation):
                signs = transform.signs(images, (level, orientation))
                direction = radius * threat_models.steepest_ascent(
                    transform.analysis_transpose(signs, images),
                    self.norm,
                    mask=ball["mask"],
                )
                corners += [
                    threat_models.move(images, step, self.norm, **ball)
                    for step in (direction, -direction)
                ]
        return corners
