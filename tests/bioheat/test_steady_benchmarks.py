"""Steady bodies against closed forms and the contrast table of the fact base."""

import dataclasses
import functools

import numpy as np
import pytest

from tests.bioheat.bodies import Tumour, above_axis, slab, sphere, steady, surroundings
from tests.bioheat.reference_solutions import (
    FOUR,
    GLAND_SLAB,
    SIX,
    homogeneous_sphere,
    layered_slab,
)
from wbad_jax.bioheat.buried_source import sphere_contrast
from wbad_jax.bioheat.tissue import gautherie_heat

GLAND = GLAND_SLAB[0]
DEEP_GLAND = (dataclasses.replace(GLAND, thickness=0.08),)


def slab_error(layers, spacing, *outside, **settings):
    skin, _ = steady(slab(layers, spacing=spacing), surroundings(*outside), **settings)
    assert np.ptp(skin) < 1e-3
    return float(skin.mean()) - layered_slab(layers, *outside).skin_celsius


@pytest.mark.fast
@pytest.mark.parametrize(
    ("layers", "spacing", "outside", "limit"),
    [
        (FOUR, 1e-3, (10.0, 21.0), 2e-3),
        (FOUR, 1e-3, (13.5, 21.0), 2e-3),
        (FOUR, 1e-3, (5.0, 25.0), 2e-3),
        (FOUR, 1e-3, (10.0, 21.0, 36.5), 2e-3),
        # Interfaces anywhere in the cells.
        (FOUR, 2e-3, (10.0, 21.0), 0.02),
        (FOUR, 3e-3, (10.0, 21.0), 0.02),
        (SIX, 1e-3, (10.0, 21.0), 5e-3),
        (GLAND_SLAB, 1e-3, (10.0, 21.0), 4e-3),
    ],
)
def test_layered_slab(layers, spacing, outside, limit):
    assert abs(slab_error(layers, spacing, *outside)) < limit


@pytest.mark.usefixtures("enable_x64")
def test_homogeneous_slab_is_of_second_order():
    errors = [
        abs(slab_error(GLAND_SLAB, spacing, 10.0, 21.0, tolerance=1e-10))
        for spacing in (5e-3, 2.5e-3, 1.25e-3)
    ]
    assert errors[0] / errors[1] > 3.7
    assert errors[1] / errors[2] > 3.7
    assert errors[2] < 4e-3


@functools.cache
def sphere_error(spacing):
    """Largest error of the skin in view of the camera, and inside, in degrees."""
    radius = 0.07
    exact = homogeneous_sphere(radius, GLAND, 10.0, 21.0)
    skin, theta = steady(sphere(GLAND, radius=radius, spacing=spacing), surroundings())
    x = (np.arange(len(skin)) + 0.5 - len(skin) / 2) * spacing
    across = np.hypot(x[:, None], x)
    # Up to 64 degrees from the axis, beyond which pixels are mostly edge.
    seen = skin[across < 0.9 * radius]
    r = np.hypot(x[:, None, None], across)
    inside = r < radius - spacing
    return (
        np.abs(seen - exact(radius)).max(),
        np.abs(theta + 37 - exact(r))[inside].max(),
    )


@pytest.mark.parametrize(
    "spacing", [1.5e-3, pytest.param(1e-3, marks=pytest.mark.slow)]
)
def test_sphere(spacing):
    skin, inside = sphere_error(spacing)
    assert skin < 0.01  # asked for: 0.05
    assert inside < 0.01


def test_sphere_is_of_second_order():
    errors = [sphere_error(spacing) for spacing in (6e-3, 3e-3, 1.5e-3)]
    ratios = np.divide(errors[:-1], errors[1:])
    assert ratios.min() > 3.0  # asked for: 1.8


@functools.cache
def buried_sphere(spacing):
    """Relative errors above the axis and 10 and 20 mm beside it."""
    lateral = round(0.096 / spacing)
    own = Tumour(0.01, 0.02, GLAND.perfusion, GLAND.metabolic_heat + 1e4)
    settings = {"spacing": spacing, "lateral": lateral}
    warm, _ = steady(slab(DEEP_GLAND, tumour=own, **settings), surroundings())
    healthy, _ = steady(slab(DEEP_GLAND, **settings), surroundings())
    x = (np.arange(lateral) + 0.5) * spacing
    beside = [round(0.01 / spacing), round(0.02 / spacing)]
    exact = sphere_contrast(
        np.hypot(x[beside], x[0]), depth=0.02, radius=0.005, excess_heat=1e4
    )
    measured = (warm - healthy)[0, beside]
    return np.array([above_axis(warm - healthy) / 0.019150, *(measured / exact)]) - 1


