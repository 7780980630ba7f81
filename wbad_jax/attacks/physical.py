"""Attacks on the sensor chain: what a camera, its room or its operator could do.

A perturbation is not free in every pixel but one of a family of disturbances with few
parameters (`sensor_fields.FAMILIES`), found by gradient ascent over these. Radii are in
pixel units as for all attacks, the largest change of a pixel; `epsilon_of_celsius`
turns degrees of a temperature window into them.
"""

import dataclasses
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wbad_jax.attacks import losses, threat_models, validation
from wbad_jax.attacks.ascent import Ball
from wbad_jax.attacks.result import (
    AttackResult,
    Candidate,
    better,
    finish,
    judge,
    judge_clean,
)
from wbad_jax.attacks.sensor_fields import FAMILIES, Scene, body_share
from wbad_jax.types import Images, Key, Labels, LogitsFn

Parameters = Float[Array, "batch parameters"]


def epsilon_of_celsius(
    celsius: float,
    window: tuple[float, float] = (22.0, 38.0),
    bounds: tuple[float, float] = (0.0, 1.0),
) -> float:
    """Radius in pixel units of a change of temperature.

    Args:
        celsius: Largest change, in degrees.
        window: Temperatures of the smallest and the largest pixel value.
        bounds: These two pixel values.

    Raises:
        ValueError: If the window is not (low, high) with low < high.

    Examples:
        >>> from wbad_jax.attacks import epsilon_of_celsius
        >>> epsilon_of_celsius(0.5, window=(22.0, 38.0))
        0.03125
    """
    if not window[0] < window[1]:
        raise ValueError(f"window must be (low, high) with low < high, got {window}.")
    return celsius * (bounds[1] - bounds[0]) / (window[1] - window[0])


