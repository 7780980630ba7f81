"""Patients that cost nothing, for all tests that are not about their physics."""

import numpy as np
import pytest

from wbad_jax import bioheat
from wbad_jax.bioheat import cohort

FAKE_FRAMES = 3


def fake_patient(seed, settings):
    """Random skin, two degrees warmer in the middle of the tumour twin."""
    rng = np.random.default_rng(seed)
    frames = FAKE_FRAMES if settings.protocol == "dynamic" else 1
    mask = np.zeros(settings.shape, bool)
    mask[2:, 3:-3] = True
    healthy = rng.normal(30, 0.5, (frames, *settings.shape)).astype(np.float32)
    healthy = np.where(mask, healthy, np.float32(22))
    lump = np.zeros(settings.shape, np.float32)
    lump[6:10, 6:10] = 2.0
    return cohort.Patient(
        seed=seed,
        has_tumour=bool(rng.integers(2)),
        healthy_celsius=healthy,
        tumour_celsius=healthy + lump,
        mask=mask,
        seconds=np.arange(frames, dtype=np.float32) * 15,
        parameters={
            name: 1000.0 * index + seed % 1000
            for index, name in enumerate(bioheat.PARAMETER_NAMES)
        },
    )


@pytest.fixture
def simulated_seeds(monkeypatch):
    """Replaces the simulator; the seeds of the patients that it was asked for."""
    seen = []

    def simulate(seeds, settings, *, workers):
        for seed in seeds:
            seen.append(seed)
            yield fake_patient(seed, settings)

    monkeypatch.setattr(bioheat, "simulate", simulate)
    return seen
