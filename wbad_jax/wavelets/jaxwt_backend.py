"""The transforms by the jaxwt package: an independent implementation to compare with.

jaxwt transforms the last two axes, folds all others, and knows the boundary modes by
the names of `jax.numpy.pad`. Its own axis argument does not work under `jax.jit`.
"""

from collections.abc import Sequence
from types import ModuleType

import jax
import jax.numpy as jnp

# jaxwt's "constant" pads with zeros; what PyWavelets calls constant is its "edge".
_MODES = {
    "symmetric": "symmetric",
    "reflect": "reflect",
    "zero": "zero",
    "constant": "edge",
    "periodic": "wrap",
}


def analyze(
    images: jax.Array, wavelet: str, mode: str, level: int
) -> tuple[jax.Array, list[tuple[jax.Array, ...]]]:
    """Decomposes images over `level` levels.

    Args:
        images: `[*batch, height, width, channels]`.
        wavelet: Name known to PyWavelets.
        mode: Boundary mode, PyWavelets' name.
        level: Number of levels.

    Returns:
        Approximation, and (horizontal, vertical, diagonal) from coarse to fine.

    Raises:
        ImportError: If jaxwt is not installed.
        ValueError: If jaxwt lacks the mode.
    """
    package = _load(mode)
    folded, lead = _channels_first(images)
    approx, *details = package.wavedec2(folded, wavelet, mode=_MODES[mode], level=level)
    unfolded = [tuple(_channels_last(b, lead) for b in bands) for bands in details]
    return _channels_last(approx, lead), unfolded


def synthesize(coefficients: Sequence, wavelet: str, mode: str) -> jax.Array:
    """Reconstructs images from `[approx, details coarse to fine]`.

    Args:
        coefficients: As returned by `analyze`, in one list.
        wavelet: Name known to PyWavelets.
        mode: Boundary mode of the decomposition.

    Returns:
        Images; those of odd size are larger by one.

    Raises:
        ImportError: If jaxwt is not installed.
        ValueError: If jaxwt lacks the mode.
    """
    package = _load(mode)
    approx, *details = coefficients
    folded, lead = _channels_first(approx)
    levels = [tuple(_channels_first(b)[0] for b in bands) for bands in details]
    return _channels_last(package.waverec2([folded, *levels], wavelet), lead)


def _load(mode: str) -> ModuleType:
    if mode not in _MODES:
        raise ValueError(
            f"Backend 'jaxwt' has no mode {mode!r}, only {', '.join(_MODES)}."
        )
    try:
        import jaxwt  # Only here: the default backend must not need it.
    except ImportError as error:
        raise ImportError(
            "Backend 'jaxwt' needs the jaxwt package: pip install jaxwt."
        ) from error
    return jaxwt


def _channels_first(x: jax.Array) -> tuple[jax.Array, tuple[int, ...]]:
    """Moves channels ahead of height and width, and folds them into the batch."""
    moved = jnp.moveaxis(x, -1, -3)
    return moved.reshape(-1, *moved.shape[-2:]), moved.shape[:-2]


def _channels_last(x: jax.Array, lead: tuple[int, ...]) -> jax.Array:
    return jnp.moveaxis(x.reshape(*lead, *x.shape[-2:]), -3, -1)
