"""Numbers by name that tell where trained thresholds stand."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

ORIENTATIONS = ("horizontal", "vertical", "diagonal")
QUANTILES = (0.1, 0.5, 0.9)
# A threshold below this share of its start is called collapsed: it removes nothing.
COLLAPSED = 0.01


def summarise_thresholds(
    thresholds: Float[Array, "*images levels 3 channels"], start: float
) -> dict[str, jax.Array]:
    """Thresholds by name, and the share of those that have collapsed. Pure; jit it.

    Args:
        thresholds: Multiples of sigma, coarsest level first; of a set of images where
            they depend on the image.
        start: Where each of them began.

    Returns:
        `threshold/level1/horizontal` and so on, level 1 being the finest, and with
        more than one channel `threshold/level1/horizontal/channel0`. Of a set of
        images these are means, and `.../quantile10`, 50 and 90 stand beside them.
        `threshold/collapsed` is the share below a hundredth of the start.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.denoise import summarise_thresholds
        >>> summary = summarise_thresholds(jnp.ones((2, 2, 3, 1)), 1.0)
        >>> sorted(summary)[:2]
        ['threshold/collapsed', 'threshold/level1/diagonal']
    """
    summary = {"threshold/collapsed": jnp.mean(thresholds < COLLAPSED * start)}
    images = tuple(range(thresholds.ndim - 3))
    levels, _, channels = thresholds.shape[-3:]
    for level in range(levels):
        for place, orientation in enumerate(ORIENTATIONS):
            for channel in range(channels):
                name = f"threshold/level{levels - level}/{orientation}"
                if channels > 1:
                    name += f"/channel{channel}"
                values = thresholds[..., level, place, channel]
                summary[name] = jnp.mean(values)
                if images:
                    summary |= _quantiles(name, values)
    return summary


def _quantiles(name: str, values: jax.Array) -> dict[str, jax.Array]:
    found = jnp.quantile(values, jnp.asarray(QUANTILES))
    names = [f"{name}/quantile{round(100 * share)}" for share in QUANTILES]
    return dict(zip(names, found, strict=True))
