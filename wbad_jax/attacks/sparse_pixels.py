"""Dead and hot pixels: a few pixels changed by the whole radius."""

import dataclasses
from collections.abc import Mapping

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
    judge_clean,
)
from wbad_jax.types import Images, Key, Labels, LogitsFn


@dataclasses.dataclass(frozen=True, kw_only=True)
class SparsePixels:
    """Changes at most k pixels, chosen greedily by what their change promises.

    In every step the gradient is taken anew, and the next pixels are those whose move
    to the end of their reach raises the loss most, to first order. All channels of a
    pixel move. On a linear model this is the best choice of k pixels.

    The budget has two numbers: `num_pixels`, the L0 norm over positions, and `epsilon`
    of the call, the largest change; infinity or the pixel range for a dead pixel.

    Attributes:
        num_pixels: Largest number of changed pixels.
        num_steps: Gradient steps, each for an equal share of the pixels.
        loss: Loss to ascend, a key of `losses.LOSSES`.

    Reference:
        Papernot et al. (2016), The limitations of deep learning in adversarial
        settings, section III: the greedy choice by first derivatives. There pairs of
        pixels are chosen by the derivatives of single classes.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from wbad_jax.attacks import SparsePixels
        >>> logits_fn = lambda x: x.mean((1, 2)) @ jnp.array([[-1.0, 1.0]])
        >>> images, labels = jnp.full((1, 4, 4, 1), 0.05), jnp.array([1])
        >>> attack = SparsePixels(num_pixels=4, num_steps=2)
        >>> result = attack(logits_fn, jax.random.key(0), images, labels, epsilon=1.0)
        >>> print(result.success)
        [False]
    """

    num_pixels: int = 16
    num_steps: int = 16
    loss: str = "margin"

    def __post_init__(self):
        validation.check_choice("loss", self.loss, losses.LOSSES)
        validation.check_at_least("num_pixels", self.num_pixels, 1)
        validation.check_at_least("num_steps", self.num_steps, 1)

    @property
    def norm(self) -> threat_models.Norm:
        """Norm of the radius, the largest change of a pixel."""
        return "linf"

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
        """Adds pixels one step after the other, and keeps the best image on the way.

        Args:
            logits_fn: The attacked model, images to logits `[batch, classes]`.
            key: Not used; there for the signature that all attacks share.
            images: `[batch, height, width, channels]`, within `bounds`.
            labels: True classes, `[batch]`.
            epsilon: Largest change in pixel units, scalar or `[batch]`.
            bounds: Smallest and largest pixel value, each scalar or `[batch]`.
            mask: Where pixels may change (nonzero); everywhere if None.
            surrogates: More models whose gradients are followed, each from the clean
                image. Points are judged by `logits_fn`.

        Returns:
            The point of lowest margin per example.

        Raises:
            ValueError: If an argument breaks the rules above.
        """
        del key
        images, labels = validation.check_inputs(
            logits_fn, images, labels,
            epsilon=epsilon, bounds=bounds, mask=mask, surrogates=surrogates,
            norm=self.norm,
        )  # fmt: skip
        ball = Ball(images, self.norm, epsilon, bounds, mask)
        best = judge_clean(images, logits_fn(images), labels)
        for model in (logits_fn, *(surrogates or {}).values()):
            best = self._grow(logits_fn, model, labels, ball, best)
        return finish(logits_fn, images, best.images, labels, **ball.constraints)

    def _grow(
        self,
        logits_fn: LogitsFn,
        model: LogitsFn,
        labels: Labels,
        ball: Ball,
        best: Candidate,
    ) -> Candidate:
        """Follows one model's gradients."""
        images = ball.images
        batch, height, width, _ = images.shape
        share = min(-(-self.num_pixels // self.num_steps), height * width)
        oracle = make_oracle(logits_fn, model, labels, losses.LOSSES[self.loss])
        low, high = (threat_models.per_example(end, images) for end in ball.bounds)
        reach = jnp.minimum(ball.stride(1.0), high - low)

        def step(index, carry):
            current, chosen, best = carry
            logits, gradient = oracle(current)
            best = better(judge(current, logits, labels), best)
            direction = threat_models.steepest_ascent(gradient, "linf")
            target = ball.move(reach * direction)
            gain = jnp.sum((target - images) * jnp.nan_to_num(gradient), axis=3)
            left = self.num_pixels - index * share
            fresh = _largest(jnp.where(chosen, 0, gain), share, left)
            current = jnp.where(fresh[..., None], target, current)
            return current, chosen | fresh, best

        chosen = jnp.zeros((batch, height, width), bool)
        carry = (images, chosen, best)
        current, _, best = jax.lax.fori_loop(0, self.num_steps, step, carry)
        return better(judge(current, logits_fn(current), labels), best)


def _largest(gain: Array, share: int, left: Array) -> Bool[Array, "batch height width"]:
    """Marks the `share` pixels of largest positive gain, or `left` if that is less."""
    batch = gain.shape[0]
    flat = gain.reshape(batch, -1)
    values, indices = jax.lax.top_k(flat, share)
    taken = (values > 0) & (jnp.arange(share) < left)
    marked = jnp.zeros(flat.shape, bool)
    marked = marked.at[jnp.arange(batch)[:, None], indices].set(taken)
    return marked.reshape(gain.shape)
