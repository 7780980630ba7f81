"""Projection onto the part of a hyperplane that lies in the pixel range.

The nearest point of `{z : normal . z = b, low <= z <= high}` moves every pixel towards
the plane: by the same amount (Linf), or in proportion to its entry of the normal (L2),
but no further than to the end of the range. One number per example, how far the free
pixels move, solves the piecewise linear equation for the gap.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from wbad_jax.attacks import threat_models
from wbad_jax.types import Images, PerExample

_PIXELS = (1, 2, 3)


def step_to_hyperplane(
    points: Images,
    normal: Images,
    gap: PerExample,
    norm: threat_models.Norm,
    *,
    bounds: threat_models.Bounds = (0.0, 1.0),
    mask: threat_models.Mask = None,
) -> Images:
    """Returns the smallest step from each point to its hyperplane, within the range.

    Args:
        points: Within `bounds`, `[batch, height, width, channels]`.
        normal: Normals of the hyperplanes, same shape.
        gap: What `sum(normal * step)` must be, `[batch]`.
        norm: "linf" or "l2", in which the step is the smallest.
        bounds: Smallest and largest pixel value, each scalar or `[batch]`.
        mask: Where pixels may change (nonzero); everywhere if None.

    Returns:
        The step, same shape as `points`; zero where the normal or the mask is. Where no
        point of the range reaches the plane, the step to the corner nearest to it.

    Reference:
        Croce and Hein (2020), Minimally distorted adversarial examples with a fast
        adaptive boundary attack, section 2.2 and appendix A. They sort the pixels.
    """
    if mask is not None:
        normal = jnp.where(mask != 0, normal, 0)
    gap = gap[:, None, None, None]
    scale = threat_models.perturbation_norm(normal, "linf")[:, None, None, None]
    scale = jnp.where(scale > 0, scale, 1)
    weight = jnp.abs(normal) / scale
    upwards = (normal > 0) == (gap > 0)
    low, high = (threat_models.per_example(bound, points) for bound in bounds)
    room = jnp.where(upwards, high - points, points - low)
    room = jnp.where(weight > 0, jnp.maximum(room, 0), 0)
    speed = jnp.ones_like(scale) if norm == "linf" else weight
    time = _arrival(weight, speed, room, jnp.abs(gap) / scale)
    length = jnp.where(time * speed < room, time * speed, room)
    return jnp.where(upwards, length, -length)


def _arrival(weight: Images, speed: Images, room: Images, gap: Array) -> Array:
    """Solves `sum(weight * min(time * speed, room)) = gap` for the time, per example.

    The left side is concave and piecewise linear in time, so Newton's method from time
    0 never passes the solution. Each round stops more pixels at the end of their room,
    and once it stops none the equation of the remaining ones is solved exactly; a few
    rounds do. If all pixels stop before, the time is one at which they have.
    """

    def proceed(state):
        return jnp.any(state[1])

    def body(state):
        time, _ = state
        free = time * speed < room
        slope, stopped = _sums(
            jnp.where(free, weight * speed, 0), jnp.where(free, 0, weight * room)
        )
        following = (gap - stopped) / jnp.where(slope > 0, slope, 1)
        later = (slope > 0) & (following > time)
        return jnp.where(later, following, time), later

    start = (jnp.zeros_like(gap), jnp.ones_like(gap, dtype=bool))
    return jax.lax.while_loop(proceed, body, start)[0]


def _sums(*terms: Images) -> tuple[Array, ...]:
    """Sums over pixels, in one pass: XLA:CPU would make one for each."""
    sums = jax.lax.reduce(
        terms, tuple(jnp.zeros((), term.dtype) for term in terms),
        lambda first, second: jax.tree.map(jnp.add, first, second), _PIXELS,
    )  # fmt: skip
    return tuple(total[:, None, None, None] for total in sums)
