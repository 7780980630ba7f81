"""Draws healthy patients: shape, tissues, vessels, cooling of the skin.

Sizes are those of adults, chosen against the outlines of 95 healthy DMR-IR frames
(Silva et al. 2014), and with them the physiological ranges were chosen such that the
statistics of simulated and real frames agree; see `docs/twin.md`.
"""

import dataclasses
import math

import numpy as np
from numpy.typing import ArrayLike

from wbad_jax.bioheat import tissue, vessels
from wbad_jax.bioheat.body_shape import Body, Breast, Torso
from wbad_jax.bioheat.patient import Skin, Tissues, Twin

MAX_POINTS = 8192


@dataclasses.dataclass(frozen=True, kw_only=True)
class HealthySettings:
    """How healthy patients vary.

    Attributes:
        heat_transfer: Range of the skin's heat transfer, W/m2/K.
        core_celsius: Range of core temperature.
        vessel_load: Factor on the number of veins; 1 is what DMR-IR frames show.
        vessel_strength: Factor on their exchange of heat.
        breast_vessels: Further factor inside the outline of the breasts, where veins
            lie under more fat than on the chest.
        finding_rate: Mean number of benign warm findings per breast.
        side_difference: Standard deviation of the relative difference in fat, and
            so in temperature, between the sides.

    Examples:
        >>> from wbad_jax.bioheat import HealthySettings
        >>> HealthySettings(vessel_load=0.5).core_celsius
        (36.5, 37.3)
    """

    heat_transfer: tuple[float, float] = (11.0, 20.0)
    core_celsius: tuple[float, float] = (36.5, 37.3)
    vessel_load: float = 1.0
    vessel_strength: float = 1.0
    breast_vessels: float = 1.0
    finding_rate: float = 0.5
    side_difference: float = 0.15


def draw_twin(
    rng: np.random.Generator, room_celsius: float, settings: HealthySettings
) -> Twin:
    """Draws a healthy patient.

    Args:
        rng: Consumed alike whatever becomes of the patient.
        room_celsius: Temperature of the room she has got used to.
        settings: Of the population.

    Returns:
        The patient; numbers are Python floats or NumPy arrays.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.bioheat import HealthySettings, draw_twin
        >>> draw_twin(np.random.default_rng(0), 22.0, HealthySettings()).air
        22.0
    """
    body = draw_body(rng, settings)
    return Twin(
        body=body,
        tissues=_draw_tissues(rng),
        vessels=_draw_vessels(rng, body, settings),
        skin=_draw_skin(rng, settings),
        air=float(room_celsius),
        core=rng.uniform(*settings.core_celsius),
    )


def draw_body(rng: np.random.Generator, settings: HealthySettings) -> Body:
    """Draws size and shape, with unequal breasts."""
    scale = float(np.clip(rng.normal(1.0, 0.05), 0.87, 1.13))
    column, row = rng.normal(0, 5), rng.normal(38, 9)
    fat = float(np.clip(rng.lognormal(math.log(13.5), 0.35), 5.0, 22.0))
    waves = rng.normal(0, 1, (4, 4)) * _WAVE_AMPLITUDES
    waves[:, 2:] *= settings.side_difference / 0.15
    torso = Torso(
        scale=scale,
        column=column,
        row=row,
        chest=scale * rng.normal(140, 7),
        waist=scale * rng.normal(124, 10),
        muscle=rng.uniform(8.0, 14.0),
        fat=fat,
        skin=rng.uniform(1.2, 2.0),
        fat_waves=waves.astype(np.float32),
    )
    size = np.clip(rng.normal(1.0, 0.13), 0.75, 1.3)
    shape = {
        "distance": rng.uniform(76, 90),
        "half_width": size * rng.uniform(62, 70),
        "upper": size * rng.uniform(75, 100),
        "lower": size * rng.uniform(52, 66),
        "projection": 24 + 40 * size * rng.uniform(0.7, 1.15),
        "sag": rng.uniform(0.1, 0.5) * size,
        "fat": rng.uniform(9.0, 26.0),
    }
    breasts = [_draw_breast(rng, side, torso, shape, settings) for side in (-1, 1)]
    return Body(torso, *breasts)


def _draw_breast(rng, side: int, torso: Torso, shape: dict, settings) -> Breast:
    scale = float(torso.scale)
    distance = shape["distance"] * rng.normal(1, 0.03)
    return Breast(
        side=float(side),
        column=torso.column + side * scale * distance,
        row=torso.row + scale * rng.normal(22, 5),
        half_width=scale * shape["half_width"] * rng.normal(1, 0.03),
        upper=scale * shape["upper"] * rng.normal(1, 0.03),
        lower=scale * shape["lower"] * rng.normal(1, 0.03),
        projection=min(scale * shape["projection"] * rng.normal(1, 0.04), 78.0),
        sag=shape["sag"],
        fat=shape["fat"] * math.exp(rng.normal(0, settings.side_difference)),
        nipple_column=side * rng.normal(0.22, 0.08),
        nipple_row=rng.normal(0.45, 0.1),
    )


