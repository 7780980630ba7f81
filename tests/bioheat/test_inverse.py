import dataclasses

import numpy as np
import pytest

from tests.bioheat import patients
from wbad_jax.bioheat import inverse as inversion
from wbad_jax.bioheat import unknowns
from wbad_jax.bioheat.camera import Camera
from wbad_jax.bioheat.cohort import CohortSettings
from wbad_jax.bioheat.inverse import Inverse, InverseSettings
from wbad_jax.bioheat.observed import predict_healthy, predict_tumour
from wbad_jax.bioheat.thermograms import solve_healthy
from wbad_jax.bioheat.tumours import TumourSettings

ROOM = 22.0
SETTINGS = CohortSettings(
    shape=(32, 32),
    spacing_mm=12.0,
    height_mm=96.0,
    tumours=TumourSettings(diameter_mm=(18.0, 30.0), contrast_celsius=(3.0, 6.0)),
    field_celsius=0.05,
    camera=Camera(),
)
TUMOUR = np.array([85.0, 62.0, np.log(11.0), np.log(24.0), np.log(3e5), np.log(0.007)])


@pytest.fixture(scope="module")
def inverse():
    template = patients.twin(air=ROOM)
    body = np.asarray(solve_healthy(template, SETTINGS.grid)[2].body)
    return Inverse(body, template, ROOM, SETTINGS, InverseSettings(num_starts=1))


@pytest.fixture(scope="module")
def patient_values(inverse):
    return inverse.prior.mean + 0.5 * np.sqrt(np.diag(inverse.prior.covariance))


@pytest.mark.slow
def test_a_picture_without_noise_gives_back_its_tumour(inverse, patient_values):
    celsius = inverse.predict(np.concatenate([patient_values, TUMOUR]))
    found = inverse.calibrate(celsius)
    # Noise is expected where there is none, so the prior pulls, but within its errors.
    for name, true in zip(unknowns.TUMOUR_NAMES, TUMOUR, strict=True):
        assert abs(found.values[name] - true) < found.standard_deviations[name], name
    assert np.hypot(found.values["column"] - 85, found.values["row"] - 62) < 2
    assert abs(found.values["depth"] - 23) < 4
    assert found.log_evidence_ratio > 10
    assert abs(found.residual[inverse.mask]).max() < 0.1
    # Kinks of a tumour of two cells stop the steps early.
    assert found.ill.decrement < 1
    assert found.converged == (max(found.healthy.decrement, found.ill.decrement) < 0.1)


def test_a_healthy_picture_gives_back_the_patient(inverse, patient_values):
    found = inverse.fit_healthy(inverse.predict(patient_values))
    spread = np.sqrt(np.diag(found.covariance))
    assert (abs(found.values - patient_values) < spread).all()
    assert found.chi_square + found.prior_chi_square < 10
    assert found.converged


@pytest.mark.parametrize(
    "predict", [predict_healthy, pytest.param(predict_tumour, marks=pytest.mark.slow)]
)
def test_the_jacobian_is_that_of_differences(inverse, patient_values, predict):
    spread = np.sqrt(np.diag(inverse.prior.covariance))
    values, steps = patient_values, 0.02 * spread
    if predict is predict_tumour:
        values = np.concatenate([values, TUMOUR])
        steps = np.concatenate([steps, [0.05, 0.05, *[0.005] * 4]])
    values = np.float32(values)
    picture = np.zeros(SETTINGS.shape, np.float32)
    arguments = picture, inverse.scene, inverse.whitening.matrix
    static = {"predict": predict, "grid": SETTINGS.grid}
    rest, jacobian = inversion._linearised(values, *arguments, **static)
    for index in range(values.size):
        column, errors = np.asarray(jacobian[:, index]), []
        for sign in (-1, 1):
            moved = values.copy()
            moved[index] += sign * steps[index]
            after = inversion._residual(moved, *arguments, **static)
            slope = (after - rest) / (moved[index] - values[index])
            errors.append(np.linalg.norm(slope - column))
        # The model has kinks where boundaries pass cells, so one side may differ.
        assert min(errors) < 0.05 * np.linalg.norm(column), index


