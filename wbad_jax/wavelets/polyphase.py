"""One pass of the wavelet transform along one axis, as a pair of linear primitives.

`split` correlates the extended signal with a low-pass and a high-pass filter and keeps
every second sample; `merge` is its transpose. One pair serves the whole transform: the
inverse transform is the transpose of an analysis with the reconstruction filters.

Why primitives: the gradient of a pass is then the hand-written transpose, which is
several times faster than what automatic differentiation makes of the slices, and unlike
`jax.custom_vjp` a linear primitive keeps forward mode (`jax.jvp`, Hessian-vector
products). Under `jax.jit` they lower to ordinary operations.

Why sums of shifted slices: XLA's strided and transposed convolutions fall to a naive
kernel on CPU for one input channel, and are far slower than the sum.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from wbad_jax.wavelets import boundary
from wbad_jax.wavelets.linear_primitive import (
    Fence,
    declare_transposes,
    make_primitive,
    same_varying_axes,
)

Taps = tuple[float, ...]


class _Pass(NamedTuple):
    """Static description of a pass; the parameters of both primitives.

    Attributes:
        axis: Axis, negative, so that leading axes may be added.
        low: Low-pass taps, in the order of a correlation.
        high: High-pass taps, likewise.
        mode: Boundary mode.
        length: Samples of the signal along `axis`.
        size: Samples of each band along `axis`.
    """

    axis: int
    low: Taps
    high: Taps
    mode: str
    length: int
    size: int


def band_size(length: int, num_taps: int, mode: str) -> int:
    """Samples of each band of a signal of `length` samples."""
    if mode == "periodization":
        return (length + 1) // 2
    return (length + num_taps - 1) // 2


def analyze(
    x: jax.Array, low: Taps, high: Taps, mode: str, axis: int
) -> tuple[jax.Array, jax.Array]:
    """Splits `x` into its low and high half-bands along `axis`.

    Args:
        x: Signal, any shape, floating-point.
        low: Low-pass decomposition filter, in PyWavelets' order.
        high: High-pass decomposition filter.
        mode: Boundary mode.
        axis: Axis, negative.

    Returns:
        Low and high band, each of size `band_size(...)` along `axis`.
    """
    length = x.shape[axis]
    size = band_size(length, len(low), mode)
    spec = _Pass(axis, low[::-1], high[::-1], mode, length, size)
    low_band, high_band = _split_p.bind(x, **spec._asdict())
    return low_band, high_band


def synthesize(
    low_band: jax.Array,
    high_band: jax.Array,
    low: Taps,
    high: Taps,
    mode: str,
    axis: int,
    length: int | None = None,
) -> jax.Array:
    """Joins a low and a high half-band along `axis`; inverse of `analyze`.

    Args:
        low_band: Low band.
        high_band: High band, same shape and dtype.
        low: Low-pass reconstruction filter, in PyWavelets' order.
        high: High-pass reconstruction filter.
        mode: Boundary mode of the analysis.
        axis: Axis, negative.
        length: Size of the result along `axis`: the full size (the default) or one
            less, for a signal of odd length.

    Returns:
        The signal.
    """
    size = low_band.shape[axis]
    full = signal_length(size, len(low), mode)
    length = full if length is None else length
    # Only periodization needs to know how the signal was extended: in all other modes
    # the bands hold enough samples beyond the border.
    periodic = mode == "periodization"
    spec = _Pass(
        axis,
        low,
        high,
        "periodization" if periodic else "zero",
        full if periodic else length,
        size,
    )
    low_band, high_band = same_varying_axes(low_band, high_band)
    (signal,) = _merge_p.bind(low_band, high_band, **spec._asdict())
    return lax.slice_in_dim(signal, 0, length, axis=axis)


def signal_length(size: int, num_taps: int, mode: str) -> int:
    """Samples of the signal synthesized from bands of `size` samples."""
    return 2 * size if mode == "periodization" else 2 * size - num_taps + 2


def _split(x: jax.Array, spec: _Pass, fence: Fence) -> list[jax.Array]:
    """The two bands of `x`: band[k] = sum_j taps[j] extended[2 k + j]."""
    extended = fence(boundary.take(x, _extended(spec), spec.axis))
    windows = [(extended, j) for j in range(len(spec.low))]
    return [
        _weighted_sum(taps, windows, spec.size, spec.axis, stride=2)
        for taps in (spec.low, spec.high)
    ]


def _merge(
    low_band: jax.Array, high_band: jax.Array, spec: _Pass, fence: Fence
) -> jax.Array:
    """Transpose of `_split`: signal = sum_k taps[position + before - 2 k] band[k]."""
    half, axis = len(spec.low) // 2, spec.axis
    indices, starts, count, targets = _merge_plan(spec)
    bands = fence([boundary.take(b, indices, axis) for b in (low_band, high_band)])
    phases = []
    for phase, start in starts:
        shifts = [start + half - 1 - t for t in range(half)]
        windows = [(band, shift) for band in bands for shift in shifts]
        taps = spec.low[phase::2] + spec.high[phase::2]
        phases.append(_weighted_sum(taps, windows, count, axis))
    if targets is not None:
        phases = fence(phases)
        phases = [_fold(phases, targets, spec, parity) for parity in (0, 1)]
    return _interleave(phases[0], phases[1], spec.length, axis)


def _merge_plan(spec: _Pass):
    """How `_merge` reads the bands, which samples it makes, and where they go.

    Returns:
        Indices to read the bands at; (tap phase, first sample) of the even and odd
        samples; their number; and the signal position of every sample made, None where
        that is its own position.
    """
    half, size = len(spec.low) // 2, spec.size
    if spec.mode == "periodization":
        wrap = boundary.extension_indices(size, half // 2, half // 2, "periodic")
        targets = _periodized_targets(spec) if spec.length % 2 else None
        # With an even number of tap pairs the samples sit half a step off.
        starts = [(1, 0), (0, 1)] if half % 2 == 0 else [(0, 0), (1, 0)]
        return wrap, starts, size, targets
    targets = _extended(spec)
    inside = np.array_equal(targets, np.arange(spec.length))
    # Samples beyond the border are not even computed.
    if spec.mode == "zero" or inside:
        return np.arange(size), [(0, 0), (1, 0)], size - half + 1, None
    padded = boundary.extension_indices(size, half - 1, half - 1, "zero")
    return padded, [(0, 0), (1, 0)], size + half - 1, targets


def _extended(spec: _Pass) -> np.ndarray:
    """Signal position of every sample that `_split` reads."""
    num_taps = len(spec.low)
    before = num_taps // 2 - 1 if spec.mode == "periodization" else num_taps - 2
    after = 2 * spec.size + num_taps - 2 - before - spec.length
    return boundary.extension_indices(spec.length, before, after, spec.mode)


def _periodized_targets(spec: _Pass) -> np.ndarray:
    return np.minimum(np.arange(2 * spec.size), spec.length - 1)


def _fold(
    phases: Sequence[jax.Array], targets: np.ndarray, spec: _Pass, parity: int
) -> jax.Array:
    """Adds samples beyond the border to the even (0) or odd (1) samples they copy."""
    sources = []
    for phase, x in enumerate(phases):
        target = targets[phase::2]
        mine = (target != boundary.OUTSIDE) & (target % 2 == parity)
        sources.append((x, np.where(mine, target // 2, boundary.OUTSIDE)))
    return boundary.add(sources, (spec.length + 1 - parity) // 2, spec.axis)


def _weighted_sum(
    taps: Sequence[float],
    windows: Sequence[tuple[jax.Array, int]],
    size: int,
    axis: int,
    stride: int = 1,
) -> jax.Array:
    """Sum of tap times window, a window being `size` samples from a first one on."""
    total = None
    for tap, (x, first) in zip(taps, windows, strict=True):
        if tap == 0.0 and total is not None:  # PyWavelets pads short filters.
            continue
        stop = first + stride * (size - 1) + 1
        term = tap * lax.slice_in_dim(x, first, stop, stride, axis)
        total = term if total is None else total + term
    assert total is not None, "a filter has at least one tap"
    return total


def _interleave(even: jax.Array, odd: jax.Array, length: int, axis: int) -> jax.Array:
    """Array of `length` samples, taken in turn from `even` and `odd`."""
    half = (length + 1) // 2
    even, odd = (
        boundary.take(x, boundary.extension_indices(n, 0, half - n, "zero"), axis)
        for x, n in ((even, even.shape[axis]), (odd, odd.shape[axis]))
    )
    shape = list(even.shape)
    shape[axis] = 2 * half
    joined = jnp.stack([even, odd], axis=axis).reshape(shape)
    return lax.slice_in_dim(joined, 0, length, axis=axis)


def _split_rule(fence: Fence, x: jax.Array, **params) -> list[jax.Array]:
    bands = _split(_widen(x), _Pass(**params), fence)
    return [band.astype(x.dtype) for band in bands]


def _merge_rule(
    fence: Fence, low_band: jax.Array, high_band: jax.Array, **params
) -> list[jax.Array]:
    signal = _merge(_widen(low_band), _widen(high_band), _Pass(**params), fence)
    return [signal.astype(low_band.dtype)]


def _widen(x: jax.Array) -> jax.Array:
    """Half-precision sums of many taps would lose half their digits."""
    return x.astype(jnp.float32) if x.dtype.itemsize < 4 else x


def _resized(aval, axis: int, size: int):
    """`aval` with another size along `axis`; sharding and varying axes are kept."""
    shape = list(aval.shape)
    shape[axis] = size
    return aval.update(shape=tuple(shape), weak_type=False)


def _split_shapes(x, *, axis, size, **_):
    return [_resized(x, axis, size)] * 2


def _merge_shapes(low_band, high_band, *, axis, length, **_):
    del high_band
    return [_resized(low_band, axis, length)]


_split_p = make_primitive("wavelet_split", _split_rule, _split_shapes)
_merge_p = make_primitive("wavelet_merge", _merge_rule, _merge_shapes)
declare_transposes(_split_p, _merge_p)
