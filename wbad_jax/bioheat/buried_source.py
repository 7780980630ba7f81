"""Skin temperature above a warm sphere in a perfused half-space, exactly.

Tissue fills z > 0 and obeys the steady Pennes equation; at the skin z = 0 heat leaves
as h (T - T_air). The problem is linear, so the excess over the healthy skin depends on
the sphere alone. It tells which tumours are worth a solve.
"""

import functools
import math

import numpy as np
import scipy
from numpy.typing import ArrayLike

from wbad_jax.bioheat.tissue import GLAND, SKIN_HEAT_TRANSFER, Tissue, decay_rate

# exp(-30) = 1e-13: the integrand beyond is below the rounding of the sum.
_EXPONENT_RANGE = 30.0
# Gauss-Legendre resolves J0(l rho) up to rho of 12 depths: 30 * 12 / 2 nodes and spare.
_NUM_NODES = 384
_LARGEST_DEPTHS = 12.0


def sphere_contrast(
    axis_distance: ArrayLike,
    *,
    depth: float,
    radius: float,
    excess_heat: float,
    tissue: Tissue = GLAND,
    heat_transfer: float = SKIN_HEAT_TRANSFER,
) -> np.ndarray:
    """Temperature excess at the skin over a sphere of excess heat.

    dT(rho) = P / (2 pi k) * integral of l J0(l rho) exp(-mu d) / (mu + h / k) dl, with
    mu = sqrt(l^2 + m^2) and P = q 4 pi (m R cosh m R - sinh m R) / m^3, the strength of
    the point source that a sphere equals outside itself in a perfused medium.

    Args:
        axis_distance: Distance on the skin from the point above the centre, metres, any
            shape, at most 12 depths.
        depth: Of the sphere's centre below the skin, metres.
        radius: Of the sphere, metres, at most the depth.
        excess_heat: Heat generated beyond that of the tissue around it, W/m3.
        tissue: The half-space. The sphere has the same conductivity and perfusion.
        heat_transfer: h of the skin, W/m2/K.

    Returns:
        Degrees Celsius, float64, shape of `axis_distance`.

    Raises:
        ValueError: If the sphere breaks the skin, or a distance is out of range.

    Reference:
        Carslaw and Jaeger (1959), Conduction of heat in solids, chapter 14, Green's
        function of the half-space with radiation; Pennes (1948) for the sink.

    Examples:
        >>> from wbad_jax.bioheat import sphere_contrast
        >>> sphere = dict(depth=0.02, radius=0.01, excess_heat=3e4)
        >>> found = sphere_contrast([0.0, 0.02], **sphere)
        >>> found.shape, bool(found[0] > found[1])
        ((2,), True)
    """
    if not 0 < radius <= depth:
        raise ValueError(
            f"sphere_contrast needs 0 < radius <= depth, got radius {radius} m at "
            f"depth {depth} m."
        )
    distance = np.asarray(axis_distance, dtype=np.float64)
    if distance.size and not 0 <= distance.min() <= distance.max() <= (
        _LARGEST_DEPTHS * depth * (1 + 1e-12)
    ):
        raise ValueError(
            f"sphere_contrast needs distances in 0 .. {_LARGEST_DEPTHS:g} depths, got "
            f"{distance.min()} .. {distance.max()} m at depth {depth} m."
        )
    m = decay_rate(tissue)
    largest = _EXPONENT_RANGE / depth
    nodes, weights = _quadrature()
    l = 0.5 * largest * (nodes + 1)  # noqa: E741 - the symbol of the formula
    mu = np.sqrt(l**2 + m**2)
    kernel = l * np.exp(-mu * depth) / (mu + heat_transfer / tissue.conductivity)
    kernel *= 0.5 * largest * weights
    integral = scipy.special.j0(distance[..., None] * l) @ kernel
    strength = excess_heat * _sphere_strength(m, radius)
    return strength / (2 * math.pi * tissue.conductivity) * integral


@functools.cache
def _quadrature() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on [-1, 1]; not at import, for it takes a second."""
    return np.polynomial.legendre.leggauss(_NUM_NODES)


def _sphere_strength(m: float, radius: float) -> float:
    """Watts of the equivalent point source per W/m3 in the sphere."""
    x = m * radius
    return 4 * math.pi * (x * math.cosh(x) - math.sinh(x)) / m**3