def test_another_patient_is_not_compiled_anew(inverse, patient_values):
    inverse.fit_healthy(inverse.predict(patient_values))
    counts = inversion._linearised._cache_size(), inversion._residual._cache_size()
    torso = patients.torso(chest=136.0)
    other = patients.twin(air=ROOM)
    other = other._replace(body=other.body._replace(torso=torso))
    body = np.asarray(solve_healthy(other, SETTINGS.grid)[2].body)
    second = Inverse(body, other, 23.0, SETTINGS)
    second.fit_healthy(second.predict(patient_values) + 0.05)
    after = inversion._linearised._cache_size(), inversion._residual._cache_size()
    assert after == counts


def test_the_score_is_one_for_the_law_and_rises_with_perturbations(
    inverse, patient_values
):
    rng = np.random.default_rng(0)
    picture, shape = inverse.predict(patient_values), SETTINGS.shape
    fit = inverse.fit_healthy(picture)
    power = inversion.residual_power_spectrum(SETTINGS)
    noise = [
        np.fft.ifft2(np.fft.fft2(rng.standard_normal(shape)) * np.sqrt(power)).real
        for _ in range(40)
    ]
    plain = [inverse.fine_score(picture + each, fit) for each in noise]
    white = 0.1 * rng.choice((-1, 1), (40, *shape))
    attacked = [
        inverse.fine_score(picture + each + extra, fit)
        for each, extra in zip(noise, white, strict=True)
    ]
    assert np.mean(plain) == pytest.approx(1, abs=0.05)
    assert min(attacked) > max(plain)


def test_what_is_outside_the_body_does_not_matter(inverse, patient_values):
    celsius = inverse.predict(patient_values)
    found = inverse.fit_healthy(celsius)
    elsewhere = inverse.fit_healthy(np.where(inverse.mask, celsius, np.nan))
    np.testing.assert_array_equal(found.values, elsewhere.values)


@pytest.mark.parametrize(
    ("celsius", "message"),
    [
        (np.full((16, 16), 30.0), r"celsius needs shape \(32, 32\).*\(16, 16\)"),
        (np.full((32, 32), np.nan), "celsius needs finite pixels on the body, got"),
        (np.full((32, 32), 305.0), "celsius needs 0 to 60 on the body, got 305 to 305"),
        (np.full((32, 32), -1.0), "celsius needs 0 to 60 on the body, got -1 to -1"),
    ],
)
def test_what_is_no_thermogram_is_named(inverse, celsius, message):
    with pytest.raises(ValueError, match=message):
        inverse.calibrate(celsius)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((32, 32), bool), "mask needs bool.* 0 pixels"),
        (np.ones((16, 16), bool), r"mask needs bool \(32, 32\)"),
        (np.eye(32, dtype=bool), "template needs a body of which at least 90%"),
    ],
)
def test_a_mask_that_is_not_the_templates_is_named(mask, message):
    with pytest.raises(ValueError, match=message):
        Inverse(mask, patients.twin(air=ROOM), ROOM, SETTINGS)


@pytest.mark.fast
@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(InverseSettings)])
def test_settings_are_positive(name):
    with pytest.raises(ValueError, match=f"{name} needs > 0, got 0"):
        InverseSettings(**{name: 0})


@pytest.mark.fast
def test_unknowns_come_back_from_the_patient_made_of_them():
    values = np.linspace(0.1, 0.4, 13)
    twin = unknowns.with_healthy_values(patients.twin(), values)
    np.testing.assert_allclose(unknowns.healthy_values(twin), values, rtol=1e-5)
    tumour = unknowns.tumour_of(TUMOUR)
    np.testing.assert_allclose(unknowns.tumour_values(tumour), TUMOUR, rtol=1e-5)
