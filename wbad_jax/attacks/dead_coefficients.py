"""Detail coefficients that a denoiser removes, and which of them a ball can revive."""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from wbad_jax.attacks import threat_models, validation
from wbad_jax.attacks.subband_transform import Details, SubbandTransform
from wbad_jax.types import Images

# Thresholds in pixel units: one for all, or for each level, coarsest first, those of
# the horizontal, vertical and diagonal band, broadcastable to the band.
Thresholds = float | Float[Array, ""] | Sequence[Sequence[float | Array]]
# Of the coefficients, all but the approximation.
DETAILS = slice(1, None)


def dead_but_reachable(
    images: Images,
    thresholds: Thresholds,
    epsilon: threat_models.Scalars,
    wavelet: str = "haar",
    level: int = 2,
    *,
    mode: str = "symmetric",
    norm: threat_models.Norm = "linf",
) -> Float[Array, "batch levels 3"]:
    """Share of coefficients that are removed, but could be lifted over the threshold.

    Those with `|w| < threshold <= |w| + epsilon * reach`, `reach` being the dual norm
    of the filter behind w. Where the share is next to none, the exact gradient of the
    denoiser tells all there is; where it is large, other backward passes are needed.
    An upper bound: pixel range and mask are not considered, nor whether coefficients
    can be lifted together.

    Args:
        images: `[batch, height, width, channels]`.
        thresholds: In pixel units: a number, or for each level, coarsest first, three
            numbers or arrays broadcastable to the bands.
        epsilon: Radius in pixel units, scalar or `[batch]`.
        wavelet: PyWavelets name.
        level: Number of levels.
        mode: Boundary mode.
        norm: Of the ball, a member of `threat_models.NORMS`.

    Returns:
        Shares of each band, coarsest level first; horizontal, vertical, diagonal.

    Raises:
        ValueError: If thresholds are not nested as described, or a name is unknown.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.attacks import dead_but_reachable
        >>> flat = jnp.full((1, 8, 8, 1), 0.5)
        >>> print(dead_but_reachable(flat, [[0.1] * 3] * 2, 0.2))
        [[[1. 1. 1.]
          [1. 1. 1.]]]
    """
    validation.check_choice("norm", norm, threat_models.NORMS)
    transform = SubbandTransform(wavelet, mode, level)
    images = jnp.asarray(images)
    details = transform.analyze(images)[DETAILS]
    levels = nested(thresholds, level, images.dtype)
    reach = reach_of(transform, images, norm, epsilon)

    def share(w, threshold, reach):
        return jnp.mean(reachable(jnp.abs(w), threshold, reach), axis=(1, 2, 3))

    shares = map_bands(share, details, levels, reach)
    return jnp.stack([jnp.stack(bands, axis=-1) for bands in shares], axis=1)


def reachable(height: Array, threshold: Array, reach: Array) -> Array:
    """Whether a coefficient is below the threshold, and can be lifted over it."""
    return (height < threshold) & (threshold <= height + reach)


def reach_of(
    transform: SubbandTransform,
    images: Images,
    norm: threat_models.Norm,
    epsilon: threat_models.Scalars,
) -> list[Details]:
    """How far the ball lets each detail coefficient move, alone."""
    radius = threat_models.per_example(epsilon, images)
    reach = transform.reach(images.shape, norm, images.dtype)[DETAILS]
    return map_bands(lambda unit: radius * unit, reach)


def map_bands(f: Callable[..., Array], *levels: Sequence[Any]) -> list[Details]:
    """Applies a function to corresponding bands of lists of levels."""
    return [Details(*map(f, *bands)) for bands in zip(*levels, strict=True)]


def nested(thresholds: Thresholds, level: int, dtype: Any) -> list[Any]:
    """Thresholds as three arrays for each level."""
    if not isinstance(thresholds, Sequence):
        return [(jnp.asarray(thresholds, dtype),) * 3] * level
    if len(thresholds) != level or any(len(bands) != 3 for bands in thresholds):
        raise ValueError(
            f"thresholds must hold three numbers for each of {level} levels, got "
            f"{thresholds}."
        )
    return [tuple(jnp.asarray(t, dtype) for t in bands) for bands in thresholds]
