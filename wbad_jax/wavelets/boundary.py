"""Signal extension beyond the image border, and its transpose.

Every boundary mode is a linear map from the signal to the samples beyond its border,
known when the program is traced. A signal `a b c d` extends as

    symmetric      c b a | a b c d | d c b     half-sample symmetric
    reflect        d c b | a b c d | c b a     whole-sample symmetric
    periodic       b c d | a b c d | a b c
    zero           0 0 0 | a b c d | 0 0 0
    constant       a a a | a b c d | d d d
    periodization  as periodic; a signal of odd length first repeats its last sample
    antisymmetric  -c -b -a | a b c d | -d -c -b
    antireflect    2a-d 2a-c 2a-b | a b c d | 2d-c 2d-b 2d-a
    smooth         straight lines through the first two and the last two samples

and on and on where the extension is longer than the signal, as in PyWavelets.

Border samples are copies of samples of the signal, up to sign, plus multiples of the
samples at its ends. The copies are made by a few slices and a concatenation: gathers
and scatters would be slow on every device.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from wbad_jax.stages import Stage

Mode = Literal[
    "symmetric",
    "reflect",
    "periodic",
    "zero",
    "constant",
    "periodization",
    "antisymmetric",
    "antireflect",
    "smooth",
]
MODES: tuple[str, ...] = get_args(Mode)
_OUTSIDE = -1
# Factors, a sample, and the sample to subtract from it.
_End = tuple[np.ndarray, int, int | None]


class _Border(NamedTuple):
    """Extended samples in terms of the signal.

    Attributes:
        indices: Sample that each one copies, or `_OUTSIDE`.
        signs: Factor of each copy.
        ends: What is added to the copies: multiples, one for every extended sample, of
            a sample of the signal, or of the difference of a first and a second one.
    """

    indices: np.ndarray
    signs: np.ndarray
    ends: list[_End]


def check_mode(mode: str) -> None:
    """Raises ValueError for an unknown boundary mode."""
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}.")


def extend(stage: Stage, x: jax.Array, before: int, after: int, mode: str) -> jax.Array:
    """Continues a signal beyond its border.

    Args:
        stage: See `linear_primitive`.
        x: Signal, `[lead, samples, ...]`.
        before: Samples to add in front.
        after: Samples to add behind.
        mode: Boundary mode.

    Returns:
        The signal with `before + after` more samples along axis 1.

    Raises:
        ValueError: If a single sample is to be reflected: it has no neighbour.
    """
    length = x.shape[1]
    pieces = [x]
    if before:
        pieces.insert(0, stage(_beyond, x, first=-before, stop=0, mode=mode))
    if after:
        stop = length + after
        pieces.append(stage(_beyond, x, first=length, stop=stop, mode=mode))
    # A stage of its own: joining finished arrays is a plain copy of memory.
    return stage(_join, *pieces) if len(pieces) > 1 else x


def _join(*pieces: jax.Array) -> jax.Array:
    first, *others = pieces
    return jnp.concatenate(pieces, axis=1) if others else first


def _beyond(x: jax.Array, first: int, stop: int, mode: str) -> jax.Array:
    """Samples `[first, stop)` of the extended signal."""
    border = _border(np.arange(first, stop), x.shape[1], mode)
    piece = _scaled(_take(x, border.indices), border.signs)
    for factors, plus, minus in border.ends:
        end = lax.slice_in_dim(x, plus, plus + 1, axis=1)
        if minus is not None:
            end = end - lax.slice_in_dim(x, minus, minus + 1, axis=1)
        piece = piece + _scaled(end, factors)
    return piece


def extension_matrix(length: int, before: int, after: int, mode: str) -> np.ndarray:
    """`extend` as a matrix, `[before + length + after, length]` in float64."""
    border = _border(np.arange(-before, length + after), length, mode)
    matrix = np.zeros((before + length + after, length))
    inside = border.indices != _OUTSIDE
    rows = np.arange(len(matrix))[inside]
    matrix[rows, border.indices[inside]] = border.signs[inside]
    for factors, plus, minus in border.ends:
        matrix[:, plus] += factors
        if minus is not None:
            matrix[:, minus] -= factors
    return matrix


def _border(position: np.ndarray, length: int, mode: str) -> _Border:
    """The samples at these positions, the signal being at 0 to `length - 1`."""
    signs = np.ones(len(position))
    if mode == "antisymmetric":
        odd_periods = (position // length) % 2
        return _Border(_indices(position, length, "symmetric"), 1 - 2 * odd_periods, [])
    if mode not in ("antireflect", "smooth"):
        return _Border(_indices(position, length, mode), signs, [])
    if length == 1:  # A line through one sample is level.
        return _Border(np.zeros_like(position), signs, [])
    if mode == "smooth":
        return _straight(position, length)
    return _antireflected(position, length)


def _straight(position: np.ndarray, length: int) -> _Border:
    """Lines through the first two and the last two samples."""
    last = length - 1
    ahead, behind = np.maximum(-position, 0), np.maximum(position - last, 0)
    # The difference first: its rounding is small beside that of the samples.
    lines: list[_End] = [(ahead, 0, 1), (behind, last, last - 1)]
    ends = [line for line in lines if line[0].any()]
    return _Border(np.clip(position, 0, last), np.ones(len(position)), ends)


def _antireflected(position: np.ndarray, length: int) -> _Border:
    """Point reflections about the end samples: each rises by what the signal rises."""
    last = length - 1
    turns, place = np.divmod(position, 2 * last)
    mirrored = place > last
    ends: list[_End] = [(-2 * turns, 0, None), (2 * turns + 2 * mirrored, last, None)]
    ends = [end for end in ends if end[0].any()]
    indices = np.where(mirrored, 2 * last - place, place)
    return _Border(indices, 1 - 2 * mirrored, ends)


def _indices(position: np.ndarray, length: int, mode: str) -> np.ndarray:
    if mode == "zero":
        inside = (position >= 0) & (position < length)
        return np.where(inside, position, _OUTSIDE)
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


def _take(x: jax.Array, indices: np.ndarray) -> jax.Array:
    """Reads `x` at static `indices` along axis 1; `_OUTSIDE` reads zero."""
    pieces = []
    for start, stop, step in _runs(indices):
        first, last = sorted((int(indices[start]), int(indices[stop - 1])))
        if first == _OUTSIDE:
            shape = (x.shape[0], stop - start, *x.shape[2:])
            pieces.append(jnp.zeros(shape, x.dtype))
            continue
        piece = lax.slice_in_dim(x, first, last + 1, max(abs(step), 1), axis=1)
        if step == 0:
            piece = jnp.repeat(piece, stop - start, axis=1)
        pieces.append(jnp.flip(piece, axis=1) if step < 0 else piece)
    return _join(*pieces)


def _scaled(x: jax.Array, factors: np.ndarray) -> jax.Array:
    if np.all(factors == 1):
        return x
    return x * np.asarray(factors, x.dtype).reshape(-1, *[1] * (x.ndim - 2))


def _runs(indices: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Cuts `indices` into runs `[start, stop)` of constant step."""
    start, count = 0, len(indices)
    while start < count:
        stop, step = start + 1, 0
        if stop < count and indices[start] != _OUTSIDE and indices[stop] != _OUTSIDE:
            step = int(indices[stop] - indices[start])
        while (
            stop < count
            and indices[stop] - indices[stop - 1] == step
            and (indices[stop] == _OUTSIDE) == (indices[start] == _OUTSIDE)
        ):
            stop += 1
        # A run of one sample is neither forwards, backwards nor repeated.
        yield start, stop, step if stop - start > 1 else 1
        start = stop
