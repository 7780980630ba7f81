"""Where to begin with a tumour: tried on a grid of places, judged to first order."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from wbad_jax.bioheat.body_shape import Breast
from wbad_jax.bioheat.gauss_newton import Estimate
from wbad_jax.bioheat.unknowns import TUMOUR_NAMES, Gaussian, in_breast

_SPACING_MM = 20.0
# Cover at which a tumour is tried, in standard deviations of its prior.
_COVER = -0.3
# Factors on the heat of the prior's mean.
_AMPLITUDES = (0.2, 5.0)
_COVER_INDEX, _HEAT_INDEX = map(TUMOUR_NAMES.index, ("log_cover", "log_heat"))


def search_grid(
    law: Gaussian, breasts: Sequence[Breast], margin: float
) -> Iterator[tuple[np.ndarray, Gaussian]]:
    """Tumours to try, each with the prior of the breast that it is in.

    Args:
        law: Of tumours, see `unknowns.priors`.
        breasts: Where they may be.
        margin: Share of a breast's outline that they lie within.

    Yields:
        Unknowns of a tumour, and their prior.
    """
    for breast in breasts:
        prior = in_breast(law, breast, margin)
        spread = np.sqrt(np.diag(prior.covariance))
        reach = 2 * spread[:2]
        most = np.ceil(reach / _SPACING_MM).astype(int)
        for steps in np.ndindex(*(2 * most + 1)):
            shift = (np.array(steps) - most) * _SPACING_MM
            if np.hypot(*(shift / reach)) > 1.1:
                continue
            values = prior.mean.copy()
            values[:2] += shift
            values[_COVER_INDEX] += _COVER * spread[_COVER_INDEX]
            yield values, prior


def best_tumours(
    residual: np.ndarray,
    excess: Callable[[np.ndarray], np.ndarray],
    healthy: Estimate,
    tumours: Iterable[tuple[np.ndarray, Gaussian]],
    count: int,
) -> list[tuple[np.ndarray, Gaussian]]:
    """The tumours that would lower the residual of the healthy fit the most.

    Each is scaled freely, as its excess is nearly proportional to its heat, and all
    unknowns of the patient move with it, to first order.

    Args:
        residual: Whitened, observed less healthy prediction.
        excess: From unknowns of a tumour to the whitened change of the picture.
        healthy: The fit without tumour.
        tumours: To choose from, of `search_grid`.
        count: How many to return at the most; they lie apart.

    Returns:
        Tumours with their heat scaled, and their priors, best first.
    """
    explained = healthy.jacobian @ np.linalg.cholesky(healthy.covariance)
    found = []
    for values, prior in tumours:
        shape = excess(values)
        inner = explained.T @ shape
        free = max(float(shape @ shape - inner @ inner), 1e-12)
        along = float(shape @ residual)
        amplitude = float(np.clip(along / free, *_AMPLITUDES))
        gain = 2 * amplitude * along - amplitude**2 * free
        if math.isfinite(gain):
            start = values.copy()
            start[_HEAT_INDEX] += math.log(amplitude)
            found.append((gain, start, prior))
    chosen: list[tuple[np.ndarray, Gaussian]] = []
    for _, start, prior in sorted(found, key=lambda each: -each[0]):
        apart = [np.hypot(*(start - other)[:2]) for other, _ in chosen]
        if all(distance > 1.5 * _SPACING_MM for distance in apart):
            chosen.append((start, prior))
    return chosen[:count]
