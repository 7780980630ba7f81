"""Pieces of gradient attacks: a model's gradient, a step in the ball, an optimizer.

Nothing is jitted here: call an attack inside a jitted step, with `logits_fn` built
there from traced parameters. Called eagerly with a fresh closure per batch, the loop
would be compiled again for each batch.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from wbad_jax.attacks import losses, threat_models
from wbad_jax.types import Images, Key, Labels, Logits, LogitsFn

# From images to the attacked model's logits and the gradient of the attack's loss.
Oracle = Callable[[Images], tuple[Logits, Images]]


class Ball(NamedTuple):
    """What confines a perturbation.

    Attributes:
        images: Clean images, the centre.
        norm: Of the ball.
        epsilon: Its radius, scalar or `[batch]`.
        bounds: Smallest and largest pixel value.
        mask: Where pixels may change; everywhere if None.
    """

    images: Images
    norm: threat_models.Norm
    epsilon: threat_models.Scalars
    bounds: threat_models.Bounds
    mask: threat_models.Mask

    @property
    def constraints(self) -> dict[str, Any]:
        """All but the images, as keyword arguments."""
        constraints = self._asdict()
        del constraints["images"]
        return constraints

    def move(self, perturbation: Images) -> Images:
        """The clean images plus a perturbation brought into the ball and the range."""
        return threat_models.move(self.images, perturbation, **self.constraints)

    def stride(self, length: threat_models.Scalars) -> jax.Array:
        """A length in parts of the radius, shaped to broadcast against images."""
        length = threat_models.per_example(length, self.images)
        return length * threat_models.per_example(self.epsilon, self.images)

    def sample(self, key: Key) -> Images:
        """Images moved by a random draw, see `threat_models.sample`."""
        return self.move(
            threat_models.sample(
                key, self.images, self.norm, self.epsilon, mask=self.mask
            )
        )

    def steepest(self, gradient: Images, current: Images) -> Images:
        """The direction of unit norm along which a loss grows fastest.

        In L1 only pixels with room to move take part: the few that a step changes must
        not be those at the end of the range.
        """
        if self.norm == "l1":
            low, high = (threat_models.per_example(b, current) for b in self.bounds)
            stuck = jnp.where(gradient > 0, current >= high, current <= low)
            gradient = jnp.where(stuck, 0, gradient)
        return threat_models.steepest_ascent(gradient, self.norm, mask=self.mask)

    def step(
        self, current: Images, direction: Images, length: threat_models.Scalars
    ) -> Images:
        """Images moved along a direction of unit norm, and back into the ball."""
        return self.move(current - self.images + self.stride(length) * direction)


def make_oracle(
    logits_fn: LogitsFn, model: LogitsFn, labels: Labels, loss: losses.LossFn
) -> Oracle:
    """Pairs the attacked model's logits with the gradient of `model`'s loss.

    Args:
        logits_fn: The attacked model.
        model: The model to take gradients from; the attacked one or a surrogate.
        labels: True classes, `[batch]`.
        loss: Of logits and labels, per example.
    """

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


class Optimizer(NamedTuple):
    """Turns gradients into the directions of unit norm that steps are taken along.

    Attributes:
        init: From images to the state.
        update: From a gradient, the images where it was taken and the state to a
            direction and the next state.
    """

    init: Callable[[Images], Any]
    update: Callable[[Images, Images, Any], tuple[Images, Any]]


def make_optimizer(name: str, momentum: float, ball: Ball) -> Optimizer:
    """Returns steepest ascent, with or without momentum, or Adam.

    Args:
        name: "steepest" or "adam". With the latter the direction in a Linf ball is not
            the sign, but the quotient of Adam's moments.
        momentum: Decay of the sum of L1-normalised gradients; 0 for none.
        ball: What steps are taken in.

    Reference:
        Dong et al. (2018), Boosting adversarial attacks with momentum, equation 6;
        Kingma and Ba (2015), Adam, algorithm 1.
    """
    if name == "adam":
        return _adam(ball)
    if momentum == 0:
        return Optimizer(
            lambda images: (), lambda g, x, state: (ball.steepest(g, x), state)
        )

    def accumulate(gradient, current, velocity):
        velocity = momentum * velocity + _unit_mean(gradient)
        return ball.steepest(velocity, current), velocity

    return Optimizer(jnp.zeros_like, accumulate)


def _adam(ball: Ball) -> Optimizer:
    adam: Any = optax.scale_by_adam()

    def update(gradient, current, state):
        # Adam's small constant must not depend on the scale of the logits.
        moments, state = adam.update(_unit_mean(gradient), state)
        if ball.norm != "linf":
            return ball.steepest(moments, current), state
        return moments if ball.mask is None else moments * (ball.mask != 0), state

    return Optimizer(adam.init, update)


def _unit_mean(gradient: Images) -> Images:
    """Scaled so that the mean absolute entry is 1; zero and missing ones stay zero."""
    gradient = jnp.clip(jnp.nan_to_num(gradient), -1e30, 1e30)
    largest = jnp.max(jnp.abs(gradient), axis=(-3, -2, -1), keepdims=True)
    gradient = gradient / jnp.where(largest > 0, largest, 1)
    mean = jnp.mean(jnp.abs(gradient), axis=(-3, -2, -1), keepdims=True)
    return gradient / jnp.where(mean > 0, mean, 1)
