"""Linear JAX primitives that are each other's transpose.

A linear primitive is its own derivative, and its transpose is its gradient, so both
forward and reverse mode work to any order; `jax.custom_vjp` would end forward mode.
Under `jax.jit` a primitive lowers to the ordinary operations of its rule.

The rule of a primitive is written in *stages*: steps whose results are worth keeping in
memory. XLA:CPU fuses whatever it may, so it would compute the result of one step anew
for every sample of the next one that reads it; on CPU each stage is therefore compiled
as a function of its own, which is never inlined. Elsewhere the compiler is left free.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental.xla_metadata import set_xla_metadata
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

# `stage(function, *arrays, **static)` returns `function(*arrays, **static)`.
Stage = Callable[..., Any]


def inline(function: Callable, *arrays: Any, **static: Any) -> Any:
    """The stage that leaves the compiler free."""
    return function(*arrays, **static)


def separately(function: Callable, *arrays: jax.Array, **static: Any) -> Any:
    """The stage whose results are computed once and kept in memory.

    Not `jax.lax.optimization_barrier`: the XLA of JAX 0.10 drops barriers before it
    fuses.
    """
    # One function object per set of static arguments: equal stages are traced, lowered
    # and compiled once.
    with set_xla_metadata(inlineable="false"):
        return _jitted(function, tuple(sorted(static.items())))(*arrays)


@functools.cache
def _jitted(function: Callable, static: tuple[tuple[str, Any], ...]) -> Callable:
    return jax.jit(functools.partial(function, **dict(static)))


def make_primitive(name: str, rule: Callable, shapes: Callable) -> Primitive:
    """Makes a primitive with several results that can be batched and lowered.

    Args:
        name: Name shown in jaxprs.
        rule: `rule(stage, *arrays, platform, **params)` returns a list of arrays. It
            must act on negative axes only, so that leading axes are batch axes.
        shapes: `shapes(*avals, **params)` returns the list of result types.

    Returns:
        The primitive; its parameters must be hashable.
    """
    primitive = Primitive(name)
    primitive.multiple_results = True

    @functools.cache
    def compiled(**params):
        return jax.jit(functools.partial(primitive.bind, **params))

    def run(*args, **params):
        if jax.config.jax_disable_jit:  # pyright: ignore[reportAttributeAccessIssue]
            return rule(inline, *args, platform=jax.default_backend(), **params)
        return compiled(**params)(*args)

    primitive.def_impl(run)
    primitive.def_abstract_eval(shapes)
    for platform, stage in (("cpu", separately), ("tpu", inline), (None, inline)):
        lowered = functools.partial(rule, stage, platform=platform)
        lowering = mlir.lower_fun(lowered, multiple_results=True)
        mlir.register_lowering(primitive, lowering, platform=platform)
    batching.primitive_batchers[primitive] = _batch(primitive)
    return primitive


def declare_transposes(one: Primitive, other: Primitive) -> None:
    """Declares two primitives linear and each other's transpose, parameters alike."""
    ad.deflinear2(one, _transpose_to(other))
    ad.deflinear2(other, _transpose_to(one))


def same_varying_axes(*arrays: jax.Array) -> list[jax.Array]:
    """Under `jax.shard_map`, marks all arrays as varying over the same mesh axes."""
    varying = [jax.typeof(x).manual_axis_type.varying for x in arrays]
    union = frozenset().union(*varying)
    return [
        lax.pcast(x, tuple(union - own), to="varying") if union - own else x
        for x, own in zip(arrays, varying, strict=True)
    ]


def _transpose_to(other: Primitive):
    def rule(cotangents, *operands, **params):
        del operands
        filled = [ad.instantiate_zeros(ct) for ct in cotangents]
        return other.bind(*same_varying_axes(*filled), **params)

    return rule


def _batch(primitive: Primitive):
    def rule(operands, dims, **params):
        count = next(
            x.shape[d] for x, d in zip(operands, dims, strict=True) if d is not None
        )
        moved = [
            jnp.broadcast_to(x, (count, *x.shape))
            if d is None
            else jnp.moveaxis(x, d, 0)
            for x, d in zip(operands, dims, strict=True)
        ]
        outputs = primitive.bind(*moved, **params)
        return outputs, [0] * len(outputs)

    return rule
