"""Cohorts: reproducible, twins equal but for the tumour, labels of no influence."""

import dataclasses
import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from wbad_jax.bioheat import (
    PARAMETER_NAMES,
    Camera,
    CohortSettings,
    TumourSettings,
    cohort,
    thermograms,
)

SETTINGS = CohortSettings(
    shape=(32, 32),
    spacing_mm=12.0,
    height_mm=96.0,
    tumours=TumourSettings(diameter_mm=(18.0, 30.0)),
)
FIRST = 9_900_000
NUM = 240
PICTURES = ("healthy_celsius", "tumour_celsius", "mask", "seconds")


def changed(**changes):
    return dataclasses.replace(SETTINGS, **changes)


def simulated(number, settings=SETTINGS, first=FIRST, workers=2):
    seeds = range(first, first + number)
    return list(cohort.simulate(seeds, settings, workers=workers))


@pytest.fixture(scope="module")
def patients():
    return simulated(NUM)


@pytest.fixture(scope="module")
def labels(patients):
    return np.array([patient.has_tumour for patient in patients])


def parameter(patients, name):
    return np.array([patient.parameters[name] for patient in patients])


def equal(one, other):
    return (
        one.parameters == other.parameters
        and one.has_tumour == other.has_tumour
        and all(
            getattr(one, name).tobytes() == getattr(other, name).tobytes()
            for name in PICTURES
        )
    )


# Reproducible.


def test_same_seeds_give_the_same_bytes_whatever_the_workers(patients):
    for workers in (1, 3):
        again = simulated(4, workers=workers)
        assert all(map(equal, again, patients[:4]))
    later = simulated(2, first=FIRST + 2)
    assert all(map(equal, later, patients[2:4]))
    assert equal(cohort.simulate_patient(FIRST + 1, SETTINGS), patients[1])


def digest(found):
    return hashlib.sha256(
        b"".join(getattr(each, name).tobytes() for each in found for name in PICTURES)
    ).hexdigest()


# A process of its own does not share caches, hash seeds or threads.
PROGRAM = """
from tests.bioheat.test_cohort import digest, simulated
print(digest(simulated(2)))
"""


def test_another_process_gives_the_same_bytes(patients):
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": "."}
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert found.stdout.strip() == digest(patients[:2])


def test_seeds_name_patients_in_order(patients):
    assert [patient.seed for patient in patients] == [*range(FIRST, FIRST + NUM)]


def test_other_seeds_give_other_patients(patients):
    for one, other in zip(patients[:10], patients[1:11], strict=True):
        both = one.mask & other.mask
        difference = one.healthy_celsius[0] - other.healthy_celsius[0]
        assert np.abs(difference[both]).mean() > 0.1


def test_a_cohort_may_be_left_early():
    patients = cohort.simulate(iter(range(FIRST, FIRST + 10**9)), SETTINGS)
    assert next(patients).seed == FIRST
    patients.close()


def test_a_second_patient_is_not_compiled_anew(patients):
    sizes = thermograms._healthy._cache_size(), thermograms._ill._cache_size()
    simulated(2, first=1)
    assert (
        thermograms._healthy._cache_size(),
        thermograms._ill._cache_size(),
    ) == sizes


# Twins.


def test_pictures_have_a_frame_and_masks_cover_a_body(patients):
    for patient in patients:
        for name in ("healthy_celsius", "tumour_celsius"):
            picture = getattr(patient, name)
            assert picture.shape == (1, 32, 32)
            assert picture.dtype == np.float32
            assert np.isfinite(picture).all()
        assert patient.mask.shape == (32, 32)
        assert patient.mask.dtype == bool
        assert 0.3 < patient.mask.mean() < 0.95
        assert patient.seconds.tolist() == [0.0]


