import dataclasses

import pytest

from wbad_jax.bioheat import CohortSettings, TumourSettings, cohort

SETTINGS = CohortSettings(
    shape=(32, 32),
    spacing_mm=12.0,
    height_mm=96.0,
    tumours=TumourSettings(diameter_mm=(18.0, 30.0)),
)


def test_it_is_the_patient_that_is_simulated():
    seed = 9_900_000
    parameters = cohort.simulate_patient(seed, SETTINGS).parameters
    twin, acquisition = cohort.draw_healthy(seed, SETTINGS)
    assert acquisition.room_celsius == parameters["room_celsius"] == twin.air
    assert acquisition.camera.noise_celsius == parameters["noise_celsius"]
    assert twin.core == parameters["core"]
    assert twin.body.left.fat == parameters["body_left_fat"]
    watts = parameters["vessels_watts_per_kelvin"]
    assert twin.vessels[:, 3].sum() == pytest.approx(watts, rel=1e-5)


@pytest.mark.fast
def test_a_confounded_cohort_is_refused():
    confounded = dataclasses.replace(SETTINGS, confounded=True)
    with pytest.raises(ValueError, match="not confounded"):
        cohort.draw_healthy(9_900_000, confounded)
