"""Which patients a config takes, and how it divides them."""

import dataclasses

import numpy as np
import pytest

from experiments import audit, cohort, divisions
from experiments.config_errors import ConfigError
from experiments.run_folder import load_config, record_config
from tests.experiments.test_cohort_training import lesions, make_dataset
from wbad_jax.data import DataError, join_cohorts


def dataset_of(num_patients=40, num_frames=3):
    """Factual images; the day is the patient's number."""
    dataset = make_dataset(num_patients, num_frames)
    dataset = dataset.subset(dataset.factual)
    days = dataset.patient_ids.astype(np.float32)
    return dataclasses.replace(dataset, parameters={"acquisition_day": days})


@pytest.fixture
def config_of(smoke_config):
    def make(**overrides):
        return smoke_config("quickstart", **{"data.max_examples": None, **overrides})

    return make


@pytest.mark.parametrize(
    ("patients", "kept"),
    [((), range(40)), ((5, 8), range(5, 9)), ([3, 30, 4], [3, 4, 30])],
)
def test_patients_of_a_range_or_a_list(patients, kept):
    dataset = divisions.select_patients(dataset_of(), patients)
    assert sorted(set(dataset.patient_ids)) == list(kept)
    assert len(dataset) == 3 * len(kept)
    assert set(dataset.parameters["acquisition_day"]) == set(kept)


@pytest.mark.parametrize(
    ("patients", "message"),
    [
        ((4,), r"data.patients = \(4,\) must be \(\), two whole numbers"),
        ((1.5, 3), "two whole numbers"),
        ((50, 60), "holds no patient of test, which has 0 to 39"),
        ((1, 2, 99), "test has no patient 99"),
    ],
)
def test_patients_that_cannot_be_taken(patients, message):
    with pytest.raises(ConfigError, match=message):
        divisions.select_patients(dataset_of(), patients)


def test_eras_are_held_out(config_of):
    overrides = {
        "data.split": "era",
        "data.era.by": "acquisition_day",
        "data.era.boundaries": (12, 30),
        "data.era.held_out": (2,),
        "training.batch_size": 9,
    }
    (fold,) = cohort.make_folds(config_of(**overrides), dataset_of())
    assert sorted(set(fold.test.patient_ids)) == list(range(30, 40))
    assert fold.name == ""
    overrides["data.era.held_out"] = ()
    folds = cohort.make_folds(config_of(**overrides), dataset_of())
    assert [fold.name for fold in folds] == ["era0", "era1", "era2"]
    tested = np.concatenate([fold.test.patient_ids for fold in folds])
    assert len(tested) == 120
    assert set(folds[1].test.patient_ids) == set(range(12, 30))


def test_a_split_by_image_warns(config_of, capsys):
    overrides = {
        "data.split": "image",
        "data.allow_leakage": True,
        "data.train_on_twins": False,
    }
    (fold,) = cohort.make_folds(config_of(**overrides), dataset_of())
    assert "WARNING: data.split is 'image'" in capsys.readouterr().err
    shared = set(fold.train.patient_ids) & set(fold.test.patient_ids)
    assert len(shared) > 10
    assert not set(fold.train.example_ids) & set(fold.test.example_ids)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"data.split": "image"}, "refused unless allow_leakage is True"),
        ({"data.split": "image", "data.num_folds": 2}, "num_folds must be 1"),
        ({"data.split": "era", "data.num_folds": 2}, "num_folds must be 1"),
        ({"data.split": "era"}, "boundaries of eras must ascend"),
        ({"data.split": "era", "data.era.by": "room"}, "eras by 'room': known"),
    ],
)
def test_impossible_divisions_are_named(config_of, overrides, message):
    with pytest.raises((ConfigError, DataError), match=message):
        cohort.make_folds(config_of(**overrides), dataset_of())


def test_twins_may_not_be_divided_by_image(config_of):
    overrides = {"data.split": "image", "data.allow_leakage": True}
    with pytest.raises(ConfigError, match="needs data.train_on_twins = False"):
        cohort.make_folds(config_of(**overrides), make_dataset(40, 3))


def test_three_classes_are_refused(config_of):
    dataset = dataset_of()
    dataset.labels[:3] = 2
    with pytest.raises(ConfigError, match=r"labels 0 and 1.*\[0, 1, 2\]"):
        cohort.make_folds(config_of(), dataset)


