"""Properties of cells and links against integrals along lines."""

import jax.numpy as jnp
import numpy as np
import pytest

from tests.bioheat.bodies import Tumour, slab
from tests.bioheat.reference_solutions import BLOOD_HEAT, FOUR
from wbad_jax.bioheat.medium import Region, tissue_medium
from wbad_jax.bioheat.tissue import FAT, GLAND, MUSCLE, SKIN, TUMOUR

pytestmark = [pytest.mark.fast, pytest.mark.usefixtures("enable_x64")]

# Thinner layers than FOUR's do not resolve; here most boundaries pass through cells.
SPACING = 1.3e-3
EDGES = np.cumsum([0.0, *(layer.thickness for layer in FOUR)])


def mean_over(start, end, value):
    """Mean of a property of FOUR between two heights; tissue goes on outside."""
    x = np.linspace(start, end, 20001)
    layer = np.searchsorted(EDGES[1:-1], x)
    return np.array([value(layer) for layer in FOUR])[layer].mean()


def test_flat_layers_are_averaged_exactly():
    medium = slab(spacing=SPACING).medium
    z = np.arange(medium.heat.shape[0]) * SPACING

    def expected(value, shift=0.0):
        return [mean_over(a + shift, a + SPACING + shift, value) for a in z]

    def column(values):
        return np.asarray(values)[:, 1, 0]

    # From centre to centre along z, the resistances of the layers in between add up.
    across = expected(lambda layer: 1 / layer.conductivity, SPACING / 2)
    np.testing.assert_allclose(
        column(medium.resistivity[0])[:-1], across[:-1], rtol=1e-3
    )
    # Sideways heat has the choice of the better conductor.
    along = expected(lambda layer: layer.conductivity)
    for axis in (1, 2):
        np.testing.assert_allclose(
            column(medium.resistivity[axis]), 1 / np.array(along), rtol=1e-3
        )
    heat = expected(lambda layer: layer.metabolic_heat)
    np.testing.assert_allclose(column(medium.heat), heat, rtol=1e-3)
    blood = expected(lambda layer: layer.perfusion * BLOOD_HEAT)
    np.testing.assert_allclose(column(medium.perfusion), blood, rtol=1e-3)
    capacity = expected(lambda layer: layer.density * layer.specific_heat)
    np.testing.assert_allclose(column(medium.capacity), capacity, rtol=1e-3)
    base = medium.base_resistivity
    np.testing.assert_allclose(base, 1 / FOUR[0].conductivity, rtol=1e-12)


@pytest.mark.parametrize("spacing", [0.7e-3, 1.3e-3, 3.1e-3])
def test_resistance_from_the_skin_to_the_outermost_centre(spacing):
    body = slab(spacing=spacing)
    centre = (body.medium.heat.shape[0] - 0.5) * spacing
    exact = (EDGES[-1] - centre) * mean_over(
        centre, EDGES[-1], lambda layer: 1 / layer.conductivity
    )
    np.testing.assert_allclose(body.medium.skin_resistance[-1], exact, rtol=1e-3)


def compose(regions, shape=(8, 6, 6), skin_thickness=0.0, extra_perfusion=0.0):
    depth = jnp.broadcast_to(
        shape[0] - 0.5 - jnp.arange(shape[0])[:, None, None], shape
    )
    return tissue_medium(
        depth,
        background=FAT,
        regions=regions,
        skin=SKIN,
        skin_thickness=skin_thickness,
        extra_perfusion=extra_perfusion,
        spacing=1e-3,
    )


def test_later_regions_lie_over_earlier_ones_and_the_skin():
    everywhere, nowhere = jnp.full((8, 6, 6), 9.0), jnp.full((8, 6, 6), -9.0)
    regions = [Region(everywhere, GLAND), Region(nowhere, TUMOUR)]
    assert (compose(regions).perfusion == GLAND.perfusion * BLOOD_HEAT).all()
    regions.append(Region(everywhere, MUSCLE))
    medium = compose(regions, skin_thickness=2.0)
    assert (medium.perfusion == MUSCLE.perfusion * BLOOD_HEAT).all()
    bare = compose([], skin_thickness=2.0)
    np.testing.assert_allclose(bare.heat[-2:], SKIN.metabolic_heat)
    np.testing.assert_allclose(bare.heat[:-2], FAT.metabolic_heat)


