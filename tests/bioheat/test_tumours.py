"""The law of tumours."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from tests.bioheat import patients
from wbad_jax.bioheat import tissue, tumours
from wbad_jax.bioheat.thermograms import check_tumour
from wbad_jax.bioheat.tumours import TumourSettings, draw_strength, draw_tumour

pytestmark = pytest.mark.fast
NUM = 400


def draw(number=NUM, strength="strong", patient=None, **settings):
    rng = np.random.default_rng(0)
    law = TumourSettings(**settings)
    patient = patient or patients.twin()
    return [draw_tumour(rng, patient, strength, law) for _ in range(number)]


@pytest.fixture(scope="module")
def strong():
    return draw()


@pytest.fixture(scope="module")
def weak():
    return draw(strength="weak")


def values(found, name):
    return np.array([float(getattr(each, name)) for each in found])


@pytest.mark.parametrize("law", ["strong", "weak"])
def test_tumours_keep_the_ranges_and_fit_into_a_breast(law, request):
    settings = TumourSettings()
    for lump in request.getfixturevalue(law):
        low, high = settings.diameter_mm
        assert low <= lump.diameter <= high
        cover = lump.depth - lump.diameter / 2
        low, high = settings.cover_mm
        assert low <= cover <= high
        low, high = settings.perfusion
        assert low <= lump.tissue.perfusion <= high
        check_tumour(lump, patients.FINE)
        breast = patients.breast(np.sign(lump.column))
        u = (lump.column - breast.column) / breast.half_width
        v = lump.row - breast.row
        v /= breast.upper if v < 0 else breast.lower
        assert u**2 + v**2 <= settings.margin**2 + 1e-9
        # The skin above is at least as high as the breast alone.
        height = breast.projection * np.sqrt(1 - u**2 - v**2)
        assert lump.depth + lump.diameter / 2 < height


def test_both_breasts_have_the_same_law(strong):
    left = np.array([lump.column < 0 for lump in strong])
    assert stats.binomtest(int(left.sum()), NUM).pvalue > 1e-3
    for name in ("row", "depth", "diameter"):
        found = values(strong, name)
        assert stats.ks_2samp(found[left], found[~left]).pvalue > 1e-3
    columns = values(strong, "column")
    assert stats.ks_2samp(-columns[left], columns[~left]).pvalue > 1e-3


def test_the_weak_heat_is_that_of_gautherie(weak):
    for lump in weak:
        expected = tissue.gautherie_heat(lump.diameter * 1e-3)
        assert lump.tissue.metabolic_heat == pytest.approx(expected)


def test_the_strong_heat_is_in_the_range_of_lozano(strong):
    low, high = tissue.LOZANO_TUMOUR_HEAT
    heats = np.array([lump.tissue.metabolic_heat for lump in strong])
    assert low <= heats.min() <= heats.max() <= high
    assert heats.max() > 3 * heats.min()


def test_wider_limits_of_contrast_let_colder_tumours_through():
    def heat(limits):
        found = draw(100, contrast_celsius=limits)
        return np.median([lump.tissue.metabolic_heat for lump in found])

    assert heat((0.2, 0.5)) < heat((3.0, 6.0))


def test_a_share_of_tumours_has_vessels_of_its_own():
    for share in (0.0, 0.4, 1.0):
        have = [
            bool(lump.vessels[:, 3].any())
            for lump in draw(200, strength="weak", vessel_share=share)
        ]
        assert stats.binomtest(sum(have), 200, share).pvalue > 1e-3
    starts = [
        np.hypot(*(lump.vessels[0, :2] - (lump.column, lump.row)))
        for lump in draw(20, strength="weak", vessel_share=1.0)
    ]
    np.testing.assert_allclose(starts, 3.0, atol=1e-3)


def test_vessels_are_drawn_whether_or_not_they_are_kept():
    """So that the share does not change the other numbers of a tumour."""
    with_vessels = draw(20, vessel_share=1.0)
    without = draw(20, vessel_share=0.0)
    for one, other in zip(with_vessels, without, strict=True):
        assert one[:5] == other[:5]
    assert one.vessels.shape == other.vessels.shape == (tumours.MAX_POINTS, 4)


@pytest.mark.parametrize("prior", ["strong", "weak"])
def test_pure_priors_take_no_random_number(prior):
    rng = np.random.default_rng(0)
    assert draw_strength(rng, TumourSettings(prior=prior)) == prior
    assert rng.integers(1 << 30) == np.random.default_rng(0).integers(1 << 30)


def test_the_mixture_is_half_of_each():
    rng = np.random.default_rng(0)
    kinds = [draw_strength(rng, TumourSettings(prior="mixture")) for _ in range(1000)]
    assert set(kinds) == {"strong", "weak"}
    assert stats.binomtest(kinds.count("weak"), 1000).pvalue > 1e-3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prior": "Strong"}, r"one of \('strong', 'weak', 'mixture'\), got 'Strong'"),
        ({"contrast_celsius": (3.0, 1.0)}, r"contrast_celsius .* got 3.0 .. 1.0"),
        ({"contrast_celsius": (0.0, 1.0)}, r"contrast_celsius .* got 0.0 .. 1.0"),
        ({"diameter_mm": (-1.0, 10.0)}, r"diameter_mm needs 0 < low <= high, got -1.0"),
        ({"cover_mm": (0.0, 10.0)}, r"cover_mm .* got 0.0 .. 10.0"),
        ({"perfusion": (float("nan"), 0.1)}, r"perfusion .* got nan .. 0.1"),
        ({"vessel_share": 1.1}, r"vessel_share must be in 0..1, got 1.1"),
        ({"margin": -0.1}, r"margin must be in 0..1, got -0.1"),
    ],
)
def test_rejects_impossible_laws(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TumourSettings(), **change)


def test_tells_when_no_tumour_fits():
    with pytest.raises(ValueError, match=r"No tumour of \(100.0, 110.0\) mm"):
        draw(1, diameter_mm=(100.0, 110.0))
    with pytest.raises(ValueError, match=r"breast of 60 mm by \(40.0, 50.0\) degrees"):
        draw(1, contrast_celsius=(40.0, 50.0), cover_mm=(20.0, 25.0))
