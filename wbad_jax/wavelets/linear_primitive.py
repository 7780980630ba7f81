"""Linear JAX primitives that are each other's transpose.

A linear primitive is its own derivative, and its transpose is its gradient, so both
forward and reverse mode work to any order; `jax.custom_vjp` would end forward mode.
Under `jax.jit` a primitive lowers to the ordinary operations of its rule.

The rule of a primitive is written in *stages*: steps whose results are worth keeping in
memory (`wbad_jax.stages`): compiled separately on CPU, left to the compiler elsewhere.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from wbad_jax.stages import inline, separately


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