def test_vessels_add_blood_and_nothing_else():
    extra = jnp.asarray(np.random.default_rng(0).uniform(0, 1e5, (8, 6, 6)))
    with_vessels, without = compose([], extra_perfusion=extra), compose([])
    np.testing.assert_allclose(with_vessels.perfusion, without.perfusion + extra)
    assert (with_vessels.heat == without.heat).all()


@pytest.mark.parametrize("diameter", [2e-3, 5e-3, 10e-3])
@pytest.mark.parametrize("depth", [0.0137, 0.02])
def test_a_ball_of_known_volume_generates_its_heat(diameter, depth):
    heat = 5e4
    # All other properties are the gland's; only a quarter is on the grid.
    tumour = Tumour(diameter, depth, FOUR[1].perfusion, FOUR[1].metabolic_heat + heat)
    body = slab(spacing=1e-3, lateral=12, tumour=tumour)
    healthy = slab(spacing=1e-3, lateral=12)
    excess = np.asarray(body.medium.heat) - np.asarray(healthy.medium.heat)
    total = (excess * np.asarray(body.cells.volume)).sum() * 1e-9
    assert total == pytest.approx(heat * np.pi / 6 * diameter**3 / 4, rel=1e-9)


def test_a_ball_of_unknown_volume_is_counted_nearly_right():
    x = np.arange(20) - 9.3
    radius = 8.0
    level = radius - np.sqrt(sum(np.square(np.meshgrid(x, x, x))))
    perfusion = compose([Region(jnp.asarray(level), TUMOUR)], level.shape).perfusion
    share = (perfusion / BLOOD_HEAT - FAT.perfusion) / (
        TUMOUR.perfusion - FAT.perfusion
    )
    # The ramp is straight: a ball comes out large by order 1 / radius squared.
    assert share.sum() == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.015)


def centroid(region, shape):
    share = np.asarray(compose([region], shape).perfusion) / BLOOD_HEAT - FAT.perfusion
    place = np.meshgrid(*map(np.arange, shape), indexing="ij")
    return np.array([(share * axis).sum() / share.sum() for axis in place])


def test_a_ball_is_where_it_is_said_to_be():
    """Of two cells across: slopes to one side only would shift it by 0.06 cells."""
    rng = np.random.default_rng(0)
    place = np.meshgrid(*3 * [np.arange(12)], indexing="ij")
    shifts = []
    for _ in range(50):
        centre = rng.uniform(4, 7, 3)
        level = 1.0 - np.sqrt(
            sum((axis - c) ** 2 for axis, c in zip(place, centre, strict=True))
        )
        shifts.append(
            centroid(Region(jnp.asarray(level), TUMOUR), level.shape) - centre
        )
    assert np.abs(np.mean(shifts, axis=0)).max() < 0.02
    assert np.abs(shifts).max() < 0.2


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_mirrored_tissues_give_the_mirrored_medium(axis):
    rng = np.random.default_rng(0)
    place = np.meshgrid(*3 * [np.arange(10)], indexing="ij")
    level = 3.0 - np.sqrt(
        sum((x - c) ** 2 for x, c in zip(place, (4.3, 5.2, 3.7), strict=True))
    )
    depth = 4.0 - 0.5 * place[1] + rng.normal(0, 0.1, level.shape)

    def made(depth, level):
        return tissue_medium(
            jnp.asarray(depth),
            background=FAT,
            regions=[Region(jnp.asarray(level), TUMOUR)],
            skin=SKIN,
            skin_thickness=0.7,
            extra_perfusion=0.0,
            spacing=1e-3,
        )

    one, mirror = made(depth, level), made(np.flip(depth, axis), np.flip(level, axis))
    for name in ("perfusion", "heat", "capacity", "skin_resistance"):
        expected = np.flip(getattr(one, name), axis)
        np.testing.assert_allclose(getattr(mirror, name), expected, rtol=1e-9)
    for link in range(3):
        found = np.asarray(mirror.resistivity[link])
        expected = np.flip(one.resistivity[link], axis)
        if link == axis:
            # From each cell to the next: in the mirror, from the next to each.
            found, expected = (np.delete(found, -1, axis), np.delete(expected, 0, axis))
        np.testing.assert_allclose(found, expected, rtol=1e-9)
