"""Mixed precision: a network computes in bfloat16 with parameters kept in float32.

Parameters and features are rounded on their way into the network, logits widened on
their way out, so whatever stands outside, such as a gradient, an optimizer, a denoiser
or an attack, stays in float32 (Micikevicius et al. 2018, Mixed precision training,
section 3.1). bfloat16 has the range of float32: losses need no scaling.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from wbad_jax.types import Logits

COMPUTE_DTYPES = ("float32", "bfloat16")


def check_compute_dtype(compute_dtype: str) -> None:
    """Refuse an unknown type.

    Raises:
        ValueError: Naming the rule and the value.
    """
    if compute_dtype not in COMPUTE_DTYPES:
        raise ValueError(
            f"compute_dtype must be one of {COMPUTE_DTYPES}, got {compute_dtype!r}."
        )


def apply_network(
    network: Any,
    features: Float[Array, "batch ..."],
    compute_dtype: str = "float32",
    method: str = "__call__",
) -> Logits:
    """Logits of a network that computes in `compute_dtype`.

    Args:
        network: A callable `nnx.Module` with float32 parameters.
        features: `[batch, ...]`.
        compute_dtype: Member of `COMPUTE_DTYPES`; "float32" leaves all as it is.
        method: Method to call in place of the network itself.

    Returns:
        `[batch, classes]`, or what the method returns, in the type of `features`.
    """
    if compute_dtype == "float32":
        return getattr(network, method)(features)
    structure, params = nnx.split(network)
    low = jax.tree.map(lambda leaf: _rounded(leaf, compute_dtype), params)
    module = nnx.merge(structure, low)
    logits = getattr(module, method)(features.astype(compute_dtype))
    return logits.astype(features.dtype)


def _rounded(leaf: Array, compute_dtype: str) -> Array:
    floating = jnp.issubdtype(leaf.dtype, jnp.floating)
    return leaf.astype(compute_dtype) if floating else leaf


def at_least_float32(values: Array) -> Array:
    """Values in float32 if they are in a smaller type: for sums over many of them."""
    return values.astype(jnp.promote_types(values.dtype, jnp.float32))
