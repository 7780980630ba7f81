"""Gradient of a convolution by its kernel: what training needs and attacks do not.

Every tap's gradient is a product of matrices, images times cotangent summed over all
pixels. XLA:CPU is slow at both textbook forms (nine products of small matrices; one
convolution with channels in the place of the batch), because their matrices are small
or are copied for each tap.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wbad_jax import stages

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")
# From so many outputs on, one product for all taps is faster than the convolution.
_FEW_OUTPUTS = 32


def kernel_gradient(
    images: Float[Array, "batch height width inputs"],
    cotangent: Float[Array, "batch coarse_height coarse_width outputs"],
    taps: tuple[int, int],
    stride: int,
) -> Float[Array, "kernel_height kernel_width inputs outputs"]:
    """Gradient by the kernel of a "SAME" convolution.

    Args:
        images: What was convolved.
        cotangent: Of the convolution's result.
        taps: Height and width of the kernel.
        stride: Step of the convolution in both directions.

    Returns:
        `[*taps, inputs, outputs]`, summed over all pixels of the batch in float32 or
        better, whatever comes in.
    """
    if stride == 1 and cotangent.shape[-1] >= _FEW_OUTPUTS:
        return _one_product(images, cotangent, taps)
    return _as_convolution(images, cotangent, taps, stride)


def _copied(function: Callable, *arrays: Array, **static) -> tuple[Array, ...]:
    """Rearranged arrays, in a stage: what made them must not be computed once a copy.

    The sums over pixels stay outside of it, so that devices which share a batch
    exchange all gradients at once: XLA:CPU may run several exchanges in different
    orders on two devices, which then wait for each other.
    """
    return stages.default_stage()(function, *arrays, **static)


def _as_convolution(images, cotangent, taps, stride):
    """Channels take the place of the batch, and the batch is summed over."""
    spread = ((n - 1) * stride + 1 for n in cotangent.shape[1:3])
    before = (pad[0] for pad in _pads(images.shape[1:3], taps, stride))
    sizes = zip(taps, before, images.shape[1:3], spread, strict=True)
    pixels, weights = _copied(_channels_first, images, cotangent)
    # A stride of the convolution is a dilation of the cotangent.
    gradient = jax.lax.conv_general_dilated(
        pixels, weights, (1, 1),
        [(b, k + g - 1 - n - b) for k, b, n, g in sizes],
        rhs_dilation=(stride, stride), dimension_numbers=_DIMENSIONS,
        preferred_element_type=_sum_type(images),
    )  # fmt: skip
    return gradient.transpose(1, 2, 0, 3)


def _channels_first(images, cotangent):
    return images.transpose(3, 1, 2, 0), cotangent.transpose(1, 2, 0, 3)


def _one_product(images, cotangent, taps):
    """One product of matrices for all taps of an undilated convolution.

    The image is shifted once for each row of taps and the cotangent, the other way, for
    each column: together they meet in every tap.
    """
    inputs, outputs = images.shape[-1], cotangent.shape[-1]
    rows, columns = _copied(_shifted_copies, images, cotangent, taps=taps)
    product = jnp.matmul(
        rows.reshape(-1, rows.shape[-1]).T,
        columns.reshape(-1, columns.shape[-1]),
        preferred_element_type=_sum_type(images),
    )
    product = product.reshape(taps[0], inputs, taps[1], outputs)
    return product.transpose(0, 2, 1, 3)


def _shifted_copies(images, cotangent, *, taps):
    top, left = (pad[0] for pad in _pads(images.shape[1:3], taps, 1))
    rows = [_shifted(images, row - top, axis=1) for row in range(taps[0])]
    columns = [_shifted(cotangent, left - column, axis=2) for column in range(taps[1])]
    return jnp.concatenate(rows, axis=-1), jnp.concatenate(columns, axis=-1)


def _sum_type(images: Array) -> jnp.dtype:
    return jnp.promote_types(images.dtype, jnp.float32)


def _shifted(maps: Array, by: int, axis: int) -> Array:
    """Maps whose index i holds what was at i + `by`, and zeros beyond the border."""
    size = maps.shape[axis]
    by = max(-size, min(by, size))
    kept = jax.lax.slice_in_dim(maps, max(by, 0), size + min(by, 0), axis=axis)
    shape = [abs(by) if n == axis else length for n, length in enumerate(maps.shape)]
    parts = [kept, jnp.zeros(shape, maps.dtype)]
    return jnp.concatenate(parts if by > 0 else parts[::-1], axis=axis)


def _pads(size, taps, stride):
    return jax.lax.padtype_to_pads(size, taps, (stride, stride), "SAME")
