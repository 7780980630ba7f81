"""The benchmarks of a cohort, on data sets whose answer is known."""

import dataclasses

import numpy as np
import pytest

from benchmarks import cohort_audit, learning_curve
from tests.data.datasets import make_dataset

COUNT = 200


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(cohort_audit, "TREES", 30)
    monkeypatch.setattr(cohort_audit, "RESAMPLINGS", 200)


@pytest.fixture
def patients():
    """Half of them ill, numbered at random; noise for images."""
    rng = np.random.default_rng(0)
    dataset = make_dataset(rng.permutation(np.arange(COUNT) % 2))
    images = rng.random((2 * COUNT, 16, 16, 1), np.float32)
    masks = np.ones(images.shape, bool)
    scalars = {
        name: np.repeat(rng.random(COUNT), 2)
        for name in ("background_celsius", "noise_celsius")
    }
    return dataclasses.replace(dataset, images=images, masks=masks, **scalars)


def tells(row):
    """Whether the interval of the area under the curve lies above one half."""
    return row["auc_interval"][0] > 0.5


@pytest.mark.slow
def test_nothing_tells_the_label_of_noise(patients):
    rows = cohort_audit.audit(patients)
    for name, row in rows.items():
        assert not tells(row), name
        assert row["n"] == COUNT


@pytest.mark.slow
def test_a_room_that_follows_the_label_is_found(patients):
    has_tumour = patients.labels[patients.factual]
    rooms = np.repeat(has_tumour, 2) + patients.background_celsius
    confounded = dataclasses.replace(patients, background_celsius=rooms)
    rows = cohort_audit.audit(confounded)
    assert rows["background_temperature"]["auc"] > 0.99
    assert not tells(rows["healthy state, forest"])


@pytest.mark.slow
def test_healthy_states_of_the_sick_that_differ_are_found(patients):
    """A trace of the illness in the twin without it."""
    sick = np.repeat(patients.labels[patients.factual], 2)
    trace = 0.5 * sick[:, None, None, None]
    leaking = dataclasses.replace(patients, images=patients.images + trace)
    rows = cohort_audit.audit(leaking)
    assert tells(rows["healthy state, linear"])
    assert tells(rows["healthy state, forest"])


def test_the_learning_curve_trains_on_the_first_patients_only(patients):
    config = learning_curve.make_config()
    config.attack.l2_ratio = 8.0
    everyone = dataclasses.replace(patients, patient_ids=patients.patient_ids // 3)
    fold = learning_curve.make_fold(config, everyone, everyone, 100)
    train, validation = (
        set(part.patient_ids.tolist()) for part in (fold.train, fold.validation)
    )
    assert train | validation == set(range(100))
    assert not train & validation
    assert len(fold.train) == 2 * len(train) == 170
    assert fold.validation.factual.all()
    assert len(fold.validation) == 15
