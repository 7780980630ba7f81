"""The gradient of a convolution by its kernel, computed in several ways."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from wbad_jax.models.kernel_gradient import kernel_gradient

_TAPS = 3
_DIMENSIONS = ("NHWC", "HWIO", "NHWC")
# Height and width, inputs, outputs and stride, as in networks on 64 x 64 pixels.
SHAPES = ((32, 32, 32, 1), (16, 64, 64, 1), (8, 128, 128, 1), (32, 32, 64, 2))
# What one of two devices has of a batch of 64.
BATCH = 32


def kernel_calls() -> dict[str, Callable[[], Any]]:
    """Calls named "way, size, inputs, outputs, stride"; one device."""
    calls = {}
    for size, inputs, outputs, stride in SHAPES:
        images, cotangent, kernel = draw(size, inputs, outputs, stride)
        ways = {
            "wbad_jax": functools.partial(
                kernel_gradient, taps=(_TAPS, _TAPS), stride=stride
            ),
            "XLA": functools.partial(by_differentiation, kernel, stride),
            "nine products": functools.partial(nine_products, stride),
        }
        for way, function in ways.items():
            run = functools.partial(jax.jit(function), images, cotangent)
            name = ", ".join(map(str, (way, size, inputs, outputs, stride)))
            calls[name] = functools.partial(_block, run)
    return calls


def gigaflops(name: str, cpu_ms: float) -> float:
    """Operations a CPU-second of a call, in units of 1e9."""
    _, size, inputs, outputs, stride = name.split(", ")
    pixels = BATCH * (int(size) // int(stride)) ** 2
    operations = 2 * _TAPS**2 * pixels * int(inputs) * int(outputs)
    return operations / cpu_ms / 1e6


def _block(run: Callable) -> None:
    jax.block_until_ready(run())


def draw(size: int, inputs: int, outputs: int, stride: int, batch: int = BATCH):
    """Images, a cotangent of their convolution, and a kernel."""
    keys = jax.random.split(jax.random.key(0), 3)
    shapes = (
        (batch, size, size, inputs),
        (batch, size // stride, size // stride, outputs),
        (_TAPS, _TAPS, inputs, outputs),
    )
    return (jax.random.normal(*pair) for pair in zip(keys, shapes, strict=True))


def by_differentiation(kernel, stride: int, images, cotangent):
    """What `jax.grad` of a convolution becomes."""

    def convolve(kernel):
        return jax.lax.conv_general_dilated(
            images, kernel, (stride, stride), "SAME", dimension_numbers=_DIMENSIONS
        )

    return jax.vjp(convolve, kernel)[1](cotangent)[0]


def nine_products(stride: int, images, cotangent):
    """A product of matrices for each tap."""
    size, coarse = images.shape[1], cotangent.shape[1]
    ((before, after),) = jax.lax.padtype_to_pads((size,), (_TAPS,), (stride,), "SAME")
    pads = ((0, 0), (before, after), (before, after), (0, 0))
    padded = jnp.pad(images, pads)
    last = stride * (coarse - 1) + 1
    flat = cotangent.reshape(-1, cotangent.shape[-1])
    taps = [
        padded[:, row : row + last : stride, column : column + last : stride]
        for row in range(_TAPS)
        for column in range(_TAPS)
    ]
    products = [tap.reshape(-1, images.shape[-1]).T @ flat for tap in taps]
    return jnp.stack(products).reshape(_TAPS, _TAPS, -1, cotangent.shape[-1])
