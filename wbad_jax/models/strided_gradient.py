"""Gradient of a strided convolution by its input, without multiplying by zeros.

The textbook form spreads the cotangent, `stride - 1` zeros between neighbours, and
convolves it: of all products one in `stride**2` counts. But pixels that lie `stride`
apart meet the same taps of the kernel. So one convolution of the cotangent as it is
gives all `stride**2` kinds of pixels, or phases, as channels, which are then
interleaved (Shi et al. 2016, Is the deconvolution layer the same as a convolutional
layer?).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")


def strided_input_gradient(
    cotangent: Float[Array, "batch coarse_height coarse_width outputs"],
    kernel: Float[Array, "kernel_height kernel_width inputs outputs"],
    stride: int,
    size: Sequence[int],
) -> Float[Array, "batch height width inputs"]:
    """Gradient by the images of a "SAME" convolution.

    Args:
        cotangent: Of the convolution's result.
        kernel: Of the convolution.
        stride: Its step in both directions.
        size: Height and width of the images.

    Returns:
        `[batch, height, width, inputs]`.
    """
    taps = kernel.shape[:2]
    pads = jax.lax.padtype_to_pads(size, taps, (stride, stride), "SAME")
    offsets, tables = [], []
    for axis in range(2):
        shifts, table = _phases(taps[axis], pads[axis][0], stride)
        offsets.append(shifts)
        tables.append(table)
    coarse = cotangent.shape[1:3]
    # As many windows as coarse pixels: those cover the images.
    windows = [(-shifts[0], shifts[-1]) for shifts in offsets]
    phases = jax.lax.conv_general_dilated(
        cotangent, _phase_kernel(kernel, tables), (1, 1), windows,
        dimension_numbers=_DIMENSIONS,
    )  # fmt: skip
    batch, inputs = cotangent.shape[0], kernel.shape[2]
    phases = phases.reshape(batch, *coarse, stride, stride, inputs)
    fine = phases.transpose(0, 1, 3, 2, 4, 5)
    fine = fine.reshape(batch, coarse[0] * stride, coarse[1] * stride, inputs)
    return fine[:, : size[0], : size[1]]


def _phases(taps: int, before: int, stride: int) -> tuple[list[int], np.ndarray]:
    """Which tap joins a pixel of each phase to the coarse pixels around it.

    Pixel `stride * q + r` contributed through tap `r + before - stride * j` to coarse
    pixel `q + j`.

    Returns:
        The shifts j, without a gap, and the taps `[shifts, stride]`; a tap that does
        not exist is numbered `taps`.
    """
    shifts = list(
        range((before - taps) // stride + 1, (stride - 1 + before) // stride + 1)
    )
    table = np.add.outer(-stride * np.asarray(shifts), np.arange(stride) + before)
    return shifts, np.where((table >= 0) & (table < taps), table, taps)


def _phase_kernel(kernel: Array, tables: Sequence[np.ndarray]) -> Array:
    """`[shifts, shifts, outputs, stride * stride * inputs]`."""
    rows, columns = tables
    # One row and column of zeros more, for the taps that do not exist.
    padded = jnp.pad(kernel, ((0, 1), (0, 1), (0, 0), (0, 0)))
    chosen = padded[rows[:, :, None, None], columns]
    height, stride, width = chosen.shape[:3]
    inputs, outputs = kernel.shape[2:]
    chosen = chosen.transpose(0, 2, 5, 1, 3, 4)
    return chosen.reshape(height, width, outputs, stride * stride * inputs)
