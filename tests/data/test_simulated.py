import subprocess
import sys

import numpy as np
import pytest
from sklearn import metrics

from wbad_jax import data


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("tfds")


@pytest.fixture(scope="module")
def tiny(data_dir):
    return data.load("simulated_thermograms/tiny", data_dir)


def test_tiny_has_two_twins_a_patient(tiny):
    assert tiny.images.shape == (128, 32, 32, 1)
    assert tiny.images.dtype == np.float32
    assert tiny.labels.dtype == np.int32
    assert tiny.name == "simulated_thermograms/tiny"
    assert tiny.version == "1.0.0"
    np.testing.assert_array_equal(tiny.patient_ids, np.repeat(np.arange(64), 2))
    np.testing.assert_array_equal(tiny.labels, np.tile([0, 1], 64))
    assert tiny.example_ids[25] == "p00012-tumour"
    np.testing.assert_array_equal(tiny.factual.reshape(64, 2).sum(axis=1), 1)


def test_images_are_windowed_and_masked(tiny):
    assert tiny.images.min() >= 0
    assert tiny.images.max() <= 1
    np.testing.assert_allclose(tiny.images[~tiny.masks], 0.5, atol=1e-4)
    assert tiny.images[tiny.masks].mean() * 16 + 22 == pytest.approx(30.5, abs=0.5)


def test_twins_differ_by_warmth_inside_the_mask_only(tiny):
    twins = tiny.images.reshape(64, 2, 32, 32, 1)
    masks = tiny.masks.reshape(twins.shape)
    difference = twins[:, 1] - twins[:, 0]
    np.testing.assert_array_equal(masks[:, 0], masks[:, 1])
    assert difference.min() >= 0
    assert not difference[~masks[:, 0]].any()
    assert (difference.max(axis=(1, 2, 3)) * 16 > 0.4).all()
    # Most of the body is untouched by the tumour, to the last bit.
    assert np.mean(difference[masks[:, 0]] == 0) > 0.2


def test_reading_again_gives_the_same(tiny, data_dir, capsys):
    again = data.load("simulated_thermograms/tiny", data_dir)
    assert "Preparing" not in capsys.readouterr().out
    np.testing.assert_array_equal(again.images, tiny.images)
    np.testing.assert_array_equal(again.example_ids, tiny.example_ids)


def test_settings_make_another_cohort(tiny, data_dir):
    other = data.load(
        "simulated_thermograms/tiny",
        data_dir,
        settings={"num_patients": 6, "cohort_seed": 99},
    )
    assert len(other) == 12
    assert other.name.startswith("simulated_thermograms/tiny-")
    assert np.abs(other.images - tiny.images[:12]).max() > 0.05


def test_an_interrupted_preparation_is_started_again(tmp_path, monkeypatch):
    settings = {"num_patients": 4}
    name = "simulated_thermograms/tiny"
    from wbad_jax.data import simulated

    original = simulated.bioheat.simulate_patient

    def fails_at_the_end(seed, patient, config):
        if patient == 3:
            raise KeyboardInterrupt
        return original(seed, patient, config)

    monkeypatch.setattr(simulated.bioheat, "simulate_patient", fails_at_the_end)
    with pytest.raises(KeyboardInterrupt):
        data.load(name, tmp_path, settings=settings)
    monkeypatch.undo()
    assert len(data.load(name, tmp_path, settings=settings)) == 8


def test_scalars_do_not_tell_the_label(data_dir):
    """What predicts the label of real data must not do so here."""
    dataset = data.load(
        "simulated_thermograms/tiny",
        data_dir,
        settings={"num_patients": 400, "height": 16, "width": 16, "cohort_seed": 5},
    )
    dataset = dataset.subset(dataset.factual)
    train, test = np.arange(200), np.arange(200, 400)
    for feature in ("patient_number", "background_temperature", "noise_level"):
        scores = data.baseline_scores(dataset, train, test, feature)
        area = metrics.roc_auc_score(dataset.labels[test], scores)
        # The standard deviation for 100 against 100 is 0.041.
        assert 0.35 < area < 0.65, feature


def test_tensorflow_is_never_imported(tmp_path):
    code = (
        "import sys; from wbad_jax import data;"
        f"data.load('simulated_thermograms/tiny', {str(tmp_path)!r},"
        "settings={'num_patients': 2});"
        "assert 'tensorflow' not in sys.modules"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("cifar10", None, "'cifar10'. Known: simulated_thermograms, dmr_ir"),
        ("simulated_thermograms/huge", None, "Known: tiny, quickstart, paper"),
        ("simulated_thermograms", {"hight": 3}, "Unknown setting 'hight'.*height"),
    ],
)
def test_unknown_names_list_the_known(tmp_path, name, settings, message):
    with pytest.raises(data.DataError, match=message):
        data.load(name, tmp_path, settings=settings)


def test_subset_keeps_order_and_everything_else(tiny):
    part = tiny.subset(np.array([5, 2]))
    assert part.example_ids.tolist() == [tiny.example_ids[5], tiny.example_ids[2]]
    assert len(part) == 2
    assert part.window == tiny.window
    assert len(tiny.subset(tiny.factual)) == 64
