"""The benchmarks of splits, on data sets whose answer is known."""

import dataclasses
import json

import numpy as np
import pytest

from benchmarks import dmr_ir_eras, leakage, plain_classifiers
from tests.data.datasets import make_dataset

FRAMES = 6


@pytest.fixture
def strangers():
    """Every patient has a pattern of her own, which says nothing of her label."""
    rng = np.random.default_rng(0)
    dataset = make_dataset(rng.permutation(np.arange(40) % 2), twins=False)
    dataset = dataset.subset(np.repeat(np.arange(40), FRAMES))
    patterns = np.repeat(rng.random((40, 8, 8, 1)), FRAMES, axis=0)
    images = patterns + 0.05 * rng.random(patterns.shape)
    frames = np.tile(np.arange(FRAMES, dtype=np.int32), 40)
    return dataclasses.replace(
        dataset,
        images=images.astype(np.float32),
        masks=np.ones(images.shape, bool),
        frames=frames,
    )


def test_a_split_by_image_rewards_knowing_the_patient(strangers, capsys):
    model = plain_classifiers.nearest_neighbour()
    row = leakage.measure(strangers, "nearest neighbour", model, range(3))
    assert row["by_image"] == 100
    assert row["by_patient_interval"][0] < 50 < row["by_patient_interval"][1]
    assert row["inflation"] == pytest.approx(100 - row["by_patient"])
    assert row["inflation_interval"][0] > 20
    assert "points too many" in capsys.readouterr().out


def test_no_inflation_where_the_label_shows_in_every_image(strangers):
    labels = strangers.labels[:, None, None, None]
    shown = dataclasses.replace(strangers, images=strangers.images * 0.1 + labels)
    row = leakage.measure(shown, "linear", plain_classifiers.linear(5), range(2))
    assert row["by_patient"] == row["by_image"] == 100
    assert row["inflation_interval"] == [0, 0]


@pytest.mark.parametrize("by", ["image", "patient"])
def test_every_image_is_in_one_fifth(strangers, by):
    folds = leakage.divide(strangers, by, seed=1)
    together = np.concatenate(list(folds.values()))
    np.testing.assert_array_equal(np.sort(together), np.arange(len(strangers)))
    patients = [set(strangers.patient_ids[fold]) for fold in folds.values()]
    assert (sum(map(len, patients)) == 40) == (by == "patient")


@pytest.mark.fast
@pytest.mark.parametrize("of_seeds", [0.0, 1.0])
def test_the_crossed_interval_covers_the_truth(of_seeds):
    """Coverage of simulated seeds and patients; pooling all values would give 0.6."""
    rng = np.random.default_rng(0)
    covered, widths, pooled = 0, [], 0
    for _ in range(500):
        values = (
            5.0
            + of_seeds * rng.normal(size=(4, 1))
            + rng.normal(size=(1, 30))
            + rng.normal(size=(4, 30))
        )
        mean, low, high = leakage.crossed_interval(values)
        assert mean == pytest.approx(values.mean())
        covered += low <= 5.0 <= high
        widths.append(high - low)
        pooled += abs(mean - 5.0) <= 1.96 * values.std() / np.sqrt(values.size)
    assert 0.93 <= covered / 500 <= 0.995
    assert pooled / 500 < 0.85
    if not of_seeds:
        expected = 2 * 1.96 * np.sqrt(1 / 30 + 1 / 120)
        assert np.median(widths) == pytest.approx(expected, rel=0.25)


def test_the_network_learns_and_is_compiled_once():
    rng = np.random.default_rng(0)
    images = rng.uniform(0.4, 0.6, (48, 16, 16, 1)).astype(np.float32)
    labels = (np.arange(48) % 2).astype(np.int32)
    images[labels == 1, 4:10, 4:10] += 0.2
    network = plain_classifiers.Network(
        (16, 16, 1), num_steps=150, batch_size=16, widths=(8,), level=1
    )
    scores = network(images[:32], labels[:32], images[32:], 0)
    assert ((scores > 0.5) == labels[32:]).all()
    again = network(images[:32], labels[:32], images[32:], 0)
    np.testing.assert_array_equal(scores, again)
    network(images[:20], labels[:20], images[32:45], 1)
    assert network._step._cache_size() == 1
    assert network._logits._cache_size() == 1


@pytest.mark.slow
def test_eras_of_numbered_patients(strangers, tmp_path, monkeypatch):
    """The number tells the label of all patients, but not of those in the middle."""
    count = 40
    labels = np.r_[np.zeros(12), np.arange(16) % 2, np.ones(12)].astype(np.int32)
    rows = np.arange(count) * FRAMES
    known = {"dialect": labels.astype(float), "file_size": np.arange(count) % 3.0}
    everyone = dataclasses.replace(
        strangers.subset(rows),
        labels=labels,
        patient_ids=np.arange(count),
        parameters=known,
    )
    monkeypatch.setattr(dmr_ir_eras.data, "load", lambda *arguments: everyone)
    monkeypatch.setattr(dmr_ir_eras, "ERA", (12, 27))
    monkeypatch.setattr(dmr_ir_eras, "RESAMPLINGS", 100)
    few = {"num_steps": 2, "batch_size": 4, "level": 1, "widths": (4,)}
    monkeypatch.setattr(dmr_ir_eras, "NETWORK", few)
    monkeypatch.setattr(dmr_ir_eras, "linear", lambda _: plain_classifiers.linear(5))
    output = tmp_path / "eras.json"
    assert dmr_ir_eras.main([f"--manual_dir={tmp_path}", f"--output={output}"]) == 0
    text = output.read_text()
    sets = {part["name"]: part for part in json.loads(text)["sets"]}
    assert (sets["all"]["healthy"], sets["era"]["healthy"]) == (20, 8)
    auc = {
        name: {row["model"]: row["auc"] for row in part["rows"]}
        for name, part in sets.items()
    }
    assert auc["all"]["baseline:patient_number"] > 0.8
    assert auc["era"]["baseline:patient_number"] < 0.7
    assert auc["all"]["baseline:dialect"] == auc["era"]["baseline:dialect"] == 1
    assert auc["all"]["linear"] < 0.75
    # Aggregates alone: no patient's score or number.
    assert not any(len(values) > 3 for values in _lists(json.loads(text)))


def _lists(value):
    """All lists of numbers in a results file."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        if value and all(isinstance(v, int | float) for v in value):
            yield value
        for v in value:
            yield from _lists(v)