def test_twins_share_everything_out_of_reach_of_the_tumour(patients):
    """The wall, with its noise, to the last bit; skin beyond square and blur too."""
    centres = (np.arange(32) + 0.5 - 16) * 12.0
    reach = 240.0 + 24.0  # the square lies inside the frame, so up to its whole edge
    seen = 0
    for patient in patients:
        healthy, ill = patient.healthy_celsius[0], patient.tumour_celsius[0]
        np.testing.assert_array_equal(healthy[~patient.mask], ill[~patient.mask])
        far = np.abs(centres - patient.parameters["tumour_column"]) > reach
        np.testing.assert_array_equal(healthy[:, far], ill[:, far])
        seen += far.sum()
    assert seen > 0


def test_twins_share_noise_and_field(patients):
    """Their difference is as smooth as conduction makes it, and positive."""
    for patient in patients[:50]:
        excess = (patient.tumour_celsius - patient.healthy_celsius)[0]
        # In steps of the camera's 0.01 degrees; noise is 0.045, its difference 0.06.
        quiet = excess[patient.mask & (excess < 0.02)]
        assert np.abs(quiet).max() < 0.03
        steps = excess * 100
        np.testing.assert_allclose(steps, np.round(steps), atol=0.01)


def test_the_tumour_warms_as_much_as_is_noted_and_where_it_is(patients):
    sharp = changed(
        camera=Camera(
            psf_sigma_pixels=0.0, gain=0.0, emissivity=1.0, quantum_celsius=0.0
        )
    )
    low, high = SETTINGS.tumours.contrast_celsius
    centres = (np.arange(32) + 0.5 - 16) * 12.0
    for patient, plain in zip(simulated(20, sharp), patients, strict=False):
        excess = (patient.tumour_celsius - patient.healthy_celsius)[0]
        noted = patient.parameters["tumour_contrast_celsius"]
        assert low <= noted <= high
        assert excess[patient.mask].max() == pytest.approx(noted, abs=1e-3)
        assert noted == plain.parameters["tumour_contrast_celsius"]
        if not patient.parameters["tumour_vessels_points"]:
            place = np.where(patient.mask, excess, 0.0).argmax()
            row, column = np.unravel_index(place, excess.shape)
            # Slanted skin is warmest where it is nearest, a cell or two aside.
            assert abs(centres[row] - patient.parameters["tumour_row"]) < 36
            assert abs(centres[column] - patient.parameters["tumour_column"]) < 36


def test_strong_tumours_are_within_the_limits_after_the_solve(patients):
    contrast = parameter(patients, "tumour_contrast_celsius")
    low, high = SETTINGS.tumours.contrast_celsius
    assert low <= contrast.min() <= contrast.max() <= high
    assert contrast.std() > 0.1 * (high - low)
    narrow = TumourSettings(diameter_mm=(18.0, 30.0), contrast_celsius=(0.4, 0.6))
    found = simulated(10, changed(tumours=narrow))
    contrast = parameter(found, "tumour_contrast_celsius")
    assert ((contrast >= 0.4) & (contrast <= 0.6)).all()


def test_a_weak_tumour_has_the_heat_of_its_size_and_half_of_a_mixture_are_weak():
    mixture = TumourSettings(diameter_mm=(18.0, 30.0), prior="mixture")
    found = simulated(80, changed(tumours=mixture))
    heat = parameter(found, "tumour_tissue_metabolic_heat")
    diameter = parameter(found, "tumour_diameter")
    # Gautherie's relation, written out: 3.27e6 W/m3 over a term in the size in cm.
    gautherie = 3.27e6 / (468.5 * np.log(diameter / 10) + 50)
    weak = np.isclose(heat, gautherie, rtol=1e-5)
    assert stats.binomtest(int(weak.sum()), 80).pvalue > 1e-3
    contrast = parameter(found, "tumour_contrast_celsius")
    assert (contrast[weak] > 0).all()
    assert np.median(contrast[weak]) < 0.5 * np.median(contrast[~weak])
    pure = simulated(3, changed(tumours=dataclasses.replace(mixture, prior="weak")))
    heat, diameter = (
        parameter(pure, f"tumour_{name}")
        for name in ("tissue_metabolic_heat", "diameter")
    )
    np.testing.assert_allclose(
        heat, 3.27e6 / (468.5 * np.log(diameter / 10) + 50), rtol=1e-5
    )


