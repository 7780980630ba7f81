"""Folds, budgets and batches of cohorts with several images a patient."""

import types

import numpy as np
import pytest
from ml_collections import ConfigDict

from experiments import cohort
from experiments.batches import balanced_weights, draws, take, weighted_examples
from experiments.config_errors import ConfigError
from wbad_jax.data import DataError
from wbad_jax.data.dataset import Dataset


def make_dataset(num_patients, num_frames, images=None):
    """Both twins of each patient at each time; patients are ill in turn."""
    shape = num_patients, num_frames, 2
    patients, frames, labels = (axis.ravel() for axis in np.indices(shape))
    count = len(labels)
    images = np.zeros((count, 4, 4, 1), np.float32) if images is None else images
    return Dataset(
        images=images,
        masks=np.ones((count, 4, 4, 1), bool),
        labels=labels.astype(np.int32),
        patient_ids=patients,
        patient_seeds=patients,
        frames=frames.astype(np.int32),
        seconds=frames.astype(np.float32),
        example_ids=np.array([f"e{i}" for i in range(count)]),
        factual=labels == patients % 2,
        background_celsius=np.zeros(count, np.float32),
        noise_celsius=np.zeros(count, np.float32),
        parameters={},
        window=(22.0, 38.0),
        name="test",
        version="1.0.0",
    )


def lesions(num_patients, num_frames):
    """Frame t of patient p differs between twins in (p + t) % 4 + 1 pixels.

    Pixels of different frames and patients differ by more.
    """
    dataset = make_dataset(num_patients, num_frames)
    for row in range(len(dataset)):
        patient, frame = dataset.patient_ids[row], dataset.frames[row]
        dataset.images[row] = 0.5 + 0.01 * patient + 0.1 * frame
        if dataset.labels[row]:
            dataset.images[row].ravel()[: (patient + frame) % 4 + 1] += 0.25
    return dataset


@pytest.mark.parametrize("num_frames", [1, 3])
def test_lesions_are_those_of_one_patient_at_one_time(num_frames):
    dataset = lesions(5, num_frames)
    sizes = (np.arange(5)[:, None] + np.arange(num_frames)) % 4 + 1
    expected = np.median(np.sqrt(sizes))
    assert cohort._lesion_norm_ratio(dataset) == pytest.approx(expected, rel=1e-3)
    shuffled = dataset.subset(np.random.default_rng(0).permutation(len(dataset)))
    assert cohort._lesion_norm_ratio(shuffled) == pytest.approx(expected, rel=1e-3)


def test_no_lesion_without_twins():
    dataset = lesions(5, 3)
    assert cohort._lesion_norm_ratio(dataset.subset(dataset.factual)) is None


def test_images_go_one_by_one_where_patients_have_different_numbers(smoke_config):
    dataset = make_dataset(40, 3)
    uneven = dataset.factual & ((dataset.frames < 2) | (dataset.patient_ids % 3 > 0))
    dataset = dataset.subset(uneven)
    (fold,) = cohort.make_folds(
        smoke_config("quickstart", **{"data.max_examples": None}), dataset
    )
    draw_at, rows = draws(fold.train, 4, seed=0), []
    while len(rows) + 4 <= len(fold.train):
        rows += draw_at(len(rows) // 4).rows.tolist()
    assert len(set(rows)) == len(rows)
    assert set(np.diff(np.sort(rows))) <= {1, 2, 3, 4}


@pytest.mark.parametrize(
    ("num_frames", "limit", "patients"),
    [
        (1, None, range(10)),
        (1, 10, range(10)),
        (1, 5, range(5)),
        (3, 12, range(4)),
        (3, 13, range(4)),
        (3, 2, range(2)),
    ],
)
def test_a_limit_keeps_whole_patients_of_both_classes(num_frames, limit, patients):
    dataset = make_dataset(10, num_frames)
    rows = np.flatnonzero(dataset.factual)
    kept = cohort._balanced(dataset, rows, limit)
    assert sorted(set(dataset.patient_ids[kept])) == list(patients)
    assert len(kept) == len(patients) * num_frames
    assert (np.diff(kept) > 0).all()


def test_folds_of_a_series(smoke_config):
    overrides = {"data.max_examples": None, "training.batch_size": 12}
    config = smoke_config("quickstart", **overrides)
    dataset = lesions(40, 3)
    (fold,) = cohort.make_folds(config, dataset)
    assert len(fold.train) == 6 * len(np.unique(fold.train.patient_ids))
    assert len(fold.test) == 3 * len(np.unique(fold.test.patient_ids))
    assert len(fold.test_pairs) == 2 * len(fold.test)
    config = smoke_config("quickstart", **{**overrides, "training.batch_size": 8})
    with pytest.raises(ConfigError, match=r"batch_size must be a multiple of 6.*got 8"):
        cohort.make_folds(config, dataset)


def test_patients_with_more_frames_than_others_are_refused(smoke_config):
    dataset = lesions(40, 3)
    uneven = dataset.subset((dataset.frames < 2) | (dataset.patient_ids % 3 > 0))
    config = smoke_config("quickstart", **{"data.max_examples": None})
    with pytest.raises(
        DataError, match="patient [0-9]+ has 6 and patient [0-9]+ has 4"
    ):
        cohort.make_folds(config, uneven)


def test_a_batch_holds_whole_patients():
    dataset = make_dataset(6, 3)
    dataset.images[:] = np.arange(len(dataset))[:, None, None, None]
    examples, draw_at = weighted_examples(dataset), draws(dataset, 12, seed=0)
    seen = []
    for step in range(3):
        batch = take(examples, draw_at(step))
        rows = np.asarray(batch.images)[:, 0, 0, 0].astype(int)
        patients = dataset.patient_ids[rows].reshape(2, 6)
        assert (patients == patients[:, :1]).all()
        np.testing.assert_array_equal(batch.labels, dataset.labels[rows])
        assert len(set(rows)) == 12
        seen += patients[:, 0].tolist()
    assert sorted(seen) == list(range(6))


def test_balanced_classes_weigh_alike():
    labels = np.array([0, 1, 1, 1, 2, 1])
    weights = balanced_weights(labels)
    totals = [weights[labels == label].sum() for label in range(3)]
    np.testing.assert_allclose(totals, 2.0, rtol=1e-6)
    dataset = make_dataset(6, 1)
    for balance in (False, True):
        examples = weighted_examples(dataset, balance)
        batch = take(examples, draws(dataset, 4, seed=0)(0))
        known = balanced_weights(dataset.labels) if balance else np.ones(len(dataset))
        by_label = dict(zip(dataset.labels, known, strict=True))
        np.testing.assert_allclose(batch.weights, [by_label[n] for n in batch.labels])


def test_default_data_dir(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cohort.default_data_dir() == tmp_path / "wbad_jax" / "data"
    asked = []
    monkeypatch.setattr(
        cohort.data,
        "load",
        lambda *args, **named: asked.append((args, named)) or "data",
    )
    settings = types.SimpleNamespace(
        builder="x", data_dir=None, manual_dir=None, patients=(), options=ConfigDict(),
        test_builder=None,
    )  # fmt: skip
    settings.options.height = 8
    cohort.load(types.SimpleNamespace(data=settings))
    assert asked == [
        (("x", cohort.default_data_dir(), None), {"settings": {"height": 8}})
    ]
