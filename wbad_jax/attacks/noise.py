"""Random noise: what a ball gives away without any search.

A model that noise breaks where a gradient attack fails is not robust: its gradients are
masked, or the attack is broken.
"""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array

from wbad_jax.attacks import threat_models, validation
from wbad_jax.attacks.result import (
    AttackResult,
    better,
    finish,
    judge,
    judge_clean,
)
from wbad_jax.types import Images, Key, Labels, LogitsFn


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomNoise:
    """The most harmful of many random perturbations.

    Attributes:
        norm: Norm of the ball, "linf" or "l2".
        num_samples: Perturbations tried per example, one forward pass each.
        draw: "uniform" in the ball, or its "extreme" points, equally likely: the
            corners of an Linf ball, the sphere of an L2 ball.

    Reference:
        Carlini et al. (2019), On evaluating adversarial robustness, who ask for
        thousands of random points per example.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from wbad_jax.attacks import RandomNoise
        >>> logits_fn = lambda x: x.mean((1, 2)) @ jnp.array([[-1.0, 1.0]])
        >>> images, labels = jnp.full((1, 4, 4, 1), 0.5), jnp.array([1])
        >>> attack = RandomNoise(num_samples=4)
        >>> attack(logits_fn, jax.random.key(0), images, labels, epsilon=0.1).success
        Array([False], dtype=bool)
    """

    norm: Literal["linf", "l2"] = "linf"
    num_samples: int = 1000
    draw: Literal["uniform", "extreme"] = "uniform"

    def __post_init__(self):
        validation.check_choice("norm", self.norm, ("linf", "l2"))
        validation.check_at_least("num_samples", self.num_samples, 1)
        validation.check_choice("draw", self.draw, ("uniform", "extreme"))

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
        """Tries random points of the ball.

        Args:
            logits_fn: The attacked model, images to logits `[batch, classes]`.
            key: One typed key, or one per example `[batch]`.
            images: `[batch, height, width, channels]`, within `bounds`.
            labels: True classes, `[batch]`.
            epsilon: Radius in pixel units, scalar or `[batch]`.
            bounds: Smallest and largest pixel value, each scalar or `[batch]`.
            mask: Where pixels may change (nonzero); everywhere if None.
            surrogates: Not used: no gradient is taken.

        Returns:
            Per example the point of lowest margin.

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
        keys = threat_models.key_per_example(key, images)

        def draw(index):
            fresh = threat_models.fold_in(keys, index)
            noise = self._noise(fresh, images, epsilon, mask)
            return threat_models.move(images, noise, **ball)

        def attempt(index, carry):
            noisy, best = carry
            # The next images go through the loop's state: fused into the model they
            # would be computed again for every use of a pixel.
            return draw(index + 1), better(judge(noisy, logits_fn(noisy), labels), best)

        best = judge_clean(images, logits_fn(images), labels)
        _, best = jax.lax.fori_loop(0, self.num_samples, attempt, (draw(0), best))
        return finish(logits_fn, images, best.images, labels, **ball)

    def _noise(self, keys: Key, images: Images, epsilon, mask) -> Images:
        radius = threat_models.per_example(epsilon, images)
        if self.norm == "linf":
            bits = 1 if self.draw == "extreme" else 16
            noise = _symmetric(keys, images[0].size, bits).reshape(images.shape)
            return radius * (jnp.sign(noise) if self.draw == "extreme" else noise)
        noise = threat_models.sample(keys, images, "l2", epsilon, mask=mask)
        if self.draw == "extreme":
            return noise
        # The volume inside a radius grows with that power of it.
        open_pixels = jnp.ones_like(images) if mask is None else mask != 0
        open_pixels = jnp.broadcast_to(open_pixels, images.shape)
        power = jnp.maximum(jnp.sum(open_pixels, axis=(1, 2, 3)), 1)
        share = jax.vmap(jax.random.uniform)(threat_models.fold_in(keys, 0))
        return threat_models.per_example(share ** (1 / power), images) * noise


def _symmetric(keys: Key, size: int, bits: int) -> Array:
    """Draws `[batch, size]` numbers, `2^bits` equidistant ones inside [-1, 1].

    Every random word serves several pixels: drawing words is what noise costs.
    """
    number = -(-size * bits // 32)
    words = jax.vmap(lambda key: jax.random.bits(key, (number,), jnp.uint32))(keys)
    shifts = jnp.arange(0, 32, bits, dtype=jnp.uint32)
    digits = (words[:, None] >> shifts[:, None]) & jnp.uint32(2**bits - 1)
    digits = digits.reshape(len(words), -1)[:, :size].astype(jnp.float32)
    return (2 * digits + 1) / 2**bits - 1