def test_parameters_are_named_and_finite(patients):
    for patient in patients:
        assert tuple(patient.parameters) == PARAMETER_NAMES
        assert np.isfinite(list(patient.parameters.values())).all()
        assert all(type(value) is float for value in patient.parameters.values())
    assert len(set(PARAMETER_NAMES)) == len(PARAMETER_NAMES)
    for name in ("air", "core", "body_left_fat", "skin_nipples_1", "tumour_depth"):
        assert name in PARAMETER_NAMES
    for patient in patients:
        room = patient.parameters["room_celsius"]
        assert patient.parameters["air"] == pytest.approx(room)
        wall = patient.healthy_celsius[0][~patient.mask].mean()
        assert wall == pytest.approx(room, abs=0.6)


def test_what_is_drawn_apart_stays_when_another_part_changes(patients):
    """Every part has a random stream of its own."""
    no_field = simulated(3, changed(field_celsius=0.0))
    weak = simulated(
        3, changed(tumours=TumourSettings(prior="weak", diameter_mm=(18, 30)))
    )
    for plain, bare, other in zip(patients[:3], no_field, weak, strict=True):
        assert bare.parameters == plain.parameters
        np.testing.assert_array_equal(
            bare.healthy_celsius[0][~bare.mask], plain.healthy_celsius[0][~plain.mask]
        )
        np.testing.assert_array_equal(other.healthy_celsius, plain.healthy_celsius)
        assert other.has_tumour == plain.has_tumour


# The coin.


def test_the_coin_is_fair(labels):
    assert stats.binomtest(int(labels.sum()), NUM).pvalue > 1e-3


def picture_statistics(picture, mask):
    inside = picture[mask]
    left, right = mask.copy(), mask.copy()
    left[:, 16:], right[:, :16] = False, False
    return {
        "mean": inside.mean(),
        "spread": inside.std(),
        "warmest": inside.max(),
        "coldest": inside.min(),
        "asymmetry": picture[left].mean() - picture[right].mean(),
        "size": mask.mean(),
        "wall": picture[~mask].mean(),
        "wall noise": picture[~mask].std(),
        "detail": np.abs(np.diff(picture, axis=1))[mask[:, 1:] & mask[:, :-1]].mean(),
    }


def p_values(patients, labels, attribute):
    found = [picture_statistics(getattr(p, attribute)[0], p.mask) for p in patients]
    columns = {name: np.array([each[name] for each in found]) for name in found[0]}
    return {
        name: stats.ks_2samp(values[labels], values[~labels]).pvalue
        for name, values in columns.items()
    }


def test_healthy_twins_do_not_know_the_label(patients, labels):
    for attribute in ("healthy_celsius", "tumour_celsius"):
        for name, p in p_values(patients, labels, attribute).items():
            assert p > 1e-3, name


def test_the_statistics_would_see_a_leak(patients, labels):
    """The same test fails if the label shows: by tumours, four times as strong."""
    shown = [
        p._replace(healthy_celsius=4 * p.tumour_celsius - 3 * p.healthy_celsius)
        if p.has_tumour
        else p
        for p in patients
    ]
    found = p_values(shown, labels, "healthy_celsius")
    assert found["warmest"] < 1e-3
    assert found["wall"] > 1e-3


def test_the_coin_is_independent_of_all_that_is_drawn(patients, labels):
    varying = 0
    for name in PARAMETER_NAMES:
        values = parameter(patients, name)
        if values.std() > 0:
            varying += 1
            # Some 130 tests on one cohort: one in ten cohorts would fail at 1e-3.
            assert stats.ks_2samp(values[labels], values[~labels]).pvalue > 1e-5, name
    assert varying > 60


