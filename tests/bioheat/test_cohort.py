import dataclasses

import numpy as np
import pytest
from scipy import stats

from wbad_jax.bioheat import PARAMETER_NAMES, CohortSettings, TumourSettings, cohort

SETTINGS = CohortSettings(
    shape=(32, 32),
    spacing_mm=12.0,
    height_mm=96.0,
    tumours=TumourSettings(diameter_mm=(18.0, 30.0)),
)
NUM = 120


@pytest.fixture(scope="module")
def patients():
    return list(cohort.simulate(range(9_900_000, 9_900_000 + NUM), SETTINGS))


def test_same_seed_gives_the_same_bytes(patients):
    (again,) = cohort.simulate([9_900_003], SETTINGS, workers=1)
    for name in ("healthy_celsius", "tumour_celsius", "mask"):
        one, other = getattr(again, name), getattr(patients[3], name)
        assert one.tobytes() == other.tobytes()
    assert again.parameters == patients[3].parameters


def test_other_seeds_give_other_patients(patients):
    difference = patients[0].healthy_celsius - patients[1].healthy_celsius
    assert np.abs(difference).mean() > 0.1


def test_twins_differ_by_the_tumour_only(patients):
    for patient in patients:
        excess = patient.tumour_celsius - patient.healthy_celsius
        assert excess.shape == (1, 32, 32)
        np.testing.assert_array_equal(excess[0][~patient.mask], 0)
        low, high = SETTINGS.tumours.contrast_celsius
        assert low <= patient.parameters["tumour_contrast_celsius"] <= high
        assert excess.max() > 0.5 * low


def test_parameters_are_named_and_finite(patients):
    for patient in patients:
        assert tuple(patient.parameters) == PARAMETER_NAMES
        assert np.isfinite(list(patient.parameters.values())).all()


def test_the_coin_is_fair_and_tells_nothing(patients):
    labels = np.array([patient.has_tumour for patient in patients])
    assert stats.binomtest(int(labels.sum()), NUM).pvalue > 1e-3
    means = np.array([p.healthy_celsius[0][p.mask].mean() for p in patients])
    spreads = np.array([p.healthy_celsius[0][p.mask].std() for p in patients])
    depths = np.array([p.parameters["tumour_depth"] for p in patients])
    for values in (means, spreads, depths):
        assert stats.ks_2samp(values[labels], values[~labels]).pvalue > 1e-3


def test_confounded_rooms_and_cameras_tell_the_label():
    settings = dataclasses.replace(SETTINGS, confounded=True)
    found = list(cohort.simulate(range(9_901_000, 9_901_060), settings))
    noise = np.array([p.parameters["noise_celsius"] for p in found])
    labels = np.array([p.has_tumour for p in found])
    assert stats.ks_2samp(noise[labels], noise[~labels]).pvalue < 1e-3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": (8, 32)}, r"at least 16 x 16 pixels, got \(8, 32\)"),
        ({"protocol": "video"}, "protocol must be one of .* got 'video'"),
        ({"spacing_mm": 0.0}, "spacing_mm must be > 0, got 0.0"),
        ({"field_celsius": -1.0}, "field_celsius must be >= 0, got -1.0"),
        ({"spacing_mm": 15.0}, "needs tumours of at least 22.5 mm"),
    ],
)
def test_rejects_impossible_settings(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SETTINGS, **change)
