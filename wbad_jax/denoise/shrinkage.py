"""Shrinkage functions applied to detail coefficients, none with a NaN gradient.

Each maps coefficients `c` and a non-negative threshold, broadcast against `c`, to
coefficients of the same shape and dtype. All are odd functions with a dead zone
`|c| <= threshold`, where the gradient in `c` is exactly zero: a gradient attack sees
nothing there, so robustness must also be measured with another backward pass
(`wavelet_denoise(..., backward="identity")` or `"smooth"`).

A negative threshold is refused where its value is known: Python numbers and NumPy
arrays are checked, JAX arrays are not, for that would wait for the device.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float

Coefficients = Float[Array, "*shape"]


def soft_threshold(coefficients: Coefficients, threshold: ArrayLike) -> Coefficients:
    """Move every coefficient towards zero by `threshold`, stopping at zero.

    Continuous and 1-Lipschitz: slope 1 outside the dead zone, 0 inside.

    Args:
        coefficients: Any shape.
        threshold: Non-negative, broadcastable to `coefficients`.

    Returns:
        Shrunk coefficients, same shape and dtype.

    Raises:
        ValueError: If `threshold` is a number or NumPy array and negative.

    Reference:
        Donoho (1995), De-noising by soft-thresholding, IEEE Trans. Information Theory
        41(3), equation 1.3.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.denoise import soft_threshold
        >>> print(soft_threshold(jnp.array([0.5, 2.0, -4.0]), 1.0))
        [ 0.  1. -3.]
    """
    coefficients = jnp.asarray(coefficients)
    return _soft(coefficients, _as_threshold(threshold, coefficients))


# Not c - clip(c, -t, t), whose automatic gradient handles ties in several passes over
# memory. The textbook form c * max(1 - t / |c|, 0) has a NaN gradient at 0.
def _soft(c: Array, t: Array) -> Array:
    return jnp.sign(c) * jax.nn.relu(jnp.abs(c) - _over_rows(t, c.shape))


def _over_rows(threshold: Array, shape: tuple[int, ...]) -> Array:
    """Broadcasts along rows first, so that the gradient is summed over columns first.

    XLA:CPU vectorises a sum over the height, but not one over height and width at once
    when there are several channels. The fence keeps it from joining the two.
    """
    if threshold.ndim < 2:
        return jnp.broadcast_to(threshold, shape)
    row = jnp.broadcast_to(threshold, (*threshold.shape[:-2], *shape[-2:]))
    return jnp.broadcast_to(lax.optimization_barrier(row), shape)


def hard_threshold(coefficients: Coefficients, threshold: ArrayLike) -> Coefficients:
    """Keep coefficients above `threshold` in magnitude and zero the others.

    Discontinuous; its gradient in `threshold` is zero almost everywhere, so a learned
    threshold does not move under it.

    Args:
        coefficients: Any shape.
        threshold: Non-negative, broadcastable to `coefficients`.

    Returns:
        Kept coefficients, same shape and dtype.

    Raises:
        ValueError: If `threshold` is a number or NumPy array and negative.

    Reference:
        Donoho and Johnstone (1994), Ideal spatial adaptation by wavelet shrinkage,
        Biometrika 81(3), section 2.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.denoise import hard_threshold
        >>> print(hard_threshold(jnp.array([0.5, 2.0, -4.0]), 1.0))
        [ 0.  2. -4.]
    """
    threshold = _as_threshold(threshold, coefficients)
    return jnp.where(jnp.abs(coefficients) > threshold, coefficients, 0)


def garrote_threshold(coefficients: Coefficients, threshold: ArrayLike) -> Coefficients:
    """Shrink by `threshold**2 / c`: continuous, and nearly unbiased for large `c`.

    Args:
        coefficients: Any shape.
        threshold: Non-negative, broadcastable to `coefficients`.

    Returns:
        Shrunk coefficients, same shape and dtype.

    Raises:
        ValueError: If `threshold` is a number or NumPy array and negative.

    Reference:
        Gao (1998), Wavelet shrinkage denoising using the non-negative garrote, Journal
        of Computational and Graphical Statistics 7(4), equation 2.3.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.denoise import garrote_threshold
        >>> print(garrote_threshold(jnp.array([0.5, 2.0, -4.0]), 1.0))
        [ 0.    1.5  -3.75]
    """
    threshold = _as_threshold(threshold, coefficients)
    outside = jnp.abs(coefficients) > threshold
    # The inner select keeps the division away from 0: a NaN in the branch not taken
    # would still reach the gradient.
    divisible = outside & (jnp.abs(coefficients) > _smallest_divisor(coefficients))
    safe = jnp.where(divisible, coefficients, 1)
    return jnp.where(outside, coefficients - threshold * threshold / safe, 0)


def firm_threshold(
    coefficients: Coefficients, threshold: ArrayLike, upper: ArrayLike | None = None
) -> Coefficients:
    """Zero below `threshold`, keep above `upper`, and go linearly in between.

    Soft shrinkage is the limit `upper -> inf`, hard shrinkage `upper -> threshold`.

    Args:
        coefficients: Any shape.
        threshold: Non-negative, broadcastable to `coefficients`.
        upper: At least `threshold`, broadcastable; twice `threshold` if None.

    Returns:
        Shrunk coefficients, same shape and dtype.

    Raises:
        ValueError: If `threshold` is a number or NumPy array and negative.

    Reference:
        Gao and Bruce (1997), WaveShrink with firm shrinkage, Statistica Sinica 7,
        equation 2.2.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.denoise import firm_threshold
        >>> print(firm_threshold(jnp.array([0.5, 1.5, 3.0]), 1.0, 2.0))
        [0. 1. 3.]
    """
    threshold = _as_threshold(threshold, coefficients)
    upper = 2 * threshold if upper is None else jnp.asarray(upper)
    magnitude = jnp.abs(coefficients)
    gap = upper - threshold
    gap = jnp.where(gap > _smallest_divisor(coefficients), gap, 1)
    ramp = jnp.sign(coefficients) * upper * ((magnitude - threshold) / gap)
    shrunk = jnp.where(magnitude > upper, coefficients, ramp)
    return jnp.where(magnitude > threshold, shrunk, 0)


def check_threshold(threshold: ArrayLike) -> None:
    """Refuses a threshold that shows negative, as all functions above do.

    Raises:
        ValueError: If `threshold` is a number or NumPy array and negative or NaN.
    """
    known = isinstance(threshold, (int, float, np.ndarray, np.generic))
    if known and not np.all(np.asarray(threshold) >= 0):
        raise ValueError(f"threshold must not be negative, got {threshold}.")


def _as_threshold(threshold: ArrayLike, coefficients: Coefficients) -> Array:
    check_threshold(threshold)
    return jnp.asarray(threshold, coefficients.dtype)


def _smallest_divisor(coefficients: Coefficients) -> float:
    """Below it the squared reciprocal, in the derivative of a quotient, overflows."""
    return float(jnp.finfo(coefficients.dtype).tiny) ** 0.5


SHRINKAGE: dict[str, Callable[[Coefficients, ArrayLike], Coefficients]] = {
    "soft": soft_threshold,
    "hard": hard_threshold,
    "garrote": garrote_threshold,
    "firm": firm_threshold,
}
