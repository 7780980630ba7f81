"""Filtering without decimation, as a pair of linear primitives.

One level along one axis is a circular correlation with dilated filters of L taps,

    band[k] = sum_j taps[j] x[(k + dilation (j + 1 - L / 2)) mod n].

The inverse is half the transpose of the same with the reconstruction filters: the mean
over the inverses of the decimated transforms of all shifts.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from jax import lax

from wbad_jax.stages import Stage
from wbad_jax.wavelets import boundary
from wbad_jax.wavelets.filters import Wavelet
from wbad_jax.wavelets.folding import fold, fold_rows, unfold, unstack, widen
from wbad_jax.wavelets.linear_primitive import (
    declare_transposes,
    make_primitive,
    same_varying_axes,
)
from wbad_jax.wavelets.passes import Taps
from wbad_jax.wavelets.polyphase import tap_pairs, weighted_sum


class _Pass(NamedTuple):
    """A circular correlation along `axis` with two dilated filters; hashable."""

    axis: int
    low: Taps
    high: Taps
    dilation: int


def analyze(
    x: jax.Array, bank: Wavelet, axes: Sequence[int], dilation: int
) -> list[jax.Array]:
    """Splits `x` into low and high bands of its own size along each of `axes`.

    Args:
        x: Signal, any shape, floating-point.
        bank: Filters.
        axes: Axes, negative.
        dilation: Distance of neighbouring taps.

    Returns:
        `2 ** len(axes)` bands; the bits of a band's number say whether it is low (0) or
        high (1) along each axis, the first axis being the lowest bit.
    """
    low, high = bank.dec_lo[::-1], bank.dec_hi[::-1]
    passes = tuple(_Pass(axis, low, high, dilation) for axis in axes)
    return _split_p.bind(x, passes=passes)


def synthesize(
    bands: Sequence[jax.Array], bank: Wavelet, axes: Sequence[int], dilation: int
) -> jax.Array:
    """Joins bands along each of `axes`; inverse of `analyze`.

    Args:
        bands: Bands in the order of `analyze`, all of one shape and dtype.
        bank: Filters.
        axes: Axes, negative.
        dilation: Distance of neighbouring taps.

    Returns:
        The signal.
    """
    passes = tuple(_Pass(axis, bank.rec_lo, bank.rec_hi, dilation) for axis in axes)
    (x,) = _merge_p.bind(*same_varying_axes(*bands), passes=passes)
    return x * 0.5 ** len(axes)


def _split_rule(
    stage: Stage, x: jax.Array, *, passes: tuple[_Pass, ...], platform: str | None
) -> list[jax.Array]:
    shape, dtype = x.shape, x.dtype
    stacked, passes = fold(widen(x), passes)
    for one in passes:
        rows, run = _extended(stage, stacked, one, *_reach(one))
        bands = stage(_correlate, rows, one=one, run=run)
        lead, tail = stacked.shape[: one.axis], stacked.shape[one.axis :]
        stacked = bands.reshape(*lead, 2, *tail)
    bands = unstack(stacked, passes)
    return [unfold(band.astype(dtype), shape, platform) for band in bands]


def _merge_rule(
    stage: Stage, *bands: jax.Array, passes: tuple[_Pass, ...], platform: str | None
) -> list[jax.Array]:
    shape, dtype = bands[0].shape, bands[0].dtype
    wide, folded_passes = zip(*(fold(widen(b), passes) for b in bands), strict=True)
    for one in folded_passes[0]:
        pairs = zip(wide[::2], wide[1::2], strict=True)
        wide = [_merge_one(stage, low, high, one) for low, high in pairs]
    return [unfold(wide[0].astype(dtype), shape, platform)]


def _merge_one(stage: Stage, low: jax.Array, high: jax.Array, one: _Pass) -> jax.Array:
    behind, ahead = _reach(one)  # The transpose reads the other way.
    rows, run = zip(
        *(_extended(stage, x, one, ahead, behind) for x in (low, high)), strict=True
    )
    return stage(_correlate_back, *rows, one=one, run=run[0]).reshape(low.shape)


def _reach(one: _Pass) -> tuple[int, int]:
    """Samples that the correlation reads ahead of and behind each sample."""
    half = len(one.low) // 2
    return one.dilation * (half - 1), one.dilation * half


def _extended(
    stage: Stage, x: jax.Array, one: _Pass, ahead: int, behind: int
) -> tuple[jax.Array, int]:
    """Rows of the extended signal, `[lead, samples * run]`, and the run."""
    rows = fold_rows(x, one.axis)
    run = math.prod(rows.shape[2:])
    rows = boundary.extend(stage, rows, ahead, behind, "periodic")
    return rows.reshape(rows.shape[0], -1), run


def _correlate(rows: jax.Array, one: _Pass, run: int) -> jax.Array:
    """Low and high band, `[lead, 2, n * run]`; runs are contiguous, so are rows."""
    pairs = tap_pairs(one.low, one.high)
    return weighted_sum(pairs, _windows(rows, one, run), axis=1)


def _correlate_back(low: jax.Array, high: jax.Array, one: _Pass, run: int) -> jax.Array:
    """Transpose of `_correlate` on circular signals, `[lead, n * run]`."""
    factors = [np.array([tap]) for taps in (one.low, one.high) for tap in taps[::-1]]
    windows = _windows(low, one, run) + _windows(high, one, run)
    return weighted_sum(factors, windows, axis=0)[0]


def _windows(rows: jax.Array, one: _Pass, run: int) -> list[jax.Array]:
    """What each tap multiplies."""
    step, taps = one.dilation * run, len(one.low)
    width = rows.shape[1] - (taps - 1) * step
    return [
        lax.slice_in_dim(rows, j * step, j * step + width, axis=1) for j in range(taps)
    ]


def _split_types(x, *, passes):
    return [x.update(weak_type=False)] * 2 ** len(passes)


def _merge_types(*bands, **_):
    return [bands[0].update(weak_type=False)]


_split_p = make_primitive("undecimated_split", _split_rule, _split_types)
_merge_p = make_primitive("undecimated_merge", _merge_rule, _merge_types)
declare_transposes(_split_p, _merge_p)
