import dataclasses

import numpy as np
import pytest
from scipy import ndimage, stats

from wbad_jax.bioheat import anatomy, cohort

SETTINGS = cohort.CohortSettings()
NUM = 250


@pytest.fixture(scope="module")
def patients():
    return [cohort.simulate_patient(7, i, SETTINGS) for i in range(NUM)]


def test_same_arguments_give_the_same_patient(patients):
    again = cohort.simulate_patient(7, 3, SETTINGS)
    for one, two in zip(patients[3][:2], again[:2], strict=True):
        np.testing.assert_array_equal(one, two)
    assert again[2].tumour == patients[3][2].tumour


@pytest.mark.parametrize(("seed", "patient"), [(8, 3), (7, 4), (3, 7)])
def test_other_arguments_give_another_patient(patients, seed, patient):
    other, *_ = cohort.simulate_patient(seed, patient, SETTINGS)
    assert np.abs(other - patients[3][0]).mean() > 0.1


def test_twins_differ_by_the_tumour_only(patients):
    columns, rows = anatomy.pixel_grid((64, 64), SETTINGS.millimetres_per_pixel)
    for healthy, sick, record in patients[:50]:
        excess = sick - healthy
        tumour = record.tumour
        distance = np.hypot(columns - tumour.column_mm, rows - tumour.row_mm)
        # Twelve depths, and the reach of the blur.
        outside = distance > 12 * tumour.depth_mm + 30
        np.testing.assert_array_equal(excess[~record.mask], 0)
        np.testing.assert_array_equal(excess[outside], 0)
        assert excess.min() > -1e-9
        assert distance.flat[excess.argmax()] < 10


def test_peak_contrast_is_the_drawn_one_up_to_the_camera(patients):
    shown = [(sick - healthy).max() for healthy, sick, _ in patients]
    drawn = [record.tumour.contrast_celsius for *_, record in patients]
    ratio = np.array(shown) / drawn
    assert ratio.max() <= 1 + 1e-9
    assert ratio.mean() > 0.8
    sharp = dataclasses.replace(
        SETTINGS, camera=dataclasses.replace(SETTINGS.camera, psf_sigma_pixels=0.0)
    )
    healthy, sick, record = cohort.simulate_patient(7, 0, sharp)
    assert (sick - healthy).max() > 0.9 * record.tumour.contrast_celsius


def test_tumours_are_as_the_settings_say(patients):
    for *_, record in patients:
        tumour = record.tumour
        assert 1 <= tumour.contrast_celsius <= 3
        assert 10 <= tumour.depth_mm <= 20
        assert 10 <= tumour.diameter_mm <= 20
        assert tumour.depth_mm >= tumour.diameter_mm / 2 + 2
        assert 0 < tumour.heat <= 1.2e6
        row = round(tumour.row_mm / SETTINGS.millimetres_per_pixel + 31.5)
        column = round(tumour.column_mm / SETTINGS.millimetres_per_pixel + 31.5)
        assert record.mask[row, column]


def test_population_is_that_of_healthy_matrices(patients):
    """Targets of the module's docstring; tolerances are four standard errors or so."""
    inside = [healthy[record.mask] for healthy, _, record in patients]
    means = np.array([values.mean() for values in inside])
    spreads = np.array([values.std() for values in inside])
    walls = np.array([record.background_celsius for *_, record in patients])
    differences = np.array([_asymmetry(h, record.mask) for h, _, record in patients])
    areas = np.array([record.mask.mean() for *_, record in patients])
    assert means.mean() == pytest.approx(30.5, abs=0.3)
    assert means.std() == pytest.approx(1.1, abs=0.2)
    assert spreads.mean() == pytest.approx(1.27, abs=0.1)
    assert spreads.std() == pytest.approx(0.19, abs=0.06)
    assert walls.mean() == pytest.approx(22.6, abs=0.3)
    assert walls.std() == pytest.approx(1.2, abs=0.2)
    assert differences.mean() == pytest.approx(0.23, abs=0.06)
    assert differences.std() == pytest.approx(0.19, abs=0.06)
    assert areas.min() > 0.5
    assert areas.max() < 0.9


def _asymmetry(celsius, mask):
    columns = np.arange(mask.shape[1])
    middle = (mask.sum(axis=0) * columns).sum() / mask.sum()
    left, right = mask & (columns < middle), mask & (columns > middle)
    return abs(celsius[left].mean() - celsius[right].mean())


def test_the_coin_is_fair_and_independent():
    """Nothing about a healthy twin or a tumour may predict the label."""
    small = dataclasses.replace(SETTINGS, height=16, width=16)
    records, values = [], []
    for i in range(400):
        healthy, _, record = cohort.simulate_patient(11, i, small)
        records.append(record.has_tumour)
        tumour = dataclasses.astuple(record.tumour)
        inside = healthy[record.mask]
        values.append([*tumour, record.background_celsius, inside.mean(), inside.max()])
    labels, values = np.array(records), np.array(values)
    assert stats.binomtest(int(labels.sum()), 400).pvalue > 1e-3
    for column in values.T:
        assert stats.ks_2samp(column[labels], column[~labels]).pvalue > 1e-3


@pytest.mark.parametrize("shape", [(32, 32), (45, 61), (96, 128)])
def test_any_grid(shape):
    settings = dataclasses.replace(SETTINGS, height=shape[0], width=shape[1])
    healthy, sick, record = cohort.simulate_patient(1, 0, settings)
    assert healthy.shape == sick.shape == record.mask.shape == shape
    assert np.isfinite(sick).all()
    assert 0.4 < record.mask.mean() < 0.95


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"height": 4}, "8 x 8 pixels, got 4 x 64"),
        ({"clutter": -1.0}, "clutter >= 0, got -1.0"),
        ({"contrast_celsius": (3.0, 1.0)}, "contrast_celsius, got 3.0 .. 1.0"),
        ({"depth_mm": (0.0, 1.0)}, "depth_mm, got 0.0 .. 1.0"),
        ({"diameter_mm": (50.0, 60.0)}, "no tumour of 50.0 mm fits at 20.0 mm"),
    ],
)
def test_rejects_impossible_settings(change, message):
    with pytest.raises(ValueError, match=message):
        cohort.CohortSettings(**change)


def test_tells_when_no_source_is_strong_enough():
    settings = cohort.CohortSettings(max_tumour_heat=1.0)
    with pytest.raises(ValueError, match="excess heat below 1 W/m3"):
        cohort.simulate_patient(0, 0, settings)


def test_clutter_is_what_hides_a_tumour():
    """Detail at the scale of tumours grows with it."""

    def detail(clutter):
        settings = dataclasses.replace(SETTINGS, clutter=clutter)
        values = []
        for i in range(20):
            healthy, _, record = cohort.simulate_patient(3, i, settings)
            inner = ndimage.binary_erosion(record.mask, iterations=4, border_value=1)
            smooth = ndimage.gaussian_filter(healthy, 2)
            values.append((healthy - smooth)[inner].std())
        return np.mean(values)

    assert detail(0.0) < detail(0.3) < detail(1.0)
    assert detail(1.0) > 1.3 * detail(0.0)
