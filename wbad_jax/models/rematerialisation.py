"""Rematerialisation: what a block computes is computed again for its gradient.

`jax.checkpoint` does so behind an optimization barrier, which XLA:CPU takes away before
it looks for equal computations: it finds the first one, and keeps all it computed. Here
the second computation depends on the cotangent instead, on every platform: it is equal
to no other, and cannot start early.
"""

from collections.abc import Callable

import jax
from flax import nnx

from wbad_jax.models.layers import Maps


def rematerialised(block: Callable[[Maps], Maps], maps: Maps) -> Maps:
    """Apply a block of which only the input is kept for the gradient.

    Reverse mode of any order; forward mode (`jax.jvp`) is not defined.

    Args:
        block: An `nnx.Module` from maps to maps, with parameters only.
        maps: `[batch, height, width, channels]`.

    Reference:
        Chen et al. (2016), Training deep nets with sublinear memory cost, section 4.
    """
    structure, params = nnx.split(block)

    def run(params, maps):
        return nnx.merge(structure, params)(maps)

    @jax.custom_vjp
    def apply(params, maps):
        return run(params, maps)

    def forward(params, maps):
        return run(params, maps), (params, maps)

    def backward(kept, cotangent):
        params, maps = kept
        # Adds nothing, but the compiler cannot know: it might be NaN. One number an
        # example, so that examples stay independent, also across devices.
        maps = maps + 0 * cotangent[:, :1, :1, :1]
        return jax.vjp(run, params, maps)[1](cotangent)

    apply.defvjp(forward, backward)
    return apply(params, maps)