@dataclasses.dataclass(frozen=True, kw_only=True)
class PhysicalAttack:
    """Gradient ascent over the parameters of a disturbance of the sensor chain.

    Parameters are scaled to [-1, 1]; each moves by the sign of its derivative, in steps
    that shrink linearly to zero. The result is of the family except where it leaves the
    pixel range and is clipped, as a sensor saturates.

    Attributes:
        family: A key of `FAMILIES`: "offset", "gain", "gradient" (a drift that is
            linear over the frame), "room" (a shift of the surroundings and another of
            the body), "patches" (warm or cold spots) or "vessels" (lines).
        shapes: Number of patches or lines.
        widths: Range of their standard deviations, or in "room" (the first number) that
            of the transition at the outline, in shares of the frame's shorter side; the
            family's own if None.
        pivot: Pixel value at which a gain error is zero; the lower bound if None. A
            camera's correction is exact at the temperature of its shutter.
        num_steps: Gradient steps per restart.
        restarts: Number of random starting points.
        step_size: Mean step length as a fraction of half a parameter's range;
            `2.5 / num_steps` if None.
        loss: Loss to ascend, a key of `losses.LOSSES`.

    Examples:
        >>> from wbad_jax.attacks import PhysicalAttack
        >>> PhysicalAttack(family="patches", shapes=2).restarts
        5
    """

    family: str = "patches"
    shapes: int = 3
    widths: tuple[float, float] | None = None
    pivot: float | None = None
    num_steps: int = 40
    restarts: int = 5
    step_size: float | None = None
    loss: str = "margin"

    def __post_init__(self):
        validation.check_choice("family", self.family, FAMILIES)
        validation.check_choice("loss", self.loss, losses.LOSSES)
        for name in ("shapes", "num_steps", "restarts"):
            validation.check_at_least(name, getattr(self, name), 1)
        if self.step_size is not None:
            validation.check_positive("step_size", self.step_size)
        if self.widths is not None and not 0 < self.widths[0] <= self.widths[1]:
            raise ValueError(
                f"widths must be (low, high) with 0 < low <= high, got {self.widths}."
            )

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
        body: threat_models.Mask = None,
    ) -> AttackResult:
        """Searches the family for the disturbance of lowest margin.

        Args:
            logits_fn: The attacked model, images to logits `[batch, classes]`.
            key: One typed key for the random starts, or one per example `[batch]`.
            images: `[batch, height, width, channels]`, within `bounds`.
            labels: True classes, `[batch]`.
            epsilon: Largest change in pixel units, scalar or `[batch]`.
            bounds: Smallest and largest pixel value, each scalar or `[batch]`.
            mask: Where pixels may change (nonzero); everywhere if None.
            surrogates: More models whose gradients are followed, each in runs of its
                own from the same random starts. Points are judged by `logits_fn`.
            body: Pixels of the body, for "room"; `mask`, or the whole frame, if None.

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
        ball = Ball(images, self.norm, epsilon, bounds, mask)
        disturbed = self._disturbance(ball, mask if body is None else body)
        best = judge_clean(images, logits_fn(images), labels)
        for model in (logits_fn, *(surrogates or {}).values()):
            best = self._climb(logits_fn, model, disturbed, key, labels, best)
        return finish(logits_fn, images, best.images, labels, **ball.constraints)

    def _disturbance(
        self, ball: Ball, body: threat_models.Mask
    ) -> Callable[[Parameters], Images]:
        """Makes the map from parameters to disturbed images."""
        family, images = FAMILIES[self.family], ball.images
        side = min(images.shape[1:3])
        low, high = (side * width for width in self.widths or family.widths)
        shape = (*images.shape[:3], 1)
        inside = jnp.ones(shape) if body is None else jnp.asarray(body) != 0
        inside = jnp.any(jnp.broadcast_to(inside, images.shape), axis=3, keepdims=True)
        pivot = ball.bounds[0] if self.pivot is None else self.pivot
        pivot = jnp.broadcast_to(jnp.asarray(pivot, images.dtype), images.shape[:1])
        bounds = [threat_models.per_example(bound, images) for bound in ball.bounds]
        share = body_share(inside, low)

        def field(parameters, image, pivot, share):
            return family.field(parameters, Scene(image, pivot, share, (low, high)))

        def disturbed(parameters: Parameters) -> Images:
            change = ball.stride(1.0) * jax.vmap(field)(
                parameters, images, pivot, share
            )
            if ball.mask is not None:
                change = jnp.where(ball.mask != 0, change, 0)
            return jnp.clip(images + change, *bounds)

        return disturbed

    def _climb(
        self,
        logits_fn: LogitsFn,
        model: LogitsFn,
        disturbed: Callable[[Parameters], Images],
        key: Key,
        labels: Labels,
        best: Candidate,
    ) -> Candidate:
        """Follows one model's gradients from every start."""
        family = FAMILIES[self.family]
        count = family.parameters * (self.shapes if family.shapes else 1)
        length = 2.5 / self.num_steps if self.step_size is None else self.step_size

        def total(parameters):
            images = disturbed(parameters)
            logits = model(images)
            return jnp.sum(losses.LOSSES[self.loss](logits, labels)), (images, logits)

        def ascend(index, carry):
            parameters, best = carry
            gradient, (images, logits) = jax.grad(total, has_aux=True)(parameters)
            logits = logits if model is logits_fn else logits_fn(images)
            best = better(judge(images, logits, labels), best)
            stride = 2 * length * (1 - index / self.num_steps)
            moved = parameters + stride * jnp.sign(jnp.nan_to_num(gradient))
            return jnp.clip(moved, -1, 1), best

        def run(restart, best):
            flat = jnp.zeros((labels.shape[0], 1, 1, count), best.images.dtype)
            start = threat_models.sample(
                threat_models.fold_in(key, restart), flat, "linf", 1.0
            )
            carry = (start.reshape(-1, count), best)
            parameters, best = jax.lax.fori_loop(0, self.num_steps, ascend, carry)
            images = disturbed(parameters)
            return better(judge(images, logits_fn(images), labels), best)

        return jax.lax.fori_loop(0, self.restarts, run, best)
