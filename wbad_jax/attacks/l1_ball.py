"""The L1 ball cut by the pixel range: its exact projection, and sparse steps in it.

Sorting 16,000 pixels is slow on a CPU, so thresholds are found by bisection: each is
where a sum or a count over pixels, which falls with the threshold, meets its target.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from wbad_jax.types import Images

_PIXELS = (-3, -2, -1)
# Halvings until neighbouring thresholds are neighbouring float32 numbers.
_HALVINGS = 30
# The projection stops this fraction short of the radius, as its norm is a rounded sum.
_ROUNDING = 5e-7


def project_l1(
    perturbation: Images, radius: Array, room: Array | None = None
) -> Images:
    """Returns the nearest point of the L1 ball and the pixel range together.

    That is `sign(p) * clip(|p| - t, 0, room)` with the smallest t >= 0 of which the L1
    norm is at most the radius.

    Args:
        perturbation: `[batch, height, width, channels]`.
        radius: Of the ball, broadcast against the perturbation; may be infinite.
        room: How far each pixel may move in the direction of its perturbation, at least
            0; without limit if None.

    Reference:
        Croce and Hein (2021), Mind the box: l1-APGD for sparse adversarial attacks on
        image classifiers, proposition 3.1.
    """
    size = jnp.abs(perturbation)
    cap = size if room is None else jnp.minimum(size, room)

    def shrunk(threshold):
        return jnp.clip(size - threshold, 0, cap)

    def length(threshold):
        return jnp.sum(shrunk(threshold), axis=_PIXELS, keepdims=True)

    allowed = radius * (1 - _ROUNDING)
    threshold = falling_root(
        lambda t: length(t) - allowed, jnp.max(size, axis=_PIXELS, keepdims=True)
    )
    outside = length(jnp.zeros_like(threshold)) > allowed
    inside = jnp.where(outside, shrunk(threshold), cap)
    return jnp.sign(perturbation) * inside


def falling_root(excess, highest: Array) -> Array:
    """Returns the smallest threshold in [0, highest], nearly, where excess is <= 0.

    Args:
        excess: Falls with the threshold, and is at most 0 at `highest`.
        highest: One an example.
    """

    def halve(_, ends):
        low, high = ends
        middle = (low + high) / 2
        over = excess(middle) > 0
        return jnp.where(over, middle, low), jnp.where(over, high, middle)

    ends = (jnp.zeros_like(highest), highest)
    return jax.lax.fori_loop(0, _HALVINGS, halve, ends)[1]


def sparse_direction(gradient: Images, count: Array | float) -> Images:
    """Returns the direction of L1 norm 1 over the pixels of largest gradient.

    Args:
        gradient: `[batch, height, width, channels]`, finite.
        count: How many pixels, broadcast against the gradient; at least one is taken,
            and all of those that tie.
    """
    size = jnp.abs(gradient)
    highest = jnp.max(size, axis=_PIXELS, keepdims=True)

    def excess(threshold):
        # The largest always counts: the root is below it.
        kept = jnp.sum(size >= threshold, axis=_PIXELS, keepdims=True)
        return jnp.where(threshold < highest, kept - jnp.maximum(count, 1), -1)

    threshold = jnp.minimum(falling_root(excess, highest), highest)
    kept = (size >= threshold) & (size > 0)
    number = jnp.sum(kept, axis=_PIXELS, keepdims=True)
    return jnp.where(kept, jnp.sign(gradient), 0) / jnp.maximum(number, 1)
