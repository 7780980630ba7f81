"""Discrete wavelet transform along one axis.

Numbers, names and sizes are those of PyWavelets; any axis of an array of any rank.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from wbad_jax.wavelets import boundary, filter_bank, passes
from wbad_jax.wavelets.filters import Wavelet, as_wavelet
from wbad_jax.wavelets.multilevel import check_level
from wbad_jax.wavelets.two_dimensional import Backend, as_floating, check_backend


class Bands(NamedTuple):
    """The two half-bands of one level; PyWavelets calls them cA and cD.

    Examples:
        >>> from wbad_jax.wavelets import dwt
        >>> bands = dwt([1.0, 3.0, 2.0, 2.0])
        >>> [band.shape for band in bands]
        [(2,), (2,)]
    """

    approx: Float[Array, "..."]
    detail: Float[Array, "..."]


def dwt(
    x: ArrayLike,
    wavelet: str | Wavelet = "haar",
    mode: str = "symmetric",
    axis: int = -1,
    *,
    backend: Backend = "auto",
) -> Bands:
    """Decomposes signals into approximation and detail; see `dwt2`.

    Args:
        x: Signals, any shape, floating-point.
        wavelet: Name or filters. Static.
        mode: Boundary mode, one of `MODES`. Static.
        axis: Axis of the samples. Static.
        backend: See `dwt2`; not "jaxwt". Static.

    Returns:
        Bands in the dtype of `x`, of size `(n + taps - 1) // 2` along `axis`, or
        `(n + 1) // 2` with mode "periodization".

    Raises:
        TypeError: If `x` is not of a floating-point type.
        ValueError: If `x` has no such axis or no sample along it, or for an unknown
            wavelet, mode or backend.

    Examples:
        >>> from wbad_jax.wavelets import dwt
        >>> approx, detail = dwt([1.0, 1.0, 3.0, 1.0])
        >>> print(approx.round(3), detail.round(3))
        [1.414 2.828] [0.    1.414]
    """
    x = as_floating(x, "x")
    bank = as_wavelet(wavelet)
    boundary.check_mode(mode)
    _check_own_backend(backend)
    axis = negative_axis(axis, x)
    return Bands(*filter_bank.analyze(x, bank, mode, (axis,), backend))


def idwt(
    approx: ArrayLike | None,
    detail: ArrayLike | None,
    wavelet: str | Wavelet = "haar",
    mode: str = "symmetric",
    axis: int = -1,
    length: int | None = None,
    *,
    backend: Backend = "auto",
) -> Array:
    """Reconstructs signals from approximation and detail; inverse of `dwt`.

    Args:
        approx: Approximation; None stands for zeros.
        detail: Detail of the same shape; None stands for zeros.
        wavelet: Wavelet of the decomposition. Static.
        mode: Boundary mode of the decomposition. Static.
        axis: Axis of the samples. Static.
        length: Samples of the signal. Bands of an odd number of samples look like
            those of one more, which is what is returned by default. Static.
        backend: See `dwt`. Static.

    Returns:
        Signals.

    Raises:
        TypeError: If the bands are not of a floating-point type.
        ValueError: If both are None, if they differ in shape or are too small for the
            wavelet, if `length` does not fit them, or as `dwt`.

    Examples:
        >>> from wbad_jax.wavelets import dwt, idwt
        >>> approx, detail = dwt([1.0, 2.0, 3.0, 4.0])
        >>> [round(float(x), 3) for x in idwt(approx, detail)]
        [1.0, 2.0, 3.0, 4.0]
        >>> [round(float(x), 3) for x in idwt(approx, None)]
        [1.5, 1.5, 3.5, 3.5]
    """
    bank = as_wavelet(wavelet)
    boundary.check_mode(mode)
    _check_own_backend(backend)
    bands = _as_bands(approx, detail)
    axis = negative_axis(axis, bands.approx)
    size = bands.approx.shape[axis]
    length = _checked_length(size, len(bank), mode, length)
    return filter_bank.synthesize(bands, bank, mode, (axis,), (length,), backend)


def wavedec(
    x: ArrayLike,
    wavelet: str | Wavelet = "haar",
    mode: str = "symmetric",
    level: int | None = None,
    axis: int = -1,
    *,
    backend: Backend = "auto",
) -> list[jax.Array]:
    """Decomposes signals over several levels; see `wavedec2`.

    Args:
        x: Signals, any shape, floating-point.
        wavelet: Name or filters. Static.
        mode: Boundary mode. Static.
        level: Number of levels; None is the largest useful one. Static.
        axis: Axis of the samples. Static.
        backend: See `dwt`. Static.

    Returns:
        `[approx, detail of level n, ..., detail of level 1]`.

    Raises:
        TypeError: If `x` is not of a floating-point type.
        ValueError: If `level` is negative, or as `dwt`.

    Warns:
        UserWarning: If at the coarsest level no coefficient is free of the border.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.wavelets import wavedec
        >>> [band.shape for band in wavedec(jnp.arange(16.0), level=2)]
        [(4,), (4,), (8,)]
    """
    approx = as_floating(x, "x")
    bank = as_wavelet(wavelet)
    boundary.check_mode(mode)
    _check_own_backend(backend)
    axis = negative_axis(axis, approx)
    level = check_level((approx.shape[axis],), bank, level)
    details = []
    for _ in range(level):
        approx, detail = dwt(approx, bank, mode, axis, backend=backend)
        details.append(detail)
    return [approx, *reversed(details)]


def waverec(
    coefficients: Sequence[Any],
    wavelet: str | Wavelet = "haar",
    mode: str = "symmetric",
    axis: int = -1,
    length: int | None = None,
    *,
    backend: Backend = "auto",
) -> Array:
    """Reconstructs signals from `[approx, details]`; inverse of `wavedec`.

    Args:
        coefficients: As `wavedec` returns them. A detail may be None, for zeros.
        wavelet: Wavelet of the decomposition. Static.
        mode: Boundary mode of the decomposition. Static.
        axis: Axis of the samples. Static.
        length: Samples of the signal; without it, signals of an odd number of samples
            come back longer by one. Static.
        backend: See `dwt`. Static.

    Returns:
        Signals.

    Raises:
        TypeError: If the coefficients are not of a floating-point type.
        ValueError: If the levels do not fit together, or as `idwt`.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.wavelets import wavedec, waverec
        >>> x = jnp.arange(11.0)
        >>> again = waverec(wavedec(x, level=2), length=11)
        >>> bool(jnp.allclose(again, x, atol=1e-4))
        True
    """
    if not coefficients:
        raise ValueError("coefficients must hold at least the approximation, got none.")
    bank = as_wavelet(wavelet)
    boundary.check_mode(mode)
    _check_own_backend(backend)
    approx = as_floating(coefficients[0], "approx")
    axis = negative_axis(axis, approx)
    details = coefficients[1:]
    if not details and length not in (None, approx.shape[axis]):
        raise ValueError(
            f"length must be {approx.shape[axis]} without details, got {length}."
        )
    for i, detail in enumerate(details):
        wanted = length if i == len(details) - 1 else None
        approx = _fit(approx, detail, axis)
        approx = idwt(approx, detail, bank, mode, axis, wanted, backend=backend)
    return approx


def negative_axis(axis: int, x: jax.Array) -> int:
    """`axis` counted from the end; raises ValueError unless `x` has it, not empty."""
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(
            f"axis must be one of an array of shape {x.shape}, got {axis}."
        )
    if x.shape[axis] == 0:
        raise ValueError(f"x must not be empty along axis {axis}, got {x.shape}.")
    return axis % x.ndim - x.ndim


def _as_bands(approx: ArrayLike | None, detail: ArrayLike | None) -> Bands:
    low = None if approx is None else as_floating(approx, "approx")
    high = None if detail is None else as_floating(detail, "detail")
    if low is None and high is None:
        raise ValueError("At least one of approx and detail must be given, got None.")
    low = jnp.zeros_like(jnp.asarray(high)) if low is None else low
    high = jnp.zeros_like(low) if high is None else high
    if low.shape != high.shape:
        raise ValueError(
            f"approx and detail must have equal shapes, got {low.shape} and "
            f"{high.shape}."
        )
    # Not `result_type`, which would make float64 of NumPy arrays float32.
    dtype = jnp.promote_types(low.dtype, high.dtype)
    return Bands(low.astype(dtype), high.astype(dtype))


def _fit(approx: jax.Array, detail: ArrayLike | None, axis: int) -> jax.Array:
    """Crops an approximation that is one longer than its detail, as PyWavelets."""
    shape = jnp.shape(approx if detail is None else detail)
    if len(shape) != approx.ndim or approx.shape[axis] != shape[axis] + 1:
        return approx
    return approx[(..., slice(-1), *[slice(None)] * (-1 - axis))]


def _checked_length(size: int, num_taps: int, mode: str, length: int | None) -> int:
    full = passes.signal_length(size, num_taps, mode)
    if full < 1:
        raise ValueError(
            f"Bands of {size} samples are too small for a wavelet of {num_taps} taps "
            f"in mode {mode!r}."
        )
    if length is None:
        return full
    if length not in (full - 1, full) or length < 1:
        raise ValueError(
            f"length must be {full} or {full - 1} for bands of {size} samples, got "
            f"{length}."
        )
    return length


def _check_own_backend(backend: str) -> None:
    if check_backend(backend) == "jaxwt":
        raise ValueError("backend 'jaxwt' is for images only, see dwt2.")
