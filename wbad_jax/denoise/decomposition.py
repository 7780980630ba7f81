"""The transform that a denoiser works in: decimated, or stationary."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from wbad_jax import wavelets
from wbad_jax.denoise.settings import PADDING, DenoiserSettings
from wbad_jax.types import Images

Approx = Float[Array, "*batch height width channels"]


def decompose(
    images: Images, settings: DenoiserSettings
) -> tuple[Approx, list[wavelets.Details]]:
    """Approximation and details, coarsest level first, of one noise level throughout.

    White noise of standard deviation sigma has that same standard deviation in every
    subband of an orthogonal wavelet. In the stationary transform this holds without
    `norm`, which would halve it from each level to the next.

    Args:
        images: `[*batch, height, width, channels]`.
        settings: Wavelet, mode, levels, and kind of transform.

    Returns:
        Approximation and one `Details` a level.
    """
    if settings.stationary:
        approx, *details = wavelets.swt2(
            _fill_up(images, settings),
            settings.wavelet,
            settings.level,
            trim_approx=True,
        )
        return approx, details
    approx, *details = wavelets.wavedec2(
        images, level=settings.level, **_transform(settings)
    )
    return approx, details


def recompose(
    approx: Approx,
    details: list[wavelets.Details],
    settings: DenoiserSettings,
    shape: tuple[int, int],
) -> Images:
    """Inverse of `decompose`.

    Args:
        approx: Approximation.
        details: One `Details` a level, coarsest first.
        settings: Those of the decomposition.
        shape: Height and width of the images.

    Returns:
        Images of that size.
    """
    if settings.stationary:
        images = wavelets.iswt2([approx, *details], settings.wavelet)
        return images[..., : shape[0], : shape[1], :]
    return wavelets.waverec2([approx, *details], shape=shape, **_transform(settings))


def _transform(settings: DenoiserSettings) -> dict[str, Any]:
    return {
        "wavelet": settings.wavelet,
        "mode": settings.mode,
        "backend": settings.backend,
    }


def _fill_up(images: Images, settings: DenoiserSettings) -> Images:
    """Extends images to a multiple of `2**level`, below and to the right."""
    unit = 2**settings.level
    missing = [-size % unit for size in images.shape[-3:-1]]
    if not any(missing):
        return images
    widths = [(0, 0)] * (images.ndim - 3) + [(0, n) for n in missing] + [(0, 0)]
    return jnp.pad(images, widths, mode=PADDING[settings.mode])
