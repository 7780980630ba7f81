"""Filtering along one or several axes, as a pair of linear primitives.

Why primitives: the gradient of a pass is then the hand-written transpose, which is
several times faster than what automatic differentiation makes of the slices, and unlike
`jax.custom_vjp` a linear primitive keeps forward mode (`jax.jvp`, Hessian-vector
products).
"""

from collections.abc import Sequence
from types import ModuleType

import jax
from jax import lax

from wbad_jax.stages import Stage
from wbad_jax.wavelets import matmul, polyphase
from wbad_jax.wavelets.filters import Wavelet
from wbad_jax.wavelets.folding import fold, unfold, widen
from wbad_jax.wavelets.linear_primitive import (
    declare_transposes,
    make_primitive,
    same_varying_axes,
)
from wbad_jax.wavelets.passes import Pass, analysis_pass, synthesis_pass


def analyze(
    x: jax.Array, bank: Wavelet, mode: str, axes: Sequence[int], backend: str
) -> list[jax.Array]:
    """Splits `x` into half-bands along each of `axes`.

    Args:
        x: Signal, any shape, floating-point.
        bank: Filters.
        mode: Boundary mode.
        axes: Axes, negative.
        backend: "auto", "polyphase" or "matmul".

    Returns:
        `2 ** len(axes)` bands; the bits of a band's number say whether it is low (0) or
        high (1) along each axis, the first axis being the lowest bit.
    """
    passes = tuple(analysis_pass(bank, mode, axis, x.shape[axis]) for axis in axes)
    return _split_p.bind(x, passes=passes, backend=backend)


def synthesize(
    bands: Sequence[jax.Array],
    bank: Wavelet,
    mode: str,
    axes: Sequence[int],
    lengths: Sequence[int],
    backend: str,
) -> jax.Array:
    """Joins half-bands along each of `axes`; inverse of `analyze`.

    Args:
        bands: Bands in the order of `analyze`, all of one shape and dtype.
        bank: Filters.
        mode: Boundary mode of the analysis.
        axes: Axes, negative.
        lengths: Samples of the result along each axis: the full number, see
            `passes.signal_length`, or one less, for a signal of odd length.
        backend: "auto", "polyphase" or "matmul".

    Returns:
        The signal.
    """
    passes = tuple(
        synthesis_pass(bank, mode, axis, bands[0].shape[axis], length)
        for axis, length in zip(axes, lengths, strict=True)
    )
    (x,) = _merge_p.bind(*same_varying_axes(*bands), passes=passes, backend=backend)
    for axis, length in zip(axes, lengths, strict=True):
        x = lax.slice_in_dim(x, 0, length, axis=axis)
    return x


def _split_rule(
    stage: Stage,
    x: jax.Array,
    *,
    passes: tuple[Pass, ...],
    backend: str,
    platform: str | None,
) -> list[jax.Array]:
    shape = _band_shape(x.shape, passes)
    folded, passes = fold(x, passes)
    bands = _choose(backend, platform).split(stage, widen(folded), passes)
    return [unfold(band.astype(x.dtype), shape, platform) for band in bands]


def _merge_rule(
    stage: Stage,
    *bands: jax.Array,
    passes: tuple[Pass, ...],
    backend: str,
    platform: str | None,
) -> list[jax.Array]:
    shape = _signal_shape(bands[0].shape, passes)
    wide, folded_passes = zip(*(fold(widen(b), passes) for b in bands), strict=True)
    signal = _choose(backend, platform).merge(stage, wide, folded_passes[0])
    return [unfold(signal.astype(bands[0].dtype), shape, platform)]


def _choose(backend: str, platform: str | None) -> ModuleType:
    # A TPU multiplies matrices far faster than it moves every second lane.
    dense = backend == "matmul" or (backend == "auto" and platform == "tpu")
    return matmul if dense else polyphase


def _resized(shape: Sequence[int], sizes: dict[int, int]) -> tuple[int, ...]:
    new = list(shape)
    for axis, size in sizes.items():
        new[axis] = size
    return tuple(new)


def _band_shape(shape: Sequence[int], passes: tuple[Pass, ...]) -> tuple[int, ...]:
    return _resized(shape, {one.axis: one.size for one in passes})


def _signal_shape(shape: Sequence[int], passes: tuple[Pass, ...]) -> tuple[int, ...]:
    return _resized(shape, {one.axis: one.length for one in passes})


def _split_types(x, *, passes, **_):
    # Sharding and varying axes are kept.
    band = x.update(shape=_band_shape(x.shape, passes), weak_type=False)
    return [band] * 2 ** len(passes)


def _merge_types(*bands, passes, **_):
    shape = _signal_shape(bands[0].shape, passes)
    return [bands[0].update(shape=shape, weak_type=False)]


_split_p = make_primitive("wavelet_split", _split_rule, _split_types)
_merge_p = make_primitive("wavelet_merge", _merge_rule, _merge_types)
declare_transposes(_split_p, _merge_p)
