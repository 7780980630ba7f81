"""Draws tumours: size, depth, metabolic heat, blood flow, and vessels of their own.

Two priors for the heat. "weak" is Gautherie's relation to the diameter; it warms the
skin by hundredths to tenths of a degree. "strong" is the range that Lozano et al. found
by fitting a patient's own thermogram, ten to a hundred times as much, truncated to
tumours whose peak at the skin is within the settings' limits; one degree is the rule of
thumb by which readers call a difference suspicious.
"""

import dataclasses
import math

import numpy as np

from wbad_jax.bioheat import anatomy, tissue, vessels
from wbad_jax.bioheat.body_shape import Breast
from wbad_jax.bioheat.buried_source import sphere_contrast
from wbad_jax.bioheat.patient import Tumour, Twin
from wbad_jax.bioheat.tissue import Tissue

PRIORS = ("strong", "weak", "mixture")
MAX_POINTS = 1024
_MILLIMETRE = 1e-3
_MOST_DRAWS = 1000
# The half-space estimate of the peak is within this factor of the solved one nearly
# always; draws outside are not worth a solve.
_ESTIMATE_FACTOR = 1.7


@dataclasses.dataclass(frozen=True, kw_only=True)
class TumourSettings:
    """The law of tumours.

    Attributes:
        prior: Of the metabolic heat: "strong", "weak", or "mixture", half of each.
        contrast_celsius: Limits of the peak warming of the skin, for "strong".
        diameter_mm: Range, drawn uniformly.
        cover_mm: Range of the least tissue between tumour and skin.
        perfusion: Range of its blood flow, 1/s.
        vessel_share: Share of tumours that draw veins of their own.
        margin: Tumours lie within this share of the breast's outline.

    Examples:
        >>> from wbad_jax.bioheat import TumourSettings
        >>> TumourSettings(prior="weak").diameter_mm
        (10.0, 30.0)
    """

    prior: str = "strong"
    contrast_celsius: tuple[float, float] = (1.0, 5.0)
    diameter_mm: tuple[float, float] = (10.0, 30.0)
    cover_mm: tuple[float, float] = (3.0, 25.0)
    perfusion: tuple[float, float] = (0.003, 0.0125)
    vessel_share: float = 0.4
    margin: float = 0.8

    def __post_init__(self):
        if self.prior not in PRIORS:
            raise ValueError(f"prior must be one of {PRIORS}, got {self.prior!r}.")
        for name in ("contrast_celsius", "diameter_mm", "cover_mm", "perfusion"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name} needs 0 < low <= high, got {low} .. {high}.")
        for name in ("vessel_share", "margin"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in 0..1, got {getattr(self, name)}.")


def draw_strength(rng: np.random.Generator, settings: TumourSettings) -> str:
    """Draws which of the two heats a patient's tumour has: "strong" or "weak"."""
    if settings.prior == "mixture":
        return str(rng.choice(("strong", "weak")))
    return settings.prior


def draw_tumour(
    rng: np.random.Generator, twin: Twin, strength: str, settings: TumourSettings
) -> Tumour:
    """Draws one tumour that fits into a breast.

    Args:
        rng: Source of the draws.
        twin: The patient.
        strength: Of `draw_strength`.
        settings: The law.

    Returns:
        A tumour; for "strong" its peak at the skin is near the limits or within, by the
        estimate of a half-space, and has to be checked after the solve.

    Raises:
        ValueError: If none of a thousand draws fits.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.bioheat import CohortSettings, TumourSettings
        >>> from wbad_jax.bioheat import draw_healthy, draw_tumour
        >>> twin, _ = draw_healthy(7, CohortSettings())
        >>> rng = np.random.default_rng(0)
        >>> tumour = draw_tumour(rng, twin, "weak", TumourSettings())
        >>> tumour.depth > 0
        True
    """
    for _ in range(_MOST_DRAWS):
        breast = twin.body.breasts[rng.integers(2)]
        column, row = anatomy.place_in_breast(rng, breast, settings.margin)
        diameter = rng.uniform(*settings.diameter_mm)
        depth = diameter / 2 + rng.uniform(*settings.cover_mm)
        kind = _draw_tissue(rng, diameter, strength, settings)
        # Drawn whether or not they are kept: a rejected draw must not shift the others.
        own_vessels = _draw_vessels(rng, breast, column, row, settings)
        if not _fits(twin, breast, column, row, depth + diameter / 2):
            continue
        if strength == "strong" and not _promising(depth, diameter, kind, settings):
            continue
        return Tumour(column, row, depth, diameter, kind, own_vessels)
    raise ValueError(
        f"No tumour of {settings.diameter_mm} mm under {settings.cover_mm} mm of "
        f"tissue warms a breast of {float(twin.body.left.projection):.0f} mm by "
        f"{settings.contrast_celsius} degrees."
    )


def _draw_tissue(rng, diameter: float, strength: str, settings) -> Tissue:
    low, high = tissue.LOZANO_TUMOUR_HEAT
    heat = math.exp(rng.uniform(math.log(low), math.log(high)))
    if strength == "weak":
        heat = tissue.gautherie_heat(diameter * _MILLIMETRE)
    return tissue.TUMOUR._replace(
        conductivity=rng.uniform(0.48, 0.62),
        perfusion=rng.uniform(*settings.perfusion),
        metabolic_heat=heat,
    )


def _draw_vessels(rng, breast: Breast, column: float, row: float, settings):
    """Veins that leave the tumour, in a share of cases."""
    parts = []
    for _ in range(rng.integers(1, 4)):
        tree = vessels.draw_tree(
            rng,
            column,
            row,
            rng.uniform(0, 2 * math.pi),
            depth_mm=rng.uniform(3.0, 8.0),
            conductance=rng.lognormal(math.log(0.5), 0.5),
            length_mm=rng.uniform(30, 80),
        )
        parts.append(tree)
    keep = rng.uniform() < settings.vessel_share
    return vessels.pad_points([np.concatenate(parts)] if keep else [], MAX_POINTS)


def _fits(twin: Twin, breast: Breast, column: float, row: float, lowest: float) -> bool:
    """Whether the breast is thick enough there for the tumour's lowest point."""
    inside = 1 - float(anatomy.squared_radius(breast, column, row))
    if inside <= 0:
        return False
    thickness = float(breast.projection) * math.sqrt(inside)
    slope = 1 / math.sqrt(inside)  # the depth is measured across a slanted skin
    return thickness - lowest * slope > float(twin.body.torso.muscle) / 2


def _promising(depth: float, diameter: float, kind: Tissue, settings) -> bool:
    peak = sphere_contrast(
        0.0,
        depth=depth * _MILLIMETRE,
        radius=diameter / 2 * _MILLIMETRE,
        excess_heat=float(kind.metabolic_heat) - float(tissue.GLAND.metabolic_heat),
    )
    low, high = settings.contrast_celsius
    return low / _ESTIMATE_FACTOR < float(peak) < high * _ESTIMATE_FACTOR
