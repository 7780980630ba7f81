"""Multi-level two-dimensional wavelet transform.

Coefficients are laid out as in PyWavelets, from coarse to fine:
`[approx, Details of level n, ..., Details of level 1]`. The list is a pytree, so
`jax.tree.map`, `jax.grad` and `jax.jit` take it as it is.
"""

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from wbad_jax.wavelets import boundary, jaxwt_backend
from wbad_jax.wavelets.filters import Wavelet, as_wavelet
from wbad_jax.wavelets.two_dimensional import (
    Backend,
    as_images,
    check_backend,
    dwt2,
    idwt2,
    reconstructed_shape,
)


class Details(NamedTuple):
    """The detail subbands of one level; see `Subbands` for their orientation.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.wavelets import wavedec2
        >>> approx, coarse, fine = wavedec2(jnp.ones((1, 8, 8, 1)), level=2)
        >>> fine.diagonal.shape
        (1, 4, 4, 1)
    """

    horizontal: Float[Array, "*batch half_height half_width channels"]
    vertical: Float[Array, "*batch half_height half_width channels"]
    diagonal: Float[Array, "*batch half_height half_width channels"]


def wavedec2(
    images: ArrayLike,
    wavelet: str | Wavelet = "haar",
    mode: str = "symmetric",
    level: int | None = None,
    *,
    backend: Backend = "auto",
) -> list[Any]:
    """Decomposes images into a pyramid of subbands.

    Args:
        images: `[*batch, height, width, channels]`, floating-point.
        wavelet: Name (see `wavelist`) or filters. Static.
        mode: Boundary mode, see `dwt2`. Static.
        level: Number of levels; 0 returns the images alone, None is the largest useful
            number, see `dwt_max_level`. Static.
        backend: See `dwt2`. Static.

    Returns:
        `[approx, Details of level n, ..., Details of level 1]`.

    Raises:
        TypeError: If `images` are not of a floating-point type.
        ValueError: If `level` is negative, or as `dwt2`.
        ImportError: If backend "jaxwt" is not installed.

    Warns:
        UserWarning: If at the coarsest level no coefficient is free of the border.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.wavelets import wavedec2
        >>> approx, coarse, fine = wavedec2(jnp.ones((2, 16, 16, 1)), level=2)
        >>> approx.shape, fine.horizontal.shape
        ((2, 4, 4, 1), (2, 8, 8, 1))
    """
    approx = as_images(images, "images")
    bank = as_wavelet(wavelet)
    boundary.check_mode(mode)
    level = check_level(approx.shape[-3:-1], bank, level)
    if check_backend(backend) == "jaxwt":
        approx, levels = jaxwt_backend.analyze(approx, bank.name, mode, level)
        return [approx, *(Details(*bands) for bands in levels)]
    details = []
    for _ in range(level):
        approx, *bands = dwt2(approx, bank, mode, backend=backend)
        details.append(Details(*bands))
    return [approx, *reversed(details)]


def waverec2(
    coefficients: Sequence[Any],
    wavelet: str | Wavelet = "haar",
    mode: str = "symmetric",
    shape: tuple[int, int] | None = None,
    *,
    backend: Backend = "auto",
) -> Float[Array, "*batch height width channels"]:
    """Reconstructs images from a pyramid of subbands; inverse of `wavedec2`.

    Args:
        coefficients: `[approx, details of level n, ..., details of level 1]`; details
            are `Details` or any three arrays (horizontal, vertical, diagonal).
        wavelet: Wavelet of the decomposition. Static.
        mode: Boundary mode of the decomposition. Static.
        shape: Height and width of the images; without it, images of odd size come back
            larger by one. Static.
        backend: See `dwt2`. Static.

    Returns:
        Images, `[*batch, *shape, channels]`.

    Raises:
        TypeError: If the coefficients are not of a floating-point type.
        ValueError: If the levels do not fit together or `shape` does not fit them, or
            as `idwt2`.
        ImportError: If backend "jaxwt" is not installed.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.wavelets import wavedec2, waverec2
        >>> image = jnp.arange(49.0).reshape(1, 7, 7, 1)
        >>> again = waverec2(wavedec2(image, level=2), shape=(7, 7))
        >>> bool(jnp.allclose(again, image, atol=1e-4))
        True
    """
    if not coefficients:
        raise ValueError("coefficients must hold at least the approximation, got none.")
    bank = as_wavelet(wavelet)
    boundary.check_mode(mode)
    check_backend(backend)
    approx = as_images(coefficients[0], "approx")
    levels = [as_details(bands) for bands in coefficients[1:]]
    if not levels:
        return _check_untransformed(approx, shape)
    approx = _fit(approx, levels[0])
    targets = [bands.horizontal.shape[-3:-1] for bands in levels[1:]] + [shape]
    for bands, target in zip(levels, targets, strict=True):
        # The approximation of an image of odd size comes out one too large.
        target = reconstructed_shape(bands[0].shape, len(bank), mode, target)
        approx = idwt2((approx, *bands), bank, mode, target, backend=backend)
    return approx


def dwt_max_level(size: int | Sequence[int], wavelet: str | Wavelet) -> int:
    """Largest number of levels with a coefficient that does not touch the border.

    Args:
        size: Samples along one axis, or along each of several axes.
        wavelet: Name or filters.

    Returns:
        The number of levels, 0 for signals shorter than the wavelet.

    Raises:
        ValueError: If a size is below 1, or for an unknown wavelet.

    Examples:
        >>> from wbad_jax.wavelets import dwt_max_level
        >>> dwt_max_level((96, 128), "haar"), dwt_max_level((96, 128), "db4")
        (6, 3)
    """
    shortest = int(np.min(size))
    if shortest < 1:
        raise ValueError(f"size must be at least 1, got {size}.")
    ratio = shortest // (len(as_wavelet(wavelet)) - 1)
    return max(ratio.bit_length() - 1, 0)


def check_level(sizes: Sequence[int], wavelet: Wavelet, level: int | None) -> int:
    """Returns the number of levels; warns if it is too large for the sizes."""
    most = dwt_max_level(sizes, wavelet)
    if level is None:
        return most
    if level < 0:
        raise ValueError(f"level must not be negative, got {level}.")
    if level > most:
        warnings.warn(
            f"level {level} is more than {most}, the most for a size of "
            f"{' x '.join(map(str, sizes))} and wavelet {wavelet.name}: every "
            "coefficient of the coarsest level will feel the border.",
            UserWarning,
            stacklevel=3,
        )
    return level


def as_details(bands: Sequence[ArrayLike]) -> Details:
    """Returns three arrays as `Details`, or says why they are none."""
    if len(bands) != 3:
        raise ValueError(
            "Details must be (horizontal, vertical, diagonal), got "
            f"{len(bands)} arrays."
        )
    named = zip(Details._fields, bands, strict=True)
    return Details(*(as_images(band, f"detail {name}") for name, band in named))


def _fit(approx: jax.Array, details: Details) -> jax.Array:
    """Crops an approximation that is one larger than its details, as PyWavelets."""
    sizes = zip(approx.shape[-3:-1], details.horizontal.shape[-3:-1], strict=True)
    height, width = (n - 1 if n == wanted + 1 else n for n, wanted in sizes)
    return approx[..., :height, :width, :]


def _check_untransformed(images: jax.Array, shape: tuple[int, int] | None) -> jax.Array:
    if shape is not None and tuple(shape) != images.shape[-3:-1]:
        raise ValueError(
            f"shape must be {images.shape[-3:-1]} without details, got {shape}."
        )
    return images
