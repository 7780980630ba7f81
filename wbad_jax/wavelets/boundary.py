"""Signal extension beyond the image border, and its transpose.

Every boundary mode is a map from positions in the extended signal to positions in the
signal, known when the program is traced. Maps are NumPy arrays of indices in which
`OUTSIDE` stands for a zero. They are applied as a few slices and a concatenation:
gathers and scatters would be slow on every device.

A d b c ... signal `a b c d` extends as

    symmetric      c b a | a b c d | d c b     half-sample symmetric
    reflect        d c b | a b c d | c b a     whole-sample symmetric
    periodic       b c d | a b c d | a b c
    zero           0 0 0 | a b c d | 0 0 0
    constant       a a a | a b c d | d d d
    periodization  as periodic; a signal of odd length first repeats its last sample

and on and on where the extension is longer than the signal, as in PyWavelets.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Mode = Literal["symmetric", "reflect", "periodic", "zero", "constant", "periodization"]
MODES: tuple[str, ...] = get_args(Mode)
OUTSIDE = -1


def check_mode(mode: str) -> None:
    """Raises ValueError for an unknown boundary mode."""
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}.")


def extension_indices(length: int, before: int, after: int, mode: str) -> np.ndarray:
    """Maps an extended signal to the signal.

    Args:
        length: Number of samples of the signal.
        before: Samples to add in front; negative drops samples.
        after: Samples to add behind; negative drops samples.
        mode: Boundary mode.

    Returns:
        `[before + length + after]`, the sample found at each extended position, or
        `OUTSIDE`.

    Raises:
        ValueError: If a single sample is to be reflected: it has no neighbour.
    """
    position = np.arange(-before, length + after)
    if mode == "zero":
        inside = (position >= 0) & (position < length)
        return np.where(inside, position, OUTSIDE)
    if mode == "constant":
        return np.clip(position, 0, length - 1)
    if mode == "periodic":
        return position % length
    if mode == "periodization":
        return np.minimum(position % (length + length % 2), length - 1)
    if mode == "symmetric":
        position = position % (2 * length)
        return np.minimum(position, 2 * length - 1 - position)
    if length < 2:
        raise ValueError(
            "mode 'reflect' needs at least 2 samples along each axis, got 1."
        )
    position = position % (2 * length - 2)
    return np.minimum(position, 2 * length - 2 - position)


def take(x: jax.Array, indices: np.ndarray, axis: int) -> jax.Array:
    """Reads `x` at static `indices` along `axis`; `OUTSIDE` reads zero."""
    pieces = []
    for start, stop, step in _runs(indices):
        first, last = sorted((int(indices[start]), int(indices[stop - 1])))
        if first == OUTSIDE:
            pieces.append(_zeros(x, stop - start, axis))
            continue
        piece = lax.slice_in_dim(x, first, last + 1, max(abs(step), 1), axis)
        if step == 0:
            piece = jnp.repeat(piece, stop - start, axis)
        pieces.append(jnp.flip(piece, axis) if step < 0 else piece)
    return _concatenate(pieces, axis)


def add(
    sources: Sequence[tuple[jax.Array, np.ndarray]], length: int, axis: int
) -> jax.Array:
    """Adds arrays into a zero signal at static positions: the transpose of `take`.

    Args:
        sources: Pairs of an array and the target position of each of its samples
            along `axis`; samples with target `OUTSIDE` are dropped.
        length: Number of samples of the result along `axis`.
        axis: Axis, negative.

    Returns:
        The sum, of size `length` along `axis`.
    """
    parts: list[tuple[int, int, jax.Array]] = []
    for x, indices in sources:
        for start, stop, step in _runs(indices, largest_step=1):
            first, last = sorted((int(indices[start]), int(indices[stop - 1])))
            if first == OUTSIDE:
                continue
            piece = lax.slice_in_dim(x, start, stop, axis=axis)
            if step == 0:
                piece = jnp.sum(piece, axis, keepdims=True)
            parts.append(
                (first, last + 1, jnp.flip(piece, axis) if step < 0 else piece)
            )
    # Between two neighbouring cuts the same parts overlap everywhere.
    cuts = sorted({0, length}.union(*((first, last) for first, last, _ in parts)))
    pieces = []
    for low, high in zip(cuts, cuts[1:], strict=False):
        overlapping = [
            lax.slice_in_dim(part, low - first, high - first, axis=axis)
            for first, last, part in parts
            if first <= low and high <= last
        ]
        empty = [] if overlapping else [_zeros(sources[0][0], high - low, axis)]
        total, *rest = overlapping + empty
        for piece in rest:
            total = total + piece
        pieces.append(total)
    return _concatenate(pieces, axis)


def _runs(
    indices: np.ndarray, largest_step: int | None = None
) -> Iterator[tuple[int, int, int]]:
    """Cuts `indices` into runs `[start, stop)` of constant step."""
    start, count = 0, len(indices)
    while start < count:
        stop, step = start + 1, 0
        if stop < count and indices[start] != OUTSIDE and indices[stop] != OUTSIDE:
            step = int(indices[stop] - indices[start])
            if largest_step is not None and abs(step) > largest_step:
                step = 0
        while (
            stop < count
            and indices[stop] - indices[stop - 1] == step
            and (indices[stop] == OUTSIDE) == (indices[start] == OUTSIDE)
        ):
            stop += 1
        # A run of one sample is neither forwards, backwards nor repeated.
        yield start, stop, step if stop - start > 1 else 1
        start = stop


def _zeros(like: jax.Array, size: int, axis: int) -> jax.Array:
    shape = list(like.shape)
    shape[axis] = size
    return jnp.zeros(shape, like.dtype)


def _concatenate(pieces: Sequence[jax.Array], axis: int) -> jax.Array:
    return pieces[0] if len(pieces) == 1 else jnp.concatenate(pieces, axis)
