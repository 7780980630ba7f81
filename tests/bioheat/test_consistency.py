"""Suspicion of a picture, and the first-order law that an attacker can follow."""

import jax
import numpy as np
import pytest

from tests.bioheat import patients
from wbad_jax.bioheat.camera import Camera
from wbad_jax.bioheat.cohort import CohortSettings
from wbad_jax.bioheat.consistency import follow, suspicion
from wbad_jax.bioheat.inverse import Inverse
from wbad_jax.bioheat.thermograms import solve_healthy
from wbad_jax.bioheat.tumours import TumourSettings
from wbad_jax.bioheat.whitening import residual_power_spectrum

pytestmark = pytest.mark.slow

ROOM = 22.0
SETTINGS = CohortSettings(
    shape=(32, 32),
    spacing_mm=12.0,
    height_mm=96.0,
    tumours=TumourSettings(diameter_mm=(18.0, 30.0)),
    field_celsius=0.05,
    camera=Camera(),
)


@pytest.fixture(scope="module")
def case():
    """A patient's inverse, a picture of the law, and the picture's fit."""
    template = patients.twin(air=ROOM)
    body = np.asarray(solve_healthy(template, SETTINGS.grid)[2].body)
    inverse = Inverse(body, template, ROOM, SETTINGS)
    white = np.random.default_rng(0).standard_normal(SETTINGS.shape)
    power = residual_power_spectrum(SETTINGS)
    noise = np.fft.ifft2(np.fft.fft2(white) * np.sqrt(power)).real
    celsius = np.float32(inverse.predict(inverse.prior.mean) + noise)
    return inverse, celsius, suspicion(inverse, celsius)


def test_a_picture_of_the_law_is_not_suspicious_and_noise_on_it_is(case):
    inverse, celsius, (score, _) = case
    assert score < 0.3
    grain = 0.1 * np.random.default_rng(1).choice((-1.0, 1.0), SETTINGS.shape)
    assert suspicion(inverse, celsius + grain)[0] > 1
    # Too smooth is as suspicious.
    assert suspicion(inverse, inverse.predict(inverse.prior.mean))[0] > 1


def test_the_followed_suspicion_is_that_of_a_refit(case):
    inverse, celsius, (score, fit) = case
    followed = follow(inverse, celsius, fit)
    run = jax.jit(lambda law, picture: law(picture))
    assert float(run(followed, celsius)) == pytest.approx(score, abs=1e-3)
    rows, columns = np.indices(SETTINGS.shape) / 32
    for change in (0.05 * rows, 0.05 * np.cos(7 * columns), 0.02 * (rows > 0.5)):
        moved = np.float32(celsius + change)
        expected, refit = suspicion(inverse, moved)
        assert float(run(followed, moved)) == pytest.approx(expected, abs=0.02)
        # The patient has moved: without that it is another number.
        assert np.abs(refit.values - fit.values).max() > 1e-4
    assert run._cache_size() == 1
    other = follow(inverse, moved, refit)
    assert float(run(other, moved)) == pytest.approx(expected, abs=1e-3)
    assert run._cache_size() == 1


def test_its_slope_is_that_of_differences(case):
    inverse, celsius, (_, fit) = case
    followed = follow(inverse, celsius, fit)
    slope = np.asarray(jax.jit(jax.grad(followed))(celsius))
    assert np.all(slope[~inverse.mask] == 0)
    direction = slope / np.linalg.norm(slope)
    step = 0.01
    after, before = (
        float(followed(celsius + sign * step * direction)) for sign in (1, -1)
    )
    assert (after - before) / (2 * step) == pytest.approx(
        np.linalg.norm(slope), rel=0.05
    )
