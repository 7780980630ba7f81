"""Lp balls: the sets of perturbations an attack may choose from.

A perturbation is allowed when its norm is at most `epsilon`, the perturbed image stays
within `bounds`, and it is zero where the optional `mask` is zero. `epsilon` and both
bounds are in the units of the pixels, scalar or one per example; all may be traced.
Masks broadcast against `[batch, height, width, channels]`; any nonzero entry allows the
pixel to change.
"""

import functools
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wbad_jax.attacks.l1_ball import project_l1, sparse_direction
from wbad_jax.types import Images, Key, PerExample

Norm = Literal["linf", "l2", "l1"]
NORMS: tuple[str, ...] = get_args(Norm)
Scalars = float | Float[Array, ""] | PerExample
Bounds = tuple[Scalars, Scalars]
Mask = Array | None

_PIXELS = (-3, -2, -1)
# An L2 projection stops this fraction short of epsilon, so that the norm of the rounded
# perturbation, summed in float32 by whoever checks it, is not above epsilon.
_L2_ROUNDING = 5e-7
# Share of the pixels that a step in the L1 ball changes.
_L1_DENSITY = 0.01


def per_example(value: Scalars, images: Images) -> Array:
    """Shapes a scalar or `[batch]` value to broadcast against images."""
    value = jnp.asarray(value, images.dtype)
    return value.reshape(value.shape + (1, 1, 1)) if value.ndim else value


def perturbation_norm(perturbation: Images, norm: Norm) -> PerExample:
    """Returns the norm of each example's perturbation, `[batch]`.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.attacks import perturbation_norm
        >>> change = jnp.array([3.0, -4.0]).reshape(1, 1, 2, 1)
        >>> print(perturbation_norm(change, "l2"), perturbation_norm(change, "linf"))
        [5.] [4.]
    """
    if norm == "linf":
        return _largest(perturbation)
    if norm == "l1":
        return jnp.sum(jnp.abs(perturbation), axis=_PIXELS)
    scale, unit = _scaled(perturbation)
    return scale.squeeze(_PIXELS) * jnp.sqrt(jnp.sum(unit * unit, axis=_PIXELS))


def project(
    perturbation: Images, norm: Norm, epsilon: Scalars, *, mask: Mask = None
) -> Images:
    """Returns the nearest perturbation of the ball, zero outside the mask.

    Args:
        perturbation: `[batch, height, width, channels]`.
        norm: "linf", "l2" or "l1".
        epsilon: Radius; infinity leaves the perturbation as it is.
        mask: Where pixels may change; everywhere if None.

    Returns:
        The projection, same shape. For "l2" and "l1" its norm stops a rounding error
        short of `epsilon`.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.attacks import project
        >>> perturbation = jnp.array([3.0, -4.0]).reshape(1, 1, 2, 1)
        >>> print(project(perturbation, "linf", 3.5).ravel())
        [ 3.  -3.5]
    """
    perturbation = _masked(perturbation, mask)
    radius = per_example(epsilon, perturbation)
    if norm == "linf":
        return jnp.clip(perturbation, -radius, radius)
    if norm == "l1":
        return project_l1(perturbation, radius)
    length = perturbation_norm(perturbation, norm)[..., None, None, None]
    allowed = radius * (1 - _L2_ROUNDING)
    shrink = allowed / jnp.where(length > allowed, length, 1)
    return jnp.where(length > allowed, shrink * perturbation, perturbation)


def steepest_ascent(gradient: Images, norm: Norm, *, mask: Mask = None) -> Images:
    """Returns the direction of unit norm along which a loss grows fastest.

    The result does not depend on the gradient's scale, however small: damping a tiny
    gradient would shorten the steps on a saturated model and make it look robust. A
    zero gradient gives a zero direction, and NaN entries count as zero.

    Args:
        gradient: Gradient of the loss, `[batch, height, width, channels]`.
        norm: "linf" (the sign), "l2" (the normalised gradient) or "l1" (evenly over the
            1 % of pixels with the largest gradient: the single largest would need
            thousands of steps; Tramer and Boneh 2019, section 4).
        mask: Where pixels may change; everywhere if None.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.attacks import steepest_ascent
        >>> gradient = jnp.array([3.0, -4.0]).reshape(1, 1, 2, 1)
        >>> print(steepest_ascent(gradient, "linf").ravel())
        [ 1. -1.]
    """
    # Beyond 1e30 the reciprocal in a normalization could underflow to zero.
    gradient = _masked(jnp.clip(jnp.nan_to_num(gradient), -1e30, 1e30), mask)
    if norm == "linf":
        return jnp.sign(gradient)
    if norm == "l1":
        return sparse_direction(gradient, _L1_DENSITY * gradient[0].size)
    return _normalized(gradient)


