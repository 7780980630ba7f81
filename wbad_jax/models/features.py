"""DWT feature images: the subbands of an image, stacked as channels.

The map is linear and, for orthogonal wavelets in mode "periodization" on sizes
divisible by `2**level`, loses nothing: the network sees the whole image, at
`1 / 2**level` of its resolution and with scales already separated.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from wbad_jax import wavelets
from wbad_jax.types import Images

FeatureImages = Float[Array, "batch height width channels"]


def feature_images(
    images: Images,
    *,
    wavelet: str = "haar",
    mode: str = "periodization",
    level: int = 2,
    mirrored: bool = True,
) -> FeatureImages:
    """Stack the subbands of `level` levels as channels.

    Finer subbands are folded (space to depth) to the size of the coarsest, so channels
    number `inputs * 4**level`. Subbands are divided by `2**level`, which brings the
    approximation back to the range of the image.

    Args:
        images: `[batch, height, width, inputs]`.
        wavelet: PyWavelets name.
        mode: Boundary mode.
        level: Number of decomposition levels, at least 1.
        mirrored: Whether to add, as further input channels, the difference to the
            image mirrored left to right: the comparison with the opposite breast.

    Returns:
        `[batch, about height / 2**level, about width / 2**level, channels]`, with
        twice as many channels if `mirrored`.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.models import feature_images
        >>> feature_images(jnp.ones((1, 16, 16, 1)), level=2).shape
        (1, 4, 4, 32)
    """
    if mirrored:
        difference = images - images[:, :, ::-1]
        images = jnp.concatenate([images, difference], axis=-1)
    approx, *details = wavelets.wavedec2(images, wavelet, mode, level)
    stacked = [approx]
    for depth, subbands in enumerate(details):
        stacked += [
            _space_to_depth(subband, approx.shape[1:3], 2**depth)
            for subband in subbands
        ]
    return jnp.concatenate(stacked, axis=-1) / 2**level


def num_features(inputs: int, level: int, mirrored: bool) -> int:
    """Channels that `feature_images` returns.

    Examples:
        >>> from wbad_jax.models import num_features
        >>> num_features(1, level=2, mirrored=True)
        32
    """
    return inputs * (2 if mirrored else 1) * 4**level


def _space_to_depth(subband: Array, size: tuple[int, ...], factor: int) -> Array:
    """Fold `factor x factor` neighbours into channels, padded to `size * factor`."""
    batch, height, width, channels = subband.shape
    rows, columns = size
    missing = (rows * factor - height, columns * factor - width)
    # Boundary modes other than periodization lengthen subbands: coarse ones relative
    # to fine ones, hence zeros here and never a crop.
    padded = jnp.pad(subband, ((0, 0), (0, missing[0]), (0, missing[1]), (0, 0)))
    blocks = padded.reshape(batch, rows, factor, columns, factor, channels)
    blocks = blocks.transpose(0, 1, 3, 2, 4, 5)
    return blocks.reshape(batch, rows, columns, factor * factor * channels)