# Standard deviations of the waves of the fat's thickness, as shares of the mean: rows
# are frequencies down the body, columns constant, even, and two odd ones across it.
_WAVE_AMPLITUDES = np.array(
    [
        [0.0, 0.40, 0.12, 0.11],
        [0.40, 0.31, 0.12, 0.11],
        [0.31, 0.28, 0.11, 0.11],
        [0.16, 0.16, 0.09, 0.09],
    ]
)


def _draw_tissues(rng: np.random.Generator) -> Tissues:
    """Blood flow varies between persons, together in all tissues and in each."""
    person = math.exp(rng.normal(0, 0.2))

    def vary(kind: tissue.Tissue) -> tissue.Tissue:
        return kind._replace(
            perfusion=float(kind.perfusion) * person * math.exp(rng.normal(0, 0.15)),
            metabolic_heat=float(kind.metabolic_heat) * math.exp(rng.normal(0, 0.1)),
        )

    kinds = (tissue.SKIN, tissue.FAT, tissue.GLAND, tissue.MUSCLE)
    return Tissues(*map(vary, kinds))


def _draw_skin(rng: np.random.Generator, settings: HealthySettings) -> Skin:
    nipples = []
    for _ in range(2):
        # Cooler in most, warmer in some.
        cooler = rng.uniform() < 0.8
        nipples.append(rng.uniform(0.3, 0.9) if cooler else -rng.uniform(0.1, 0.4))
    return Skin(
        heat_transfer=rng.uniform(*settings.heat_transfer),
        fold=rng.uniform(0.5, 0.9),
        armpit=rng.uniform(0.2, 0.6),
        flank=rng.uniform(7.0, 18.0),
        nipples=(nipples[0], nipples[1]),
    )


def _draw_vessels(
    rng: np.random.Generator, body: Body, settings: HealthySettings
) -> np.ndarray:
    """Veins from armpits, collarbones and breastbone; warm findings in the breasts."""
    parts = []
    load = settings.vessel_load * rng.gamma(3.0, 1 / 3.0)
    for breast in body.breasts:
        for column, row, direction in _ORIGINS:
            for _ in range(rng.poisson(load)):
                origin = column, row, direction
                parts.append(_draw_vein(rng, body, breast, origin, settings))
        for _ in range(rng.poisson(settings.finding_rate)):
            parts.append(_draw_benign(rng, breast))
    points = np.concatenate([np.zeros((0, 4)), *parts])[:MAX_POINTS]
    points[:, 3] *= np.where(_in_breast(body, points), settings.breast_vessels, 1.0)
    return vessels.pad_points([points], MAX_POINTS)


def _in_breast(body: Body, points: np.ndarray) -> np.ndarray:
    """Which points lie within the frontal outline of a breast."""
    inside = np.zeros(len(points), bool)
    for breast in body.breasts:
        inside |= squared_radius(breast, points[:, 0], points[:, 1]) < 1
    return inside


def squared_radius(breast: Breast, columns: ArrayLike, rows: ArrayLike) -> np.ndarray:
    """Square of the distance from a breast's centre in semi-axes; 1 on its outline."""
    u = (np.asarray(columns) - breast.column) / breast.half_width
    v = np.asarray(rows) - breast.row
    v = v / np.where(v < 0, breast.upper, breast.lower)
    return u**2 + v**2


# Where veins enter the right of the image: column, row, direction; mm and radians.
_ORIGINS = (
    (125.0, -90.0, 2.4),
    (95.0, -140.0, 1.9),
    (50.0, -140.0, 1.6),
    (20.0, -40.0, 0.8),
    (15.0, 20.0, 0.3),
    (60.0, -20.0, 1.2),
    (120.0, 10.0, 2.9),
)


def _draw_vein(rng, body: Body, breast: Breast, origin, settings) -> np.ndarray:
    torso, side = body.torso, float(breast.side)
    column, row, direction = origin
    angle = direction + rng.normal(0, 0.5)
    return vessels.draw_tree(
        rng,
        float(torso.column) + side * (column + rng.normal(0, 18)) * float(torso.scale),
        float(torso.row) + (row + rng.normal(0, 18)) * float(torso.scale),
        # Directions are written for the right of the image and mirrored for the left.
        angle if side > 0 else math.pi - angle,
        depth_mm=rng.uniform(2.0, 8.0),
        conductance=settings.vessel_strength * rng.lognormal(math.log(1.3), 0.6),
        length_mm=rng.uniform(50, 150),
    )


def _draw_benign(rng: np.random.Generator, breast: Breast) -> np.ndarray:
    column, row = place_in_breast(rng, breast, 0.85)
    return vessels.draw_finding(
        rng,
        column,
        row,
        depth_mm=rng.uniform(4.0, 15.0),
        radius_mm=rng.uniform(7.0, 18.0),
        conductance=rng.uniform(0.01, 0.06),
    )


def place_in_breast(
    rng: np.random.Generator, breast: Breast, share: float
) -> tuple[float, float]:
    """Draws column and row uniformly in the inner `share` of a breast's outline."""
    distance, angle = share * math.sqrt(rng.uniform()), rng.uniform(0, 2 * math.pi)
    u, v = distance * math.cos(angle), distance * math.sin(angle)
    length = float(breast.upper if v < 0 else breast.lower)
    return (
        float(breast.column) + u * float(breast.half_width),
        float(breast.row) + v * length,
    )
