import dataclasses

import numpy as np
import pytest
from sklearn import metrics

from wbad_jax.data import audit, errors, pipeline


@pytest.fixture
def dataset():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200).astype(np.int32)
    return pipeline.Dataset(
        images=rng.uniform(0, 1, (200, 2, 2, 1)).astype(np.float32),
        masks=np.tile([[[True], [False]]], (200, 2, 1, 1)),
        labels=labels,
        patient_ids=np.arange(200),
        example_ids=np.arange(200).astype(str),
        factual=np.ones(200, bool),
        background_celsius=(22 + labels + rng.normal(0, 0.3, 200)).astype(np.float32),
        noise_celsius=rng.normal(0.05, 0.01, 200).astype(np.float32),
        frames=np.zeros(200, np.int32),
        window=(22.0, 38.0),
        name="test",
        version="1.0.0",
    )


def test_finds_the_leak_and_only_it(dataset):
    train, test = np.arange(100), np.arange(100, 200)
    areas = {}
    for feature in audit.BASELINE_FEATURES:
        scores = audit.baseline_scores(dataset, train, test, feature)
        assert scores.shape == (100,)
        assert 0 <= scores.min() <= scores.max() <= 1
        areas[feature] = metrics.roc_auc_score(dataset.labels[test], scores)
    assert areas["background_temperature"] > 0.95
    assert 0.3 < areas["noise_level"] < 0.7
    assert 0.3 < areas["patient_number"] < 0.7
    assert 0.3 < areas["mean_temperature"] < 0.7


def test_mean_temperature_is_of_the_body_alone(dataset):
    images = np.where(dataset.masks, dataset.labels[:, None, None, None], 7.0)
    told = dataclasses.replace(dataset, images=images.astype(np.float32))
    mean = audit.BASELINE_FEATURES["mean_temperature"](told)
    np.testing.assert_allclose(mean, dataset.labels)
    nobody = dataclasses.replace(told, masks=np.zeros_like(told.masks))
    assert not audit.BASELINE_FEATURES["mean_temperature"](nobody).any()


def test_rejects_unknown_features_and_one_class(dataset):
    train, test = np.arange(100), np.arange(100, 200)
    with pytest.raises(errors.DataError, match="'age'. Known: patient_number, "):
        audit.baseline_scores(dataset, train, test, "age")
    healthy = dataclasses.replace(dataset, labels=np.zeros(200, np.int32))
    with pytest.raises(errors.DataError, match="got 0 of 100 with one"):
        audit.baseline_scores(healthy, train, test, "noise_level")
