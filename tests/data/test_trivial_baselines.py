import dataclasses

import numpy as np
import pytest
from sklearn import metrics

from wbad_jax.data import errors, trivial_baselines
from wbad_jax.data.dataset import Dataset


@pytest.fixture
def dataset():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200).astype(np.int32)
    return Dataset(
        images=np.zeros((200, 2, 2, 1), np.float32),
        masks=np.ones((200, 2, 2, 1), bool),
        labels=labels,
        patient_ids=np.arange(200),
        patient_seeds=np.arange(200),
        frames=np.zeros(200, np.int32),
        seconds=np.zeros(200, np.float32),
        example_ids=np.arange(200).astype(str),
        factual=np.ones(200, bool),
        background_celsius=(22 + labels + rng.normal(0, 0.3, 200)).astype(np.float32),
        noise_celsius=rng.normal(0.05, 0.01, 200).astype(np.float32),
        parameters={},
        window=(22.0, 38.0),
        name="test",
        version="1.0.0",
    )


def test_finds_the_leak_and_only_it(dataset):
    train, test = np.arange(100), np.arange(100, 200)
    areas = {}
    for feature in trivial_baselines.BASELINE_FEATURES:
        scores = trivial_baselines.baseline_scores(dataset, train, test, feature)
        assert scores.shape == (100,)
        assert 0 <= scores.min() <= scores.max() <= 1
        areas[feature] = metrics.roc_auc_score(dataset.labels[test], scores)
    assert areas["background_temperature"] > 0.95
    assert 0.3 < areas["noise_level"] < 0.7
    assert 0.3 < areas["patient_number"] < 0.7
    assert areas["mean_temperature"] == 0.5  # all images are alike


def test_mean_temperature_is_that_of_the_body(dataset):
    rng = np.random.default_rng(1)
    images = rng.uniform(size=(200, 2, 2, 1)).astype(np.float32)
    masks = np.ones((200, 2, 2, 1), bool)
    masks[:, 0, 0] = False
    dataset = dataclasses.replace(dataset, images=images, masks=masks)
    expected = [
        22 + 16 * image[mask].mean() for image, mask in zip(images, masks, strict=True)
    ]
    np.testing.assert_allclose(
        trivial_baselines.mean_celsius(dataset), expected, rtol=1e-6
    )
    warm = dataclasses.replace(
        dataset, images=images / 2 + dataset.labels[:, None, None, None] / 2
    )
    scores = trivial_baselines.baseline_scores(
        warm, np.arange(100), np.arange(100, 200), "mean_temperature"
    )
    assert metrics.roc_auc_score(dataset.labels[100:], scores) > 0.95


def test_rejects_unknown_features_and_one_class(dataset):
    train, test = np.arange(100), np.arange(100, 200)
    with pytest.raises(errors.DataError, match="'age'. Known: patient_number, "):
        trivial_baselines.baseline_scores(dataset, train, test, "age")
    healthy = dataclasses.replace(dataset, labels=np.zeros(200, np.int32))
    with pytest.raises(errors.DataError, match="got 0 of 100 with one"):
        trivial_baselines.baseline_scores(healthy, train, test, "noise_level")