@pytest.mark.usefixtures("enable_x64")
def test_buried_sphere():
    assert np.abs(buried_sphere(1e-3)).max() < 0.01  # asked for: 0.03


@pytest.mark.usefixtures("enable_x64")
def test_buried_sphere_is_of_second_order():
    # The ball fills 2.5, 5 and 10 cells.
    errors = [abs(buried_sphere(spacing)[0]) for spacing in (4e-3, 2e-3, 1e-3)]
    assert errors[0] / errors[1] > 3.5
    assert errors[1] / errors[2] > 3.5


# Peak in degrees and width at half of it in mm by axisymmetric finite volumes of 0.5 mm
# over FOUR; diameter in mm, perfusion, and depths of 10, 15, 20, 25, 30, 40 mm.
DEPTHS = (10, 15, 20, 25, 30, 40)
TABLE = {
    (5, 0.0063): "0.101/21 0.042/27 0.020/33 0.010/38 0.006/42 0.002/50",
    (10, 0.0063): "- 0.270/27 0.128/33 0.066/38 0.036/42 0.012/50",
    (15, 0.0063): "- 0.355/26 0.144/32 0.063/37 0.029/42 0.007/50",
    (20, 0.0063): "- - 0.270/31 0.112/36 0.048/41 0.010/49",
    (30, 0.0063): "- - - 0.343/34 0.142/39 0.026/47",
    (15, 0.0125): "- 0.442/26 0.171/32 0.069/37 0.029/41 0.006/49",
    (30, 0.0125): "- - - 0.414/34 0.165/38 0.025/46",
    (30, 0.00054): "- - - 0.177/38 0.104/42 0.038/50",
}
ENTRIES = [
    (diameter, perfusion, depth, *map(float, entry.split("/")))
    for (diameter, perfusion), row in TABLE.items()
    for depth, entry in zip(DEPTHS, row.split(), strict=True)
    if entry != "-"
]
QUICK = {(10, 0.0063, 15), (20, 0.0063, 20), (30, 0.00054, 25), (5, 0.0063, 10)}


@functools.cache
def healthy_skin(lateral, outside):
    return steady(slab(spacing=1e-3, lateral=lateral), surroundings(*outside))[0]


def contrast(lateral, diameter, perfusion, depth, *, heat=None, outside=()):
    """On the quarter of the skin beside a tumour."""
    heat = gautherie_heat(diameter * 1e-3) if heat is None else heat
    tumour = Tumour(diameter * 1e-3, depth * 1e-3, perfusion, heat)
    body = slab(spacing=1e-3, lateral=lateral, tumour=tumour)
    skin, _ = steady(body, surroundings(*outside))
    return skin - healthy_skin(lateral, outside)


def half_width(excess):
    """Full width at half maximum, mm, from the row beside the axis."""
    r = np.hypot(np.arange(len(excess)) + 0.5, 0.5)
    below = int(np.argmax(excess[0] < above_axis(excess) / 2))
    last = slice(below, below - 2, -1)
    return 2 * np.interp(above_axis(excess) / 2, excess[0][last], r[last])


@pytest.mark.parametrize(
    ("diameter", "perfusion", "depth", "peak", "width"),
    [
        pytest.param(*entry, marks=[] if entry[:3] in QUICK else [pytest.mark.slow])
        for entry in ENTRIES
    ],
)
def test_contrast_table(diameter, perfusion, depth, peak, width):
    # A quarter of 64 mm sees all of a shallow tumour's warmth.
    lateral = 64 if (diameter, perfusion, depth) in QUICK else 104
    excess = contrast(lateral, diameter, perfusion, depth)
    # The table has three decimals.
    assert above_axis(excess) == pytest.approx(peak, rel=0.1, abs=0.0006)
    assert half_width(excess) == pytest.approx(width, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("depth", "heat", "outside", "peak"),
    [
        (20, 5000.0, (13.5, 21.0), 0.275),
        (30, 5000.0, (13.5, 21.0), 0.044),
        (20, None, (5.0, 25.0), 0.142),
    ],
)
def test_contrast_in_other_surroundings(depth, heat, outside, peak):
    excess = contrast(104, 20, 0.0063, depth, heat=heat, outside=outside)
    assert above_axis(excess) == pytest.approx(peak, rel=0.1)
