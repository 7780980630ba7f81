"""One value, the gradient of another."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def replace_gradient(
    value: Float[Array, "*shape"], differentiable: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """Return `value` exactly, and differentiate as `differentiable`.

    To any order, in forward and reverse mode and under `jax.vmap`. The usual
    `differentiable + stop_gradient(value - differentiable)` has the same gradient but
    rounds the value.

    Args:
        value: What is returned; no gradient flows into it.
        differentiable: Whose gradient is used, same shape and dtype. Its value is not
            used, and under `jax.jit` not computed unless its gradient needs it.

    Returns:
        `value`.

    Raises:
        ValueError: If shapes or dtypes differ.

    Reference:
        Bengio, Leonard and Courville (2013), Estimating or propagating gradients
        through stochastic neurons, section 4 (the straight-through estimator).

    Examples:
        >>> import jax
        >>> from wbad_jax.denoise import replace_gradient
        >>> step = lambda x: replace_gradient(jax.numpy.round(x), 2 * x)
        >>> print(step(1.3), jax.grad(step)(1.3))
        1.0 2.0
    """
    value, differentiable = jnp.asarray(value), jnp.asarray(differentiable)
    if (value.shape, value.dtype) != (differentiable.shape, differentiable.dtype):
        raise ValueError(
            "value and differentiable must agree in shape and dtype, got "
            f"{value.shape} {value.dtype} and "
            f"{differentiable.shape} {differentiable.dtype}."
        )
    return _replaced(jax.lax.stop_gradient(value), differentiable)


@jax.custom_jvp
def _replaced(value: Array, differentiable: Array) -> Array:
    del differentiable
    return value


@_replaced.defjvp
def _replaced_jvp(primals, tangents):
    # Not `value`: a second derivative must see what the first one saw.
    return _replaced(*primals), tangents[1]