def test_images_without_temperatures_need_an_epsilon(config_of):
    dataset = dataclasses.replace(dataset_of(), window=(0.0, 1.0))
    with pytest.raises(ConfigError, match="without temperatures: set attack.epsilon"):
        cohort.make_folds(config_of(**{"training.batch_size": 9}), dataset)
    config = config_of(**{"training.batch_size": 9, "attack.epsilon": 0.01})
    (fold,) = cohort.make_folds(config, dataset)
    assert fold.budgets["linf"] == 0.01


def test_options_survive_the_folder_of_a_run(smoke_config, tmp_path):
    config = smoke_config("image_folder", **{"data.options.window": (20.0, 36.0)})
    record_config(config, tmp_path)
    again = load_config(tmp_path)
    assert again.data.options.window in ((20.0, 36.0), [20.0, 36.0])
    assert again.data.options.table is None
    record_config(again, tmp_path)


def other_dataset(num_patients=10, first_seed=500, **changes):
    other = make_dataset(num_patients, 1)
    return dataclasses.replace(
        other, patient_seeds=other.patient_seeds + first_seed, name="other", **changes
    )


def test_another_cohort_is_the_test_set(config_of, monkeypatch):
    first, other = lesions(20, 1), other_dataset()
    monkeypatch.setattr(
        cohort.data, "load", lambda name, *_, **__: other if name == "other" else first
    )
    config = config_of(**{"data.test_builder": "other", "data.builder": "first"})
    dataset = cohort.load(config)
    (fold,) = cohort.make_folds(config, dataset)
    # All of the other cohort is tested on, and nobody else; all of the first is used.
    assert sorted(fold.test.patient_seeds) == list(range(500, 510))
    assert len(fold.test_pairs) == 2 * len(fold.test)
    used = [*fold.train.patient_seeds, *fold.validation.patient_seeds]
    assert sorted(set(used)) == list(range(20))
    assert not set(fold.train.patient_ids) & set(fold.validation.patient_ids)
    assert not set(fold.train.patient_ids) & set(fold.test.patient_ids)
    # The radius in L2 does not depend on who is tested; the other has no lesions.
    unlocked = config.copy_and_resolve_references().unlock()
    unlocked.attack.l2_ratio = None
    budgets = cohort.make_budgets(unlocked, dataset)
    assert budgets == cohort.make_budgets(unlocked, first)


def test_examples_of_two_cohorts_may_have_one_name(config_of, monkeypatch):
    """Each cohort counts its patients from 0; the audit must not mix them up."""
    first, other = lesions(20, 1), other_dataset()
    assert set(other.example_ids) <= set(first.example_ids)
    monkeypatch.setattr(
        cohort.data, "load", lambda name, *_, **__: other if name == "other" else first
    )
    config = config_of(**{"data.test_builder": "other", "data.builder": "first"})

    def asked(dataset):
        folds = cohort.make_folds(config, dataset)
        findings, _ = audit.ask(config, dataset, folds, quick=True)
        return {finding.id: finding for finding in findings}

    dataset = cohort.load(config)
    found = asked(dataset)
    assert found["patients_apart"].status == "pass"
    assert found["label_consistency"].status == "pass"
    assert found["class_balance"].evidence["patients"][0]["test"] == [5, 5]
    # A name that is twice in one cohort is seen.
    dataset.example_ids[-1] = dataset.example_ids[-2]
    again = asked(dataset)["label_consistency"]
    assert again.status == "fail"
    assert again.evidence["repeated_names"] == [f"other/{dataset.example_ids[-1]}"]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (other_dataset(first_seed=5), "both have the patient of seed 5"),
        (other_dataset(window=(20.0, 36.0)), "other must have images of .* window"),
        (
            dataclasses.replace(
                other_dataset(), images=np.zeros((20, 5, 4, 1), np.float32)
            ),
            "other must have images of",
        ),
    ],
)
def test_cohorts_that_cannot_be_joined(other, message):
    with pytest.raises(DataError, match=message):
        join_cohorts(make_dataset(20, 1), other)


def test_another_cohort_needs_a_split_by_patient(config_of):
    config = config_of(**{"data.test_builder": "other", "data.num_folds": 2})
    dataset = join_cohorts(make_dataset(20, 1), other_dataset())
    with pytest.raises(ConfigError, match=r"data.test_builder needs data.split"):
        cohort.make_folds(config, dataset)
