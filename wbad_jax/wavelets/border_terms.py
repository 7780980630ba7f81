"""What the extension beyond the border adds to the transpose of a pass.

A pass extends a signal and filters it, so its transpose filters bands back and then
adds every sample beyond the border to those it was made from. Only the ends of the
signal get something: a small matrix of their own, the difference to mode "zero".
"""

import functools
import operator

import jax
import numpy as np
from jax import lax

from wbad_jax.stages import Stage
from wbad_jax.wavelets import matmul
from wbad_jax.wavelets.passes import Pass


def add_border(
    stage: Stage, x: jax.Array, low: jax.Array, high: jax.Array, one: Pass
) -> jax.Array:
    """Adds to a merged signal what the samples beyond its border belong to.

    Args:
        stage: See `linear_primitive`.
        x: The merge of mode "zero", `[lead, samples, ...]`.
        low: Low band, `[lead, size, ...]`.
        high: High band.
        one: The pass.

    Returns:
        The merge of the mode of the pass.
    """
    for first, stop, rows in _border_blocks(one):
        block = {"one": one, "first": first, "stop": stop, "rows": rows}
        debt = stage(_border_block, low, high, **block)
        x = stage(_add_at, x, debt, first=first)
    return x


def _border_block(
    low: jax.Array,
    high: jax.Array,
    one: Pass,
    first: int,
    stop: int,
    rows: tuple[int, ...],
) -> jax.Array:
    """What the samples `[first, stop)` get from beyond the border."""
    matrix = _border_matrix(one)[..., first:stop]
    terms = []
    for weights, band in zip(matrix, (low, high), strict=True):
        for row in rows:
            shape = (-1, *[1] * (band.ndim - 2))
            factors = np.asarray(weights[row], band.dtype).reshape(shape)
            terms.append(factors * lax.slice_in_dim(band, row, row + 1, axis=1))
    return functools.reduce(operator.add, terms)


def _add_at(x: jax.Array, addend: jax.Array, first: int) -> jax.Array:
    # In place: a new array would cost a copy of the whole signal.
    total = addend + lax.slice_in_dim(x, first, first + addend.shape[1], axis=1)
    return lax.dynamic_update_slice_in_dim(x, total, first, axis=1)


@functools.lru_cache(maxsize=256)
def _border_matrix(one: Pass) -> np.ndarray:
    """What the pass has beyond that of mode "zero", `[2, size, length]`."""
    return matmul.pass_matrix(one) - matmul.pass_matrix(one._replace(mode="zero"))


@functools.lru_cache(maxsize=256)
def _border_blocks(one: Pass) -> list[tuple[int, int, tuple[int, ...]]]:
    """Blocks of `_border_matrix` that hold all of it: first and last column, rows."""
    used = np.asarray(_border_matrix(one).any(axis=0))
    columns = np.flatnonzero(used.any(axis=0))
    if not len(columns):
        return []
    # The two ends of a long signal are apart, those of a short one are not.
    gap = int(np.argmax(np.diff(columns))) + 1 if len(columns) > 1 else 1
    ends = [columns[:gap], columns[gap:]] if len(columns) < one.length else [columns]
    blocks = []
    for end in ends:
        if len(end):
            first, stop = int(end[0]), int(end[-1]) + 1
            rows = np.flatnonzero(used[:, first:stop].any(axis=1))
            blocks.append((first, stop, tuple(rows.tolist())))
    return blocks