def test_confounded_rooms_and_cameras_tell_the_label():
    found = simulated(120, changed(confounded=True))
    labels = np.array([patient.has_tumour for patient in found])
    for name in ("noise_celsius",):
        values = parameter(found, name)
        assert stats.ks_2samp(values[labels], values[~labels]).pvalue < 1e-3
    noise = parameter(found, "noise_celsius")
    assert noise[labels].mean() < noise[~labels].mean()
    # All else is the same patient.
    plain = simulated(3)
    for one, other in zip(found, plain, strict=False):
        assert one.has_tumour == other.has_tumour
        for name in ("body_left_fat", "skin_heat_transfer", "vessels_points"):
            assert one.parameters[name] == other.parameters[name]


# The dynamic protocol.


def test_a_series_is_of_one_patient_recovering_from_cold(patients):
    protocol = SETTINGS.cold_stress._replace(num_frames=5)
    settings = changed(protocol="dynamic", cold_stress=protocol)
    for patient, static in zip(simulated(3, settings), patients, strict=False):
        assert (
            patient.healthy_celsius.shape == patient.tumour_celsius.shape == (5, 32, 32)
        )
        assert patient.seconds.tolist() == [0.0, 15.0, 30.0, 45.0, 60.0]
        assert patient.parameters == static.parameters
        np.testing.assert_array_equal(patient.mask, static.mask)
        for name in ("healthy_celsius", "tumour_celsius"):
            frames = getattr(patient, name)[:, patient.mask].mean(axis=1)
            rest = getattr(static, name)[0][patient.mask].mean()
            assert frames[0] < rest - 1
            assert (np.diff(frames[1:]) > 0).all()
            assert frames[-1] < rest
        wall = ~patient.mask
        twins = patient.healthy_celsius, patient.tumour_celsius
        np.testing.assert_array_equal(*(twin[:, wall] for twin in twins))
        # Frames have noise of their own.
        noise = np.diff(patient.healthy_celsius[:, wall], axis=0)
        expected = np.sqrt(2) * patient.parameters["noise_celsius"]
        assert noise.std() == pytest.approx(expected, rel=0.2)


# Settings.


@pytest.mark.fast
def test_the_grid_is_that_of_the_picture():
    grid = SETTINGS.grid
    assert grid.shape == (8, 32, 32)
    assert grid.spacing_mm == 12.0


@pytest.mark.fast
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": (8, 32)}, r"at least 16 x 16 pixels, got \(8, 32\)"),
        ({"protocol": "video"}, "protocol must be one of .* got 'video'"),
        ({"spacing_mm": 0.0}, "spacing_mm must be > 0, got 0.0"),
        ({"height_mm": float("nan")}, "height_mm must be > 0, got nan"),
        ({"field_celsius": -1.0}, "field_celsius must be >= 0, got -1.0"),
        (
            {"spacing_mm": 15.0},
            r"grid of 15 mm needs tumours of at least 22.5 mm, got diameter_mm \(18.0",
        ),
    ],
)
def test_rejects_impossible_settings(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SETTINGS, **change)


def test_tells_when_no_tumour_warms_as_wanted(monkeypatch):
    """The estimate of a half-space lets tumours through that the solve refuses."""
    monkeypatch.setattr(cohort, "_MOST_SOLVES", 2)
    exact = TumourSettings(diameter_mm=(18.0, 30.0), contrast_celsius=(1.0, 1.0001))
    message = r"None of 2 tumours warmed the skin by 1.0 .. 1.0001 degrees"
    with pytest.raises(ValueError, match=message):
        cohort.simulate_patient(FIRST, changed(tumours=exact))


def test_errors_of_a_patient_reach_the_caller():
    low = changed(height_mm=48.0)
    with pytest.raises(ValueError, match="needs a higher grid than 36 mm"):
        simulated(1, low)
