"""Fast stand-ins for simulated patients."""

import pytest

from tests.data import fake_patients
from wbad_jax import bioheat, data


@pytest.fixture(scope="session")
def fake_data_dir(tmp_path_factory):
    """Data sets of fake patients."""
    return tmp_path_factory.mktemp("fake")


@pytest.fixture
def fake(monkeypatch):
    """Replaces the physics for one test; holds the seeds that were simulated."""
    simulated = []

    def simulate(seeds, settings, *, workers=2):
        for seed in seeds:
            simulated.append(seed)
            yield fake_patients.simulate_patient(seed, settings)

    monkeypatch.setattr(bioheat, "simulate", simulate)
    return simulated


@pytest.fixture(scope="session")
def fake_cohort(fake_data_dir):
    """From the name of a config to its data set, made once of fake patients."""

    def load(name, twins=True, **settings):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(bioheat, "simulate", fake_patients.simulate)
            return data.load(
                f"simulated_thermograms/{name}",
                fake_data_dir,
                settings=settings,
                twins=twins,
            )

    return load
