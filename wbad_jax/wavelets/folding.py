"""How arrays enter and leave a primitive: few axes, none of size 1, wide numbers."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import export
from jax.experimental.layout import Layout, with_layout_constraint


def fold(x: jax.Array, passes: tuple[Any, ...]) -> tuple[jax.Array, tuple[Any, ...]]:
    """Folds the axes ahead of and behind the transformed ones into one each.

    A last axis of size 1 is left out: it tempts XLA into other memory layouts, and so
    into copies.

    Args:
        x: Array.
        passes: Descriptions of passes: named tuples with a negative `axis`.

    Returns:
        The folded array, and the passes with the axes they have there.
    """
    first, last = min(one.axis for one in passes), max(one.axis for one in passes)
    behind = math.prod(x.shape[last + 1 :]) if last < -1 else 1
    runs = [behind] if behind > 1 else []
    middle = x.shape[first : last + 1 or None]
    shift = -1 - last - len(runs)
    moved = tuple(one._replace(axis=one.axis + shift) for one in passes)
    return x.reshape(-1, *middle, *runs), moved


def around(shape: Sequence[int], axis: int) -> tuple[list[int], list[int]]:
    """Sizes ahead of and behind a negative `axis`."""
    axis += len(shape)
    return list(shape[:axis]), list(shape[axis + 1 :])


def fold_rows(x: jax.Array, axis: int) -> jax.Array:
    """`x` as `[lead, samples along axis, run]`, or `[lead, samples]` for runs of 1."""
    run = math.prod(around(x.shape, axis)[1])
    return x.reshape(-1, x.shape[axis], *([run] if run > 1 else []))


def unfold(x: jax.Array, shape: tuple[int, ...], platform: str | None) -> jax.Array:
    """Gives a folded array its `shape` back."""
    x = x.reshape(shape)
    # JAX 0.10 gathers sharded arrays on one device to constrain their layout. A size
    # without a number is that of a program to export, which takes no constraint.
    constrained = platform == "cpu" and shape[-1] == 1 and jax.device_count() == 1
    if not constrained or any(map(export.is_symbolic_dim, shape)):
        return x
    # Else XLA:CPU takes the last axis for the slowest one and rearranges a whole array.
    return with_layout_constraint(x, Layout(tuple(range(x.ndim))))


def unstack(x: jax.Array, passes: Sequence[Any]) -> list[jax.Array]:
    """The bands of an array in which every pass has put its two ahead of its axis.

    The batch stays the slowest axis through all passes, and so keeps its sharding.

    Args:
        x: Array with one more axis of size 2 for each pass.
        passes: Descriptions of passes: named tuples with a negative `axis`.

    Returns:
        `2 ** len(passes)` bands; bit i of a band's number is its place in pass i.
    """
    # Last axes first: the place of an axis counts from the end.
    order = sorted(enumerate(passes), key=lambda item: -item[1].axis)
    bands = []
    for number in range(2 ** len(passes)):
        band = x
        for bit, one in order:
            ahead = (slice(None),) * (band.ndim + one.axis - 1)
            band = band[(*ahead, number >> bit & 1)]
        bands.append(band)
    return bands


def widen(x: jax.Array) -> jax.Array:
    """Half-precision sums of many taps would lose half their digits."""
    return x.astype(jnp.float32) if x.dtype.itemsize < 4 else x
