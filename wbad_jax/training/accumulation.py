"""Gradients of a batch in parts, one after the other, for one update.

The parts are written out in the compiled step, not looped over: XLA:CPU computes the
gradients of convolutions by their kernels slowly inside loops.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from wbad_jax.types import Batch, PerExample

Part = TypeVar("Part")
Sums = TypeVar("Sums")
Kept = TypeVar("Kept")


def check_parts(count: int, batch_size: int) -> None:
    """Refuse parts that do not make up a batch.

    Raises:
        ValueError: Naming the rule and the value.

    Examples:
        >>> from wbad_jax.training import check_parts
        >>> check_parts(2, batch_size=8)  # and ValueError if 8 were not a multiple
    """
    if count < 1 or batch_size % count:
        raise ValueError(
            f"accumulation_steps must be at least 1 and divide the batch of "
            f"{batch_size} examples, got {count}."
        )


def split_batch(batch: Batch, count: int) -> list[Batch]:
    """Part i holds examples i, i + count, i + 2 count, ...

    Where devices share the batch and each has a multiple of `count` examples, all have
    as many of every part, and none has to be sent.

    Raises:
        ValueError: If `count` does not divide the batch.
    """
    check_parts(count, len(batch.labels))

    def part(array, index):
        return array.reshape(-1, count, *array.shape[1:])[:, index]

    return [
        Batch._make(part(array, index) for array in batch) for index in range(count)
    ]


def shares_of(parts: Sequence[Batch]) -> PerExample:
    """Share of each part in the weights of the batch, `[parts]`."""
    sums = jnp.stack([jnp.sum(part.weights) for part in parts])
    return sums / jnp.maximum(jnp.sum(sums), 1e-12)


def accumulate(
    function: Callable[[Part], tuple[Sums, Kept]],
    parts: Sequence[Part],
    shares: PerExample,
) -> tuple[Sums, list[Kept]]:
    """Sum over parts, each gone through when the one before is done with.

    Args:
        function: From a part to a tree of floating arrays, and to what is to be kept.
        parts: Trees of arrays, some of them floating.
        shares: Factor of each part's arrays, `[parts]`.

    Returns:
        The sum of `shares[i] * arrays of part i`, and what was kept of each part.
    """
    if len(parts) == 1:  # whatever its share, and to the last bit
        sums, kept = function(parts[0])
        return sums, [kept]
    total, collected = None, []
    for part, share in zip(parts, shares, strict=True):
        sums, kept = function(part if total is None else _after(part, total))
        sums = jax.tree.map(lambda value, share=share: share * value, sums)
        total = sums if total is None else jax.tree.map(jnp.add, total, sums)
        collected.append(kept)
    assert total is not None
    return total, collected


def _after(part: Part, earlier: Any) -> Part:
    """The part, such that nothing can be made of it before all of `earlier` is there.

    Added to its floating arrays is 0 times numbers of `earlier`, which the compiler
    has to wait for, since they might be NaN. XLA:CPU ignores optimization barriers.
    """
    nothing = 0 * sum(leaf[(0,) * leaf.ndim] for leaf in jax.tree.leaves(earlier))

    def wait(leaf):
        floating = jnp.issubdtype(leaf.dtype, jnp.floating)
        return leaf + nothing if floating else leaf

    return jax.tree.map(wait, part)
