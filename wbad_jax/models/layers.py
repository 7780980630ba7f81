"""Convolution and initialisers, equal to the stock ones but fast in XLA:CPU loops.

XLA:CPU rewrites convolutions into its fast layout only outside of loops: the gradient
convolutions that automatic differentiation emits run 10-50 times slower inside
`lax.scan`, `while_loop` or `cond` (jax issue 12868), where attacks live. Here both
gradients are written as plain NHWC convolutions, which are fast everywhere. On other
platforms the stock gradients are used.
"""

import functools
import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from wbad_jax.models.kernel_gradient import kernel_gradient
from wbad_jax.models.precision import at_least_float32
from wbad_jax.models.strided_gradient import strided_input_gradient

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")
# Standard deviation of a unit normal truncated to [-2, 2].
_TRUNCATED_STD = 0.87962566103423978

Maps = Float[Array, "batch height width channels"]
Kernel = Float[Array, "kernel_height kernel_width inputs outputs"]


def _convolve(images: Maps, kernel: Kernel, stride: int, padding) -> Maps:
    return jax.lax.conv_general_dilated(
        images, kernel, (stride, stride), padding, dimension_numbers=_DIMENSIONS
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve_same(images: Maps, kernel: Kernel, stride: int = 1) -> Maps:
    """Convolve with "SAME" padding; gradients are plain convolutions too.

    Reverse mode of any order; forward mode (`jax.jvp`) is not defined.

    Args:
        images: `[batch, height, width, inputs]`.
        kernel: `[kernel_height, kernel_width, inputs, outputs]`.
        stride: Step in both directions.

    Returns:
        `[batch, ceil(height / stride), ceil(width / stride), outputs]`.
    """
    return _convolve(images, kernel, stride, "SAME")


def _forward(images, kernel, stride):
    return _convolve(images, kernel, stride, "SAME"), (images, kernel)


def _backward(stride, residuals, cotangent):
    images, kernel = residuals
    size, taps = images.shape[1:3], kernel.shape[:2]
    by_kernel = kernel_gradient(images, cotangent, taps, stride).astype(kernel.dtype)
    if stride > 1:
        return strided_input_gradient(cotangent, kernel, stride, size), by_kernel
    # Correlate with the kernel flipped in space, channels swapped.
    flipped = jnp.swapaxes(kernel[::-1, ::-1], 2, 3)
    pads = jax.lax.padtype_to_pads(size, taps, (1, 1), "SAME")
    pads = [(k - 1 - b, b) for k, (b, _) in zip(taps, pads, strict=True)]
    return _convolve(cotangent, flipped, 1, pads), by_kernel


convolve_same.defvjp(_forward, _backward)


def conv_general_dilated(lhs, rhs, window_strides, padding, **options):
    """`lax.conv_general_dilated` with gradients that are fast in CPU loops.

    For the `conv_general_dilated` argument of `nnx.Conv`. Falls back to the stock
    function for anything but an undilated, ungrouped 2-D "SAME" convolution, and on
    every platform but CPU.
    """

    def stock(lhs, rhs):
        return jax.lax.conv_general_dilated(
            lhs, rhs, window_strides, padding, **options
        )

    dilations = (*(options.get("lhs_dilation") or ()),)
    dilations += (*(options.get("rhs_dilation") or ()),)
    plain = (
        padding == "SAME"
        and lhs.ndim == 4
        and all(d == 1 for d in dilations)
        and options.get("feature_group_count", 1) == 1
        and len(set(window_strides)) == 1
    )
    if not plain or jax.default_backend() != "cpu":
        return stock(lhs, rhs)
    return convolve_same(lhs, rhs, window_strides[0])


def he_normal(key, shape, dtype=jnp.float32, out_sharding=None) -> Array:
    """He initialisation, drawn flat and reshaped.

    The values of `jax.nn.initializers.he_normal`; a 4-D draw costs seconds of compile
    time per shape on CPU, the flat one a tenth.

    Reference:
        He et al. (2015), Delving deep into rectifiers, section 2.2.
    """
    del out_sharding
    std = math.sqrt(2.0 / math.prod(shape[:-1])) / _TRUNCATED_STD
    flat = jax.random.truncated_normal(key, -2, 2, (math.prod(shape),), dtype)
    return std * flat.reshape(shape)


def conv3x3(inputs: int, outputs: int, *, stride: int = 1, rngs: nnx.Rngs) -> nnx.Conv:
    """A 3x3 "SAME" convolution without bias, for use before a normalisation."""
    return _convolution(3, inputs, outputs, stride, rngs)


def conv1x1(inputs: int, outputs: int, *, stride: int = 1, rngs: nnx.Rngs) -> nnx.Conv:
    """A 1x1 convolution without bias: another basis of the channels."""
    return _convolution(1, inputs, outputs, stride, rngs)


def _convolution(taps, inputs, outputs, stride, rngs) -> nnx.Conv:
    return nnx.Conv(
        inputs,
        outputs,
        kernel_size=(taps, taps),
        strides=(stride, stride),
        use_bias=False,
        kernel_init=he_normal,
        conv_general_dilated=conv_general_dilated,
        rngs=rngs,
    )


class GroupNorm(nnx.Module):
    """Group normalisation as one scale and one shift per example and channel.

    The numbers of `nnx.GroupNorm`. Statistics are first taken per channel, over
    contiguous memory, and then averaged in groups; the images are read twice and
    written once.

    Reference:
        Wu and He (2018), Group normalization, section 3.1.
    """

    def __init__(self, channels: int, group_size: int, *, epsilon: float = 1e-6):
        """Create scale 1 and shift 0.

        Args:
            channels: Of the maps.
            group_size: Channels that share their statistics; divides `channels`.
            epsilon: Added to the variance.

        Raises:
            ValueError: If `group_size` does not divide `channels`.
        """
        if channels % group_size:
            raise ValueError(
                f"group_size must divide {channels} channels, got {group_size}."
            )
        self.scale = nnx.Param(jnp.ones(channels))
        self.bias = nnx.Param(jnp.zeros(channels))
        self.group_size = group_size
        self.epsilon = epsilon

    def __call__(self, maps: Maps) -> Maps:
        """Normalise `[batch, height, width, channels]` maps; sums are in float32."""
        wide = at_least_float32(maps)
        mean = self._over_groups(jnp.mean(wide, axis=(1, 2)))
        square = self._over_groups(jnp.mean(jnp.square(wide), axis=(1, 2)))
        variance = jnp.maximum(square - jnp.square(mean), 0)
        factor = self.scale[...] * jax.lax.rsqrt(variance + self.epsilon)
        shift = self.bias[...] - mean * factor
        normalised = wide * factor[:, None, None] + shift[:, None, None]
        return normalised.astype(maps.dtype)

    def _over_groups(self, statistics: Float[Array, "batch channels"]):
        grouped = statistics.reshape(statistics.shape[0], -1, self.group_size)
        mean = jnp.mean(grouped, axis=-1, keepdims=True)
        return jnp.broadcast_to(mean, grouped.shape).reshape(statistics.shape)
