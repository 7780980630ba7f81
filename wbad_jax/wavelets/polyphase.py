"""A pass as sums of shifted slices: what is fast on a CPU.

XLA's strided and transposed convolutions fall to a naive kernel on CPU for one input
channel, and are far slower than the sum. What the measurements taught
(`benchmarks/wavelets.py`):

- Both bands, or both phases, are made by *one* loop over an axis of size 2 with an
  array of two taps per shift: the input is read once.
- Arrays are folded to `[lead, samples, run]`, the last axis being left out where a run
  is one sample. A run is contiguous in memory, so long runs (the passes along the
  height) are the fast case. For short runs of several samples (channels, in the passes
  along the width) and for long filters the even and the odd samples are first put into
  planes, whose runs are whole rows.
- The signal is extended by joining finished pieces, which is a plain copy of memory. On
  the way back what lies beyond the border is added to the ends in place.
- Filters of two taps are cheaper to apply anew than to keep: one stage does all passes.
- Interleaving is written as a sum of masked halves, which the compiler vectorises; it
  does not vectorise a concatenation or a transpose on the last axis.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from wbad_jax.stages import Stage, inline
from wbad_jax.wavelets import boundary
from wbad_jax.wavelets.border_terms import add_border
from wbad_jax.wavelets.folding import around, fold_rows, unstack
from wbad_jax.wavelets.passes import Pass

# Samples of a run worth a vector instruction of their own.
_LONG_RUN = 8
# Taps up to which strided reads are cheaper than making planes first.
_FEW_TAPS = 10
# (Tap phase, first sample) of the even and of the odd samples.
_IN_STEP = ((0, 0), (1, 0))


def split(stage: Stage, x: jax.Array, passes: tuple[Pass, ...]) -> list[jax.Array]:
    """Splits `x` by several passes; bands are ordered as in `filter_bank.analyze`."""
    if _are_short(passes):
        return stage(_split_short, x, passes=passes)
    for one in passes:
        x = _split_one(stage, x, one)
    return unstack(x, passes)


def merge(
    stage: Stage, bands: Sequence[jax.Array], passes: tuple[Pass, ...]
) -> jax.Array:
    """Transpose of `split`."""
    if _are_short(passes):
        return stage(_merge_short, *bands, passes=passes)
    for one in passes:
        pairs = zip(bands[::2], bands[1::2], strict=True)
        bands = [_merge_one(stage, low, high, one) for low, high in pairs]
    return bands[0]


def _are_short(passes: tuple[Pass, ...]) -> bool:
    # Two taps a pass are cheaper to compute anew than to keep: one stage does it all.
    return all(len(one.low) == 2 for one in passes)


def _split_short(x: jax.Array, passes: tuple[Pass, ...]) -> list[jax.Array]:
    bands = [x]
    for one in passes:
        pairs = [unstack(_split_one(inline, band, one), (one,)) for band in bands]
        bands = [low for low, _ in pairs] + [high for _, high in pairs]
    return bands


def _merge_short(*bands: jax.Array, passes: tuple[Pass, ...]) -> jax.Array:
    for one in passes:
        pairs = zip(bands[::2], bands[1::2], strict=True)
        bands = tuple(_merge_one(inline, low, high, one) for low, high in pairs)
    return bands[0]


def _split_one(stage: Stage, x: jax.Array, one: Pass) -> jax.Array:
    """Low and high band of one pass, stacked on a new axis ahead of its own."""
    folded = fold_rows(x, one.axis)
    folded = boundary.extend(stage, folded, one.before, one.after, one.mode)
    if _worth_planes(_run_of(folded), len(one.low)):
        planes = stage(_deinterleave, folded)
        bands = stage(_correlate_planes, planes, one=one)
    else:
        bands = stage(_correlate, folded, one=one)
    lead, tail = around(x.shape, one.axis)
    return bands.reshape(*lead, 2, one.size, *tail)


def _merge_one(stage: Stage, low: jax.Array, high: jax.Array, one: Pass) -> jax.Array:
    """Transpose of `_split_one`."""
    lead, tail = around(low.shape, one.axis)
    low, high = (fold_rows(band, one.axis) for band in (low, high))
    if one.mode == "periodization":
        x = _merge_periodic(stage, low, high, one)
    else:
        x = _join(stage, low, high, one, _IN_STEP, one.length)
        x = add_border(stage, x, low, high, one)
    return x.reshape(*lead, one.length, *tail)


def _worth_planes(run: int, num_taps: int) -> bool:
    return run < _LONG_RUN and (run > 1 or num_taps > _FEW_TAPS) and num_taps > 2


def _correlate(extended: jax.Array, one: Pass) -> jax.Array:
    """band[l, s, k, r] = sum_j taps[s, j] extended[l, 2 k + j, r]."""
    windows = [
        lax.slice_in_dim(extended, j, j + 2 * one.size - 1, 2, axis=1)
        for j in range(len(one.low))
    ]
    return weighted_sum(tap_pairs(one.low, one.high), windows, axis=1)


def _deinterleave(extended: jax.Array) -> jax.Array:
    """Even and odd samples, `[lead, 2, samples / 2 * run]`."""
    lead, samples = extended.shape[:2]
    planes = [lax.slice_in_dim(extended, p, samples, 2, axis=1) for p in (0, 1)]
    return jnp.stack(planes, axis=1).reshape(lead, 2, -1)


def _correlate_planes(planes: jax.Array, one: Pass) -> jax.Array:
    """As `_correlate`, from the even and odd samples."""
    run = planes.shape[-1] // (one.size + len(one.low) // 2 - 1)
    windows = [
        lax.slice_in_dim(
            planes[:, j % 2], j // 2 * run, (j // 2 + one.size) * run, axis=1
        )
        for j in range(len(one.low))
    ]
    return weighted_sum(tap_pairs(one.low, one.high), windows, axis=1)


def _merge_periodic(
    stage: Stage, low: jax.Array, high: jax.Array, one: Pass
) -> jax.Array:
    half, even_length = len(one.low) // 2, 2 * one.size
    wrap = half // 2
    low, high = (boundary.extend(stage, x, wrap, wrap, "periodic") for x in (low, high))
    # With an even number of tap pairs the samples sit half a step off.
    starts = ((1, 0), (0, 1)) if half % 2 == 0 else _IN_STEP
    x = _join(stage, low, high, one, starts, even_length)
    if one.length < even_length:  # The last sample was repeated.
        x = stage(_fold_last, x)
    return x


def _join(
    stage: Stage, low: jax.Array, high: jax.Array, one: Pass, starts, length: int
) -> jax.Array:
    """The first `length` samples that the bands determine, as if zero beyond."""
    static = {"one": one, "starts": starts, "count": (length + 1) // 2}
    if _run_of(low) >= _LONG_RUN or len(one.low) == 2:
        return stage(_synthesize, low, high, length=length, **static)
    phases = stage(_phases, low, high, **static)
    return stage(_interleave, phases, length=length, run=_run_of(low))


def _fold_last(x: jax.Array) -> jax.Array:
    last = x[:, -2:-1] + x[:, -1:]
    return lax.dynamic_update_slice_in_dim(x[:, :-1], last, x.shape[1] - 2, axis=1)


def _shift_weights(one: Pass, starts) -> dict[int, np.ndarray]:
    """Shift of the bands -> taps, `[low or high, even or odd sample]`."""
    half = len(one.low) // 2
    weights: dict[int, np.ndarray] = {}
    for parity, (phase, start) in enumerate(starts):
        for t in range(half):
            pair = weights.setdefault(start + half - 1 - t, np.zeros((2, 2)))
            pair[:, parity] = one.low[2 * t + phase], one.high[2 * t + phase]
    return weights


def _synthesize(
    low: jax.Array, high: jax.Array, one: Pass, starts, count: int, length: int
) -> jax.Array:
    """Both phases side by side, `[lead, length, run]`."""
    x = weighted_sum(*_shifted(low, high, one, starts, count, run=1), axis=2)
    return x.reshape(low.shape[0], 2 * count, *low.shape[2:])[:, :length]


def _phases(
    low: jax.Array, high: jax.Array, one: Pass, starts, count: int
) -> jax.Array:
    """Even and odd samples, `[lead, 2, count * run]`."""
    run = _run_of(low)
    low, high = (band.reshape(band.shape[0], -1) for band in (low, high))
    return weighted_sum(*_shifted(low, high, one, starts, count, run), axis=1)


def _shifted(
    low: jax.Array, high: jax.Array, one: Pass, starts, count: int, run: int
) -> tuple[list[np.ndarray], list[jax.Array]]:
    weights, windows = [], []
    for shift, pairs in _shift_weights(one, starts).items():
        for band, pair in zip((low, high), pairs, strict=True):
            first, stop = shift * run, (shift + count) * run
            windows.append(lax.slice_in_dim(band, first, stop, axis=1))
            weights.append(pair)
    return weights, windows


def _interleave(phases: jax.Array, length: int, run: int) -> jax.Array:
    """Samples taken in turn from the two phases, `[lead, length, run]`."""
    lead, _, width = phases.shape
    runs = [run] if run > 1 else []
    planes = [phases[:, p].reshape(lead, width // run, *runs) for p in (0, 1)]
    x = weighted_sum([np.array([1, 0]), np.array([0, 1])], planes, axis=2)
    return x.reshape(lead, 2 * width // run, *runs)[:, :length]


def tap_pairs(low: Sequence[float], high: Sequence[float]) -> list[np.ndarray]:
    """Weights for `weighted_sum` that make a low and a high band."""
    return [np.array(pair) for pair in zip(low, high, strict=True)]


def weighted_sum(
    weights: Sequence[np.ndarray], windows: Sequence[jax.Array], axis: int
) -> jax.Array:
    """Sums of windows, one for each of the weights that a window has.

    Args:
        weights: As many weights for every window as sums are wanted.
        windows: Arrays of one shape.
        axis: Where to insert the axis of the sums.
    """
    total: Any = None
    for factors, window in zip(weights, windows, strict=True):
        if not factors.any() and total is not None:  # PyWavelets pads short filters.
            continue
        shape = [1] * (window.ndim + 1)
        shape[axis] = len(factors)
        weight = np.asarray(factors, window.dtype).reshape(shape)
        term = weight * jnp.expand_dims(window, axis)
        total = term if total is None else total + term
    assert total is not None, "a filter has at least one tap"
    return total


def _run_of(folded: jax.Array) -> int:
    return folded.shape[2] if folded.ndim == 3 else 1
