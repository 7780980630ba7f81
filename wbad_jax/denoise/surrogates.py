"""Smooth stand-ins for the shrinkage functions, with a gradient everywhere.

Inside the dead zone of a shrinkage function every gradient is zero. A surrogate has
the same limits, is infinitely differentiable and odd, and tends to its original as
`width` tends to 0. With `threshold` 0 each of them is the identity.

In all of them `width` is positive, in the units of the coefficients, broadcastable to
them, and carries no gradient: it is a setting. A width too small to be squared, 0
included, is raised to about 1e-18 (float32).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from wbad_jax.denoise.shrinkage import check_threshold

Coefficients = Float[Array, "*shape"]


def softplus_soft_threshold(
    coefficients: Coefficients, threshold: ArrayLike, width: ArrayLike
) -> Coefficients:
    """Soft shrinkage with corners rounded by softplus; exponentially close elsewhere.

    `w softplus((c - t) / w) - w softplus(-(c + t) / w)`, never farther from
    `soft_threshold` than `w ln 2`, which is approached at `|c| = t` for `t` large
    beside `w`.

    Args:
        coefficients: Any shape.
        threshold: Non-negative, broadcastable to `coefficients`.
        width: Scale of the rounding, see above.

    Returns:
        Shrunk coefficients, same shape and dtype.

    Raises:
        ValueError: If `threshold` is a number or NumPy array and negative.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.denoise import softplus_soft_threshold
        >>> x = jnp.array([0.0, 1.0, 5.0])
        >>> [round(float(y), 3) for y in softplus_soft_threshold(x, 1.0, 0.1)]
        [0.0, 0.069, 4.0]
    """
    c, t, w = _prepared(coefficients, threshold, width)
    return w * (jax.nn.softplus((c - t) / w) - jax.nn.softplus(-(c + t) / w))


def zhang_soft_threshold(
    coefficients: Coefficients, threshold: ArrayLike, width: ArrayLike
) -> Coefficients:
    """Soft shrinkage with hyperbolas for corners.

    `c + (sqrt((c - t)**2 + w**2) - sqrt((c + t)**2 + w**2)) / 2`, never farther from
    `soft_threshold` than `w / 2`, which is approached at `|c| = t` for `t` large beside
    `w`. Its slope falls off like `(w / d)**2` at distance d into the dead zone: at
    `c = 0` it is about `(w / t)**2 / 2`, where softplus has but `2 exp(-t / w)`.

    Args:
        coefficients: Any shape.
        threshold: Non-negative, broadcastable to `coefficients`.
        width: Scale of the rounding, see above; the paper's lambda is its square.

    Returns:
        Shrunk coefficients, same shape and dtype.

    Raises:
        ValueError: If `threshold` is a number or NumPy array and negative.

    Reference:
        Zhang (2001), Thresholding neural network for adaptive noise reduction, IEEE
        Trans. Neural Networks 12(3).

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.denoise import zhang_soft_threshold
        >>> x = jnp.array([0.0, 1.0, 5.0])
        >>> [round(float(y), 3) for y in zhang_soft_threshold(x, 1.0, 0.1)]
        [0.0, 0.049, 4.0]
    """
    c, t, w = _prepared(coefficients, threshold, width)
    return _zhang(c, t, w)


def sigmoid_hard_threshold(
    coefficients: Coefficients, threshold: ArrayLike, width: ArrayLike
) -> Coefficients:
    """Hard shrinkage with its two jumps replaced by sigmoids.

    `c (sigmoid((c - t) / w) + sigmoid(-(c + t) / w))`. At the jump it is halfway. At
    distance `d = ||c| - t|` from it the deviation from `hard_threshold` is at most
    `|c| (sigmoid(-d / w) + sigmoid(-(|c| + t) / w))`, and exactly that inside the dead
    zone; it is less than `2 |c| exp(-d / w)`.

    Args:
        coefficients: Any shape.
        threshold: Non-negative, broadcastable to `coefficients`.
        width: Scale of the sigmoids, see above.

    Returns:
        Shrunk coefficients, same shape and dtype.

    Raises:
        ValueError: If `threshold` is a number or NumPy array and negative.

    Reference:
        Zhang (2001), IEEE Trans. Neural Networks 12(3); Michau, Frusque and Fink
        (2022), Fully learnable deep wavelet transform, PNAS 119(8).

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.denoise import sigmoid_hard_threshold
        >>> x = jnp.array([0.0, 1.0, 5.0])
        >>> [round(float(y), 3) for y in sigmoid_hard_threshold(x, 1.0, 0.1)]
        [0.0, 0.5, 5.0]
    """
    c, t, w = _prepared(coefficients, threshold, width)
    return c * (jax.nn.sigmoid((c - t) / w) + jax.nn.sigmoid(-(c + t) / w))


def smooth_garrote_threshold(
    coefficients: Coefficients, threshold: ArrayLike, width: ArrayLike
) -> Coefficients:
    """Garrote shrinkage, with `zhang_soft_threshold` in the place of soft shrinkage.

    The garrote is a function of the softly shrunk `s`: `s (1 + t / (t + |s|))`. A gate
    on `c - t**2 / c` would have to silence its pole at 0. Here `s` is the surrogate and
    `|s|` is `sqrt(s**2 + w**2)`. Never farther from `garrote_threshold` than `w`, which
    is approached at `|c| = t` for `t` large beside `w`.

    Args:
        coefficients: Any shape.
        threshold: Non-negative, broadcastable to `coefficients`.
        width: Scale of the rounding, see above.

    Returns:
        Shrunk coefficients, same shape and dtype.

    Raises:
        ValueError: If `threshold` is a number or NumPy array and negative.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.denoise import smooth_garrote_threshold
        >>> x = jnp.array([0.0, 2.0, 5.0])
        >>> [round(float(y), 3) for y in smooth_garrote_threshold(x, 1.0, 0.1)]
        [0.0, 1.501, 4.8]
    """
    c, t, w = _prepared(coefficients, threshold, width)
    soft = _zhang(c, t, w)
    return soft * (1 + t / (t + jnp.sqrt(soft * soft + w * w)))


def smooth_firm_threshold(
    coefficients: Coefficients, threshold: ArrayLike, width: ArrayLike
) -> Coefficients:
    """Firm shrinkage with upper threshold `2 t`, with its four corners rounded.

    Firm shrinkage is `2 soft(c, t) - soft(c, 2 t)`; both terms are replaced by
    `zhang_soft_threshold`. Never farther from `firm_threshold` than `w`, which is
    approached at `|c| = t` for `t` large beside `w`.

    Args:
        coefficients: Any shape.
        threshold: Non-negative, broadcastable to `coefficients`.
        width: Scale of the rounding, see above.

    Returns:
        Shrunk coefficients, same shape and dtype.

    Raises:
        ValueError: If `threshold` is a number or NumPy array and negative.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.denoise import smooth_firm_threshold
        >>> x = jnp.array([0.0, 1.5, 5.0])
        >>> [round(float(y), 3) for y in smooth_firm_threshold(x, 1.0, 0.1)]
        [0.0, 1.004, 5.0]
    """
    c, t, w = _prepared(coefficients, threshold, width)
    return 2 * _zhang(c, t, w) - _zhang(c, 2 * t, w)


def zhang_slope(
    coefficients: Coefficients, threshold: ArrayLike, width: ArrayLike
) -> Coefficients:
    """Derivative of `zhang_soft_threshold` by the coefficients, arguments alike."""
    c, t, w = _prepared(coefficients, threshold, width)
    return 1 + 0.5 * ((c - t) / _hypotenuse(c - t, w) - (c + t) / _hypotenuse(c + t, w))


def _zhang(c: Array, t: Array, w: Array) -> Array:
    return c + 0.5 * (_hypotenuse(c - t, w) - _hypotenuse(c + t, w))


def _hypotenuse(x: Array, w: Array) -> Array:
    # jnp.hypot also serves squares out of range, at several times the cost.
    return jnp.sqrt(x * x + w * w)


def _prepared(
    coefficients: Coefficients, threshold: ArrayLike, width: ArrayLike
) -> tuple[Array, Array, Array]:
    c = jnp.asarray(coefficients)
    check_threshold(threshold)
    # The square of the least width is a normal number, also on devices that flush
    # subnormal ones to zero, where the root would have an infinite slope.
    least = 8 * float(jnp.finfo(c.dtype).tiny) ** 0.5
    w = jnp.maximum(jnp.asarray(width, c.dtype), least)
    return c, jnp.asarray(threshold, c.dtype), jax.lax.stop_gradient(w)


SMOOTH_SHRINKAGE: dict[
    str, Callable[[Coefficients, ArrayLike, ArrayLike], Coefficients]
] = {
    "soft": zhang_soft_threshold,
    "hard": sigmoid_hard_threshold,
    "garrote": smooth_garrote_threshold,
    "firm": smooth_firm_threshold,
}