def sample(
    key: Key, images: Images, norm: Norm, epsilon: Scalars, *, mask: Mask = None
) -> Images:
    """Draws a perturbation: uniform in the ball for "linf", on the sphere otherwise.

    For "l1" it is a normal draw projected onto the sphere, so that few pixels change.

    Args:
        key: One typed key, or one per example `[batch]`; with the latter an example's
            draw depends on its own key only, not on the rest of the batch.
        images: Gives shape and dtype, `[batch, height, width, channels]`.
        norm: "linf", "l2" or "l1".
        epsilon: Radius, scalar or `[batch]`.
        mask: Where pixels may change; everywhere if None.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from wbad_jax.attacks import sample
        >>> noise = sample(jax.random.key(0), jnp.zeros((2, 4, 4, 1)), "linf", 0.1)
        >>> bool(abs(noise).max() <= 0.1)
        True
    """
    draw = jax.random.uniform if norm == "linf" else jax.random.normal
    # Flat, then reshaped: the same bits as a 4-D draw, but far faster to compile.
    if key.ndim:
        size = images[0].size
        noise = jax.vmap(lambda one: draw(one, (size,), images.dtype))(key)
    else:
        noise = draw(key, (images.size,), images.dtype)
    noise = noise.reshape(images.shape)
    if norm == "linf":
        return per_example(epsilon, images) * _masked(2 * noise - 1, mask)
    if norm == "l1":
        # Its spread is the radius, so that nearly all of the draw is cut off.
        radius = per_example(epsilon, images)
        return project_l1(radius * _masked(noise, mask), radius)
    return per_example(epsilon, images) * _normalized(_masked(noise, mask))


def fold_in(key: Key, data: int | Array) -> Key:
    """Derives a key for a step or restart from one key, or from each of `[batch]`."""
    derive = functools.partial(jax.random.fold_in, data=data)
    return jax.vmap(derive)(key) if key.ndim else derive(key)


def key_per_example(key: Key, images: Images) -> Key:
    """Keys `[batch]`: the given ones, or one key split among the images."""
    return key if key.ndim else jax.random.split(key, images.shape[0])


def move(
    images: Images,
    perturbation: Images,
    norm: Norm,
    epsilon: Scalars,
    *,
    bounds: Bounds = (0.0, 1.0),
    mask: Mask = None,
) -> Images:
    """Adds a perturbation, brought into the ball, the mask and the pixel range.

    The ball first, then the range: as `images` lie in the range, clipping moves every
    pixel towards them and so stays in the ball. In L1 both at once, since the range
    would take much of what the ball leaves to few pixels. The sum is rounded towards
    `images`: `(images + p) - images` is never longer than p, which plain float32
    addition misses by up to 1e-5 of a small epsilon.

    Args:
        images: Clean images within `bounds`, `[batch, height, width, channels]`.
        perturbation: Any perturbation, same shape.
        norm: "linf", "l2" or "l1".
        epsilon: Radius, scalar or `[batch]`.
        bounds: Smallest and largest pixel value.
        mask: Where pixels may change; everywhere if None.

    Returns:
        The perturbed images; no gradient flows through them.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.attacks import move
        >>> images = jnp.full((1, 2, 2, 1), 0.5)
        >>> print(move(images, jnp.ones_like(images), "linf", 0.25).ravel())
        [0.75 0.75 0.75 0.75]
    """
    # No gradient: an attack is a constant to whoever trains on its images.
    images, perturbation, epsilon = jax.lax.stop_gradient(
        (images, jnp.nan_to_num(perturbation), epsilon)
    )
    # Were the images a compile-time constant, XLA would cancel them in the check below.
    images = jax.lax.optimization_barrier(images)
    low, high = (per_example(bound, images) for bound in bounds)
    if norm == "l1":
        perturbation = _masked(perturbation, mask)
        room = jnp.where(perturbation > 0, high - images, images - low)
        perturbation = project_l1(perturbation, per_example(epsilon, images), room)
    else:
        perturbation = project(perturbation, norm, epsilon, mask=mask)
    moved = images + perturbation
    overshoots = jnp.abs(moved - images) > jnp.abs(perturbation)
    moved = jnp.where(overshoots, jnp.nextafter(moved, images), moved)
    return jnp.clip(moved, low, high)


def _masked(perturbation: Images, mask: Mask) -> Images:
    return perturbation if mask is None else jnp.where(mask != 0, perturbation, 0)


def _scaled(x: Images) -> tuple[Array, Images]:
    # Divided by the largest entry, so that squares neither underflow nor overflow.
    scale = _largest(x)[..., None, None, None]
    return scale, x / jnp.where(scale > 0, scale, 1)


def _normalized(x: Images) -> Images:
    _, unit = _scaled(x)
    squared = jnp.sum(unit * unit, axis=_PIXELS, keepdims=True)
    return unit / jnp.sqrt(jnp.maximum(squared, 1))  # At least 1 unless x is zero.


def _largest(x: Images) -> PerExample:
    # Magnitudes compare as their bits do, and XLA:CPU vectorizes only integer maxima.
    bits = {4: jnp.int32, 8: jnp.int64, 2: jnp.int16}[x.dtype.itemsize]
    magnitudes = jax.lax.bitcast_convert_type(jnp.abs(x), bits)
    return jax.lax.bitcast_convert_type(jnp.max(magnitudes, axis=_PIXELS), x.dtype)
