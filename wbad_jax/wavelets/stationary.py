"""Stationary (undecimated, translation-invariant) wavelet transform.

Every level keeps all samples: filters are dilated instead of bands halved. Numbers and
layouts are those of PyWavelets. The boundary is periodic, and sizes must be multiples
of `2 ** level`.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from wbad_jax.wavelets import undecimated
from wbad_jax.wavelets.filters import Wavelet, as_wavelet
from wbad_jax.wavelets.multilevel import Details, as_details
from wbad_jax.wavelets.one_dimensional import negative_axis
from wbad_jax.wavelets.two_dimensional import as_floating, as_images

_AXES = (-3, -2)


def swt_max_level(size: int) -> int:
    """Largest number of levels for `size` samples: how often 2 divides it.

    Raises:
        ValueError: If `size` is below 1.

    Examples:
        >>> from wbad_jax.wavelets import swt_max_level
        >>> swt_max_level(96)
        5
    """
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}.")
    return (size & -size).bit_length() - 1


def swt2(
    images: ArrayLike,
    wavelet: str | Wavelet = "haar",
    level: int | None = None,
    start_level: int = 0,
    *,
    trim_approx: bool = False,
    norm: bool = False,
) -> list[Any]:
    """Stationary wavelet transform of images.

    Args:
        images: `[*batch, height, width, channels]`, floating-point.
        wavelet: Name or filters. Static.
        level: Number of levels; None is the largest number, see `swt_max_level`.
            Static.
        start_level: Levels to skip: `images` are the approximation of that level.
            Static.
        trim_approx: Keep only the approximation of the last level. Static.
        norm: Divide the filters by sqrt(2). With an orthogonal wavelet and
            `trim_approx` the sum of squares is then that of the images, and white noise
            of standard deviation sigma has `sigma / 2**j` in all bands of level j. If
            False it keeps sigma in every band. Static.

    Returns:
        `[(approx_n, Details_n), ..., (approx_1, Details_1)]`, or with `trim_approx`
        `[approx_n, Details_n, ..., Details_1]`; all arrays of the shape and dtype of
        `images`.

    Raises:
        TypeError: If `images` are not of a floating-point type.
        ValueError: If height or width is no multiple of `2 ** (start_level + level)`,
            if `level` is below 1 or `start_level` negative, or as `dwt2`.

    Reference:
        Nason and Silverman (1995), The stationary wavelet transform and some
        statistical applications, section 3.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.wavelets import swt2
        >>> ((approx, details),) = swt2(jnp.ones((1, 4, 4, 1)), level=1)
        >>> approx.shape
        (1, 4, 4, 1)
    """
    x = as_images(images, "images")
    dilations = _dilations(x, _AXES, level, start_level)
    levels = [
        (approx, Details(*details))
        for approx, details in _decompose(x, wavelet, _AXES, dilations, norm)
    ]
    return _trimmed(levels) if trim_approx else levels[::-1]


def iswt2(
    coefficients: Sequence[Any],
    wavelet: str | Wavelet = "haar",
    *,
    norm: bool = False,
    start_level: int = 0,
) -> Float[Array, "*batch height width channels"]:
    """Reconstructs images from their stationary transform; inverse of `swt2`.

    The mean of the inverses over all shifts: of coefficients that were changed, as by
    shrinkage, it makes the translation-invariant estimate.

    Args:
        coefficients: As `swt2` returns them, in either layout.
        wavelet: Wavelet of the decomposition. Static.
        norm: As in the decomposition. Static.
        start_level: As in the decomposition. Static.

    Returns:
        Images, of the shape of each band.

    Raises:
        TypeError: If the coefficients are not of a floating-point type.
        ValueError: If there are none, if they differ in shape, or as `swt2`.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.wavelets import iswt2, swt2
        >>> image = jnp.arange(16.0).reshape(1, 4, 4, 1)
        >>> bool(jnp.allclose(iswt2(swt2(image, level=1)), image, atol=1e-5))
        True
    """
    approx, levels = _unpacked(coefficients)
    x = as_images(approx, "approx")
    details = [as_details(bands) for bands in levels]
    x, *bands = _alike(x, [band for bands in details for band in bands])
    dilations = _dilations(x, _AXES, len(levels), start_level)
    return _reconstruct(x, bands, wavelet, _AXES, dilations, norm)


def swt(
    x: ArrayLike,
    wavelet: str | Wavelet = "haar",
    level: int | None = None,
    start_level: int = 0,
    axis: int = -1,
    *,
    trim_approx: bool = False,
    norm: bool = False,
) -> list[Any]:
    """Stationary wavelet transform along one axis; see `swt2`.

    Args:
        x: Signals, any shape, floating-point.
        wavelet: Name or filters. Static.
        level: Number of levels; None is the largest number. Static.
        start_level: Levels to skip. Static.
        axis: Axis of the samples. Static.
        trim_approx: Keep only the approximation of the last level. Static.
        norm: Divide the filters by sqrt(2). Static.

    Returns:
        `[(approx_n, detail_n), ..., (approx_1, detail_1)]`, or with `trim_approx`
        `[approx_n, detail_n, ..., detail_1]`.

    Raises:
        TypeError: If `x` is not of a floating-point type.
        ValueError: If `x` has no such axis, or as `swt2`.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.wavelets import swt
        >>> coarse, fine = swt(jnp.arange(8.0), level=2)
        >>> fine[0].shape
        (8,)
    """
    x = as_floating(x, "x")
    axes = (negative_axis(axis, x),)
    dilations = _dilations(x, axes, level, start_level)
    levels = [
        (approx, detail)
        for approx, (detail,) in _decompose(x, wavelet, axes, dilations, norm)
    ]
    return _trimmed(levels) if trim_approx else levels[::-1]


def iswt(
    coefficients: Sequence[Any],
    wavelet: str | Wavelet = "haar",
    axis: int = -1,
    *,
    norm: bool = False,
    start_level: int = 0,
) -> Array:
    """Reconstructs signals from their stationary transform; inverse of `swt`.

    Args:
        coefficients: As `swt` returns them, in either layout.
        wavelet: Wavelet of the decomposition. Static.
        axis: Axis of the samples. Static.
        norm: As in the decomposition. Static.
        start_level: As in the decomposition. Static.

    Returns:
        Signals, of the shape of each band.

    Raises:
        TypeError: If the coefficients are not of a floating-point type.
        ValueError: As `iswt2`.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.wavelets import iswt, swt
        >>> x = jnp.arange(8.0)
        >>> bool(jnp.allclose(iswt(swt(x, level=2)), x, atol=1e-5))
        True
    """
    approx, levels = _unpacked(coefficients)
    x = as_floating(approx, "approx")
    details = [as_floating(detail, "detail") for detail in levels]
    x, *details = _alike(x, details)
    axes = (negative_axis(axis, x),)
    dilations = _dilations(x, axes, len(levels), start_level)
    return _reconstruct(x, details, wavelet, axes, dilations, norm)


def _decompose(
    x: jax.Array,
    wavelet: str | Wavelet,
    axes: Sequence[int],
    dilations: Sequence[int],
    norm: bool,
) -> Iterator[tuple[jax.Array, list[jax.Array]]]:
    """Approximation and details of each level, finest first."""
    bank = _rescaled(as_wavelet(wavelet), 0.5**0.5 if norm else 1.0)
    for dilation in dilations:
        x, *details = undecimated.analyze(x, bank, axes, dilation)
        yield x, details


def _reconstruct(
    x: jax.Array,
    details: Sequence[jax.Array],
    wavelet: str | Wavelet,
    axes: Sequence[int],
    dilations: Sequence[int],
    norm: bool,
) -> jax.Array:
    """The signal of an approximation and the details of all levels, coarsest first."""
    bank = _rescaled(as_wavelet(wavelet), 2**0.5 if norm else 1.0)
    number = 2 ** len(axes) - 1  # of details a level
    for i, dilation in enumerate(reversed(dilations)):
        bands = details[i * number : (i + 1) * number]
        x = undecimated.synthesize((x, *bands), bank, axes, dilation)
    return x


def _dilations(
    x: jax.Array, axes: Sequence[int], level: int | None, start_level: int
) -> list[int]:
    """Dilation of the filters at each level; checks that the sizes allow them."""
    sizes = [x.shape[axis] for axis in axes]
    if 0 in sizes:
        raise ValueError(f"The transformed axes must not be empty, got sizes {sizes}.")
    if start_level < 0:
        raise ValueError(f"start_level must not be negative, got {start_level}.")
    if level is None:
        level = min(swt_max_level(size) for size in sizes) - start_level
    if level < 1:
        raise ValueError(
            f"level must be at least 1, got {level} for sizes {sizes} and start_level "
            f"{start_level}."
        )
    unit = 2 ** (start_level + level)
    if any(size % unit for size in sizes):
        wanted = [-(-size // unit) * unit for size in sizes]
        raise ValueError(
            f"{start_level + level} levels need sizes that are multiples of {unit}, "
            f"got {sizes}; pad to {wanted}."
        )
    return [2**j for j in range(start_level, start_level + level)]


def _rescaled(bank: Wavelet, factor: float) -> Wavelet:
    filters = (bank.dec_lo, bank.dec_hi, bank.rec_lo, bank.rec_hi)
    return Wavelet(bank.name, *(tuple(factor * t for t in taps) for taps in filters))


def _trimmed(levels: list[tuple[jax.Array, Any]]) -> list[Any]:
    return [levels[-1][0], *(details for _, details in reversed(levels))]


def _unpacked(coefficients: Sequence[Any]) -> tuple[Any, list[Any]]:
    """Approximation of the last level, and the details of all, coarsest first."""
    if not coefficients:
        raise ValueError("coefficients must hold at least one level, got none.")
    if isinstance(coefficients[0], tuple | list):
        if any(len(level) != 2 for level in coefficients):
            raise ValueError("Each level must be a pair (approximation, details).")
        return coefficients[0][0], [details for _, details in coefficients]
    return coefficients[0], list(coefficients[1:])


def _alike(approx: jax.Array, bands: Sequence[jax.Array]) -> list[jax.Array]:
    """Approximation and bands in one dtype; raises ValueError unless of one shape."""
    shapes = {band.shape for band in bands}
    if shapes - {approx.shape}:
        raise ValueError(
            f"All bands must have the shape of the approximation, {approx.shape}, got "
            f"{sorted(shapes)}."
        )
    dtype = jnp.result_type(approx, *bands)
    return [band.astype(dtype) for band in (approx, *bands)]
