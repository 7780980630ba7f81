"""Drawn patients: possible, reproducible, and as the settings say."""

import jax
import numpy as np
import pytest
from scipy import stats

from tests.bioheat import patients
from wbad_jax.bioheat import anatomy
from wbad_jax.bioheat.anatomy import HealthySettings, draw_twin
from wbad_jax.bioheat.thermograms import check_patient

pytestmark = pytest.mark.fast
NUM = 300


def draw(seed, room=22.0, **settings):
    return draw_twin(np.random.default_rng(seed), room, HealthySettings(**settings))


@pytest.fixture(scope="module")
def drawn():
    return [draw(seed) for seed in range(NUM)]


def equal(one, other):
    return jax.tree.all(jax.tree.map(np.array_equal, one, other))


def strengths(twin):
    return twin.vessels[twin.vessels[:, 3] > 0]


def test_same_seed_gives_the_same_patient():
    assert equal(draw(3), draw(3))
    assert not equal(draw(3), draw(4))


def test_the_room_changes_nothing_else():
    assert equal(
        draw(3, room=20.0)._replace(air=0.0), draw(3, room=25.0)._replace(air=0.0)
    )
    assert draw(3, room=25.0).air == 25.0


def test_patients_are_finite_and_possible(drawn):
    for twin in drawn:
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(twin))
        check_patient(twin, patients.FINE)


def test_all_patients_have_the_same_shapes(drawn):
    """Else each would be compiled anew."""
    shapes = {tuple(map(np.shape, jax.tree.leaves(twin))) for twin in drawn}
    assert len(shapes) == 1
    assert drawn[0].vessels.shape == (anatomy.MAX_POINTS, 4)


def test_left_and_right_have_the_same_law(drawn):
    def values(side):
        return [
            [
                side * (breast.column - twin.body.torso.column),
                breast.row - twin.body.torso.row,
                breast.half_width,
                breast.upper,
                breast.lower,
                breast.projection,
                breast.fat,
                side * breast.nipple_column,
                breast.nipple_row,
                twin.skin.nipples[0 if side < 0 else 1],
                (side * strengths(twin)[:, 0] > 0).sum(),
            ]
            for twin in drawn
            for breast in (twin.body.left if side < 0 else twin.body.right,)
        ]

    for left, right in zip(
        np.transpose(values(-1)), np.transpose(values(1)), strict=True
    ):
        assert stats.ks_2samp(left, right).pvalue > 1e-3
        assert not np.array_equal(left, right)


def test_breasts_are_on_their_sides(drawn):
    for twin in drawn:
        left, right = twin.body.breasts
        assert (left.side, right.side) == (-1, 1)
        assert left.column < twin.body.torso.column < right.column


def test_one_person_resembles_herself_more_than_others(drawn):
    for name in ("half_width", "projection", "fat", "upper"):
        left, right = (
            [float(getattr(twin.body.breasts[i], name)) for twin in drawn]
            for i in (0, 1)
        )
        assert np.corrcoef(left, right)[0, 1] > 0.5
    gland, fat = (
        [float(getattr(twin.tissues, name).perfusion) for twin in drawn]
        for name in ("gland", "fat")
    )
    assert np.corrcoef(gland, fat)[0, 1] > 0.3


def test_sides_are_equal_on_request():
    for seed in range(10):
        body = draw(seed, side_difference=0.0).body
        assert not body.torso.fat_waves[:, 2:].any()
        assert body.left.fat == body.right.fat
    assert draw(0).body.left.fat != draw(0).body.right.fat
    narrow, wide = (
        np.std(
            [
                np.log(twin.body.left.fat / twin.body.right.fat)
                for twin in (draw(seed, side_difference=each) for seed in range(NUM))
            ]
        )
        for each in (0.1, 0.3)
    )
    assert wide == pytest.approx(3 * narrow)
    assert narrow == pytest.approx(0.1 * np.sqrt(2), rel=0.15)


def test_ranges_of_the_settings_are_kept():
    transfer, core = [], []
    for seed in range(NUM):
        twin = draw(seed, heat_transfer=(9.0, 10.0), core_celsius=(36.0, 36.2))
        transfer.append(twin.skin.heat_transfer)
        core.append(twin.core)
    assert stats.kstest(transfer, stats.uniform(9.0, 1.0).cdf).pvalue > 1e-3
    assert stats.kstest(core, stats.uniform(36.0, 0.2).cdf).pvalue > 1e-3


def test_no_vessels_on_request():
    assert not draw(0, vessel_load=0.0, finding_rate=0.0).vessels.any()
    only_findings = strengths(draw(0, vessel_load=0.0, finding_rate=3.0))
    assert len(only_findings) % 60 == 0
    assert len(only_findings) > 0
    inside = anatomy._in_breast(
        draw(0, vessel_load=0.0, finding_rate=3.0).body, only_findings
    )
    assert inside.mean() > 0.5


def test_vessels_are_as_many_and_as_strong_as_asked(drawn):
    def mean_points(**settings):
        return np.mean([len(strengths(draw(seed, **settings))) for seed in range(NUM)])

    once = np.mean([len(strengths(twin)) for twin in drawn])
    # Means of 300 with a relative deviation of about 0.6 each.
    half = mean_points(vessel_load=0.5, finding_rate=0.25)
    assert half == pytest.approx(once / 2, rel=0.2)
    weak = strengths(draw(1, vessel_strength=0.1, finding_rate=0.0))
    weaker = strengths(draw(1, vessel_strength=0.05, finding_rate=0.0))
    np.testing.assert_allclose(weak[:, 3], 2 * weaker[:, 3], rtol=1e-5)
    np.testing.assert_array_equal(weak[:, :3], weaker[:, :3])


def test_veins_of_the_breasts_are_changed_apart():
    plain, none = draw(1), draw(1, breast_vessels=0.0)
    inside = anatomy._in_breast(plain.body, plain.vessels)
    assert 0.05 < inside[plain.vessels[:, 3] > 0].mean() < 0.95
    assert not none.vessels[inside, 3].any()
    np.testing.assert_array_equal(none.vessels[~inside], plain.vessels[~inside])


def test_vessels_lie_under_the_skin(drawn):
    for twin in drawn:
        points = strengths(twin)
        assert (points[:, 2] > 0).all()
        assert (points[:, 2] < 30).all()


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_places_in_a_breast_are_uniform(share):
    rng, breast = np.random.default_rng(0), patients.breast(1)
    places = np.array(
        [anatomy.place_in_breast(rng, breast, share) for _ in range(2000)]
    )
    u = (places[:, 0] - breast.column) / breast.half_width
    v = places[:, 1] - breast.row
    v /= np.where(v < 0, breast.upper, breast.lower)
    # Uniform in each half: the square of the radius is, and so is the angle.
    squared, angle = (u**2 + v**2) / share**2, np.arctan2(v, u)
    assert stats.kstest(squared, stats.uniform.cdf).pvalue > 1e-3
    assert stats.kstest(angle, stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > 1e-3
