"""A pass as the product with a dense matrix, for hardware that multiplies matrices.

Precision is the highest: TPUs would round the factors to bfloat16 and GPUs to TF32 by
default, and a reconstruction error of 0.03 or 0.002 is of the size of the perturbations
that the denoiser is to remove.
"""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from wbad_jax.stages import Stage
from wbad_jax.wavelets import boundary
from wbad_jax.wavelets.folding import around, unstack
from wbad_jax.wavelets.passes import Pass


def split(stage: Stage, x: jax.Array, passes: tuple[Pass, ...]) -> list[jax.Array]:
    """Splits `x` by several passes; bands are ordered as in `filter_bank.analyze`."""
    del stage  # A product needs no stages.
    for one in passes:
        lead, tail = around(x.shape, one.axis)
        folded = x.reshape(-1, one.length, math.prod(tail))
        bands = _multiply("skn,lnr->lskr", one, folded)
        x = bands.reshape(*lead, 2, one.size, *tail)
    return unstack(x, passes)


def merge(
    stage: Stage, bands: Sequence[jax.Array], passes: tuple[Pass, ...]
) -> jax.Array:
    """Transpose of `split`."""
    del stage
    x = jnp.stack(bands)
    for one in passes:
        (count, *lead), tail = around(x.shape, one.axis)
        folded = x.reshape(count // 2, 2, -1, one.size, math.prod(tail))
        joined = _multiply("skn,bslkr->blnr", one, folded)
        x = joined.reshape(count // 2, *lead, one.length, *tail)
    return x[0]


def _multiply(equation: str, one: Pass, x: jax.Array) -> jax.Array:
    matrix = jnp.asarray(pass_matrix(one), x.dtype)
    return jnp.einsum(equation, matrix, x, precision=lax.Precision.HIGHEST)


@functools.lru_cache(maxsize=256)
def pass_matrix(one: Pass) -> np.ndarray:
    """The pass as a matrix, `[2, size, length]` in float64: low and high rows."""
    extension = boundary.extension_matrix(one.length, one.before, one.after, one.mode)
    matrix = np.zeros((2, one.size, one.length))
    for band, taps in enumerate((one.low, one.high)):
        for j, tap in enumerate(taps):
            matrix[band] += tap * extension[j : j + 2 * one.size - 1 : 2]
    return matrix
