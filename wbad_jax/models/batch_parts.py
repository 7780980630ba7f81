"""A batch in parts, so that a convolutional network uses all cores of a CPU.

XLA:CPU of JAX 0.10 runs a convolution on one core, but operations that do not depend on
each other at the same time. Parts of a batch do not.
"""

import os
from collections.abc import Callable

import jax
import jax.numpy as jnp

from wbad_jax.types import Images, Logits

# A part of fewer images would cost more than the other cores save.
_SMALLEST_PART = 16
_MOST_PARTS = 8  # Each part is compiled by itself.


def num_parts(batch: int) -> int:
    """Into how many parts a batch is split: 1 but on a single CPU device."""
    if jax.default_backend() != "cpu" or jax.device_count() > 1:
        return 1
    return max(1, min(os.cpu_count() or 1, batch // _SMALLEST_PART, _MOST_PARTS))


def in_parts(function: Callable[[Images], Logits], images: Images) -> Logits:
    """Applies a function that treats each image by itself to parts of a batch.

    Args:
        function: From images to logits.
        images: `[batch, height, width, channels]`.

    Returns:
        `[batch, classes]`, as `function(images)` up to rounding.
    """
    count = num_parts(images.shape[0])
    if count == 1:
        return function(images)
    parts = jnp.array_split(images, count)
    return jnp.concatenate([function(part) for part in parts])
