import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.datasets import make_dataset
from wbad_jax.data import DataError, SimulatedThermograms, errors, splits

FRACTIONS = {"train": 0.6, "validation": 0.2, "test": 0.2}


cohorts = st.builds(
    make_dataset,
    st.tuples(st.integers(8, 40), st.integers(8, 40)).map(
        lambda n: [False] * n[0] + [True] * n[1]
    ),
    twins=st.booleans(),
)


@settings(max_examples=30, deadline=None)
@given(cohorts, st.integers(0, 100))
def test_parts_are_disjoint_complete_and_stratified(dataset, seed):
    parts = splits.split_by_patient(dataset, FRACTIONS, seed)
    together = np.concatenate(list(parts.values()))
    np.testing.assert_array_equal(np.sort(together), np.arange(len(dataset)))
    patients = [set(dataset.patient_ids[part]) for part in parts.values()]
    assert sum(map(len, patients)) == len(set(dataset.patient_ids))
    for name, part in parts.items():
        factual = part[dataset.factual[part]]
        for label in (0, 1):
            total = np.sum(dataset.labels[dataset.factual] == label)
            size = np.sum(dataset.labels[factual] == label)
            assert abs(size - FRACTIONS[name] * total) <= 1


@settings(max_examples=20, deadline=None)
@given(cohorts, st.integers(2, 8), st.integers(0, 100))
def test_each_patient_is_tested_in_exactly_one_fold(dataset, num_folds, seed):
    folds = splits.patient_folds(dataset, num_folds, 0.25, seed)
    tested = np.concatenate([fold["test"] for fold in folds])
    np.testing.assert_array_equal(np.sort(tested), np.arange(len(dataset)))
    for fold in folds:
        patients = [set(dataset.patient_ids[part]) for part in fold.values()]
        assert sum(map(len, patients)) == len(set(dataset.patient_ids))
        for part in fold.values():
            factual = part[dataset.factual[part]]
            assert set(dataset.labels[factual]) == {0, 1}


def test_same_seed_same_split_other_seed_another():
    dataset = make_dataset([False, True] * 30)
    first, second, third = (
        splits.split_by_patient(dataset, FRACTIONS, seed)["test"] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, second)
    assert set(first) != set(third)


def test_order_of_examples_does_not_matter():
    dataset = make_dataset([False, True] * 30)
    shuffled = dataset.subset(np.random.default_rng(0).permutation(len(dataset)))
    for name, part in splits.split_by_patient(dataset, FRACTIONS, 3).items():
        other = splits.split_by_patient(shuffled, FRACTIONS, 3)[name]
        assert set(dataset.example_ids[part]) == set(shuffled.example_ids[other])


@pytest.mark.parametrize(
    ("fractions", "message"),
    [
        ({"train": 0.6, "test": 0.3}, "sum to 1, got .* sum 0.9"),
        ({"train": 1.2, "test": -0.2}, "must be positive"),
        ({}, "must be positive"),
        ({"train": 0.99, "test": 0.01}, "'test' has 0 patients but none of class 0"),
    ],
)
def test_rejects_bad_fractions(fractions, message):
    with pytest.raises(errors.DataError, match=message):
        splits.split_by_patient(make_dataset([False, True] * 5), fractions, 0)


def test_rejects_one_class_only():
    with pytest.raises(errors.DataError, match=r"two classes, got \[1\]"):
        splits.split_by_patient(make_dataset([True] * 20), FRACTIONS, 0)


def test_rejects_too_few_patients_for_folds():
    dataset = make_dataset([False] * 20 + [True] * 3)
    with pytest.raises(errors.DataError, match="5 folds .* class 1 has 3"):
        splits.patient_folds(dataset, 5, 0.2, 0)
    with pytest.raises(errors.DataError, match="num_folds >= 2, got 1"):
        splits.patient_folds(dataset, 1, 0.2, 0)
    with pytest.raises(errors.DataError, match="between 0 and 1, got 1.0"):
        splits.patient_folds(dataset, 3, 1.0, 0)


def test_rejects_a_patient_in_two_states():
    dataset = make_dataset([False, True] * 5)
    dataset.factual[:] = True
    with pytest.raises(errors.DataError, match="Patient 0 has factual examples"):
        splits.split_by_patient(dataset, FRACTIONS, 0)


def test_rejects_a_patient_without_a_factual_example():
    dataset = make_dataset([False, True] * 5)
    dataset.factual[:2] = False
    with pytest.raises(errors.DataError, match="Patient 0 has no factual example"):
        splits.split_by_patient(dataset, FRACTIONS, 0)


def with_frames(dataset, num_frames):
    """Each example once more for every further frame."""
    rows = np.repeat(np.arange(len(dataset)), num_frames)
    frames = np.tile(np.arange(num_frames, dtype=np.int32), len(dataset))
    return dataclasses.replace(dataset.subset(rows), frames=frames)


def test_frames_of_a_patient_stay_together():
    dataset = with_frames(make_dataset([False, True] * 20), 3)
    parts = splits.split_by_patient(dataset, FRACTIONS, 0)
    patients = [set(dataset.patient_ids[part]) for part in parts.values()]
    assert sum(map(len, patients)) == 40
    assert sum(map(len, parts.values())) == 40 * 2 * 3


def test_patients_are_counted_not_their_frames():
    dataset = with_frames(make_dataset([False, True] * 5), 3)
    with pytest.raises(errors.DataError, match="'test' has 0 patients"):
        splits.split_by_patient(dataset, {"train": 0.99, "test": 0.01}, 0)
    few = with_frames(make_dataset([False] * 20 + [True] * 2), 3)
    with pytest.raises(errors.DataError, match="has 4 patients but none of class 1"):
        splits.split_by_patient(few, {"train": 0.8, "test": 0.2}, 0)


def named(dataset, name, seeds=None):
    seeds = dataset.patient_seeds if seeds is None else seeds
    return dataclasses.replace(dataset, name=name, patient_seeds=seeds)


def test_disjoint_cohorts_by_seed():
    config = SimulatedThermograms.BUILDER_CONFIGS[0]
    few = make_dataset([False, True])
    ours = named(few, "ours", np.repeat([5, 6], 2))
    theirs = named(few, "theirs", np.repeat([7, 8], 2))
    # Numbers within a cohort name nobody.
    splits.check_disjoint(ours, theirs, config)
    with pytest.raises(DataError, match="ours and theirs must .*1 in common.* 6"):
        splits.check_disjoint(ours, named(theirs, "theirs", np.repeat([6, 7], 2)))
    last = config.seeds[-1]
    inside = named(ours, "ours", np.repeat([5, last], 2))
    with pytest.raises(DataError, match=f"paper and ours .* {last}"):
        splits.check_disjoint(config, theirs, inside)
    after = named(ours, "ours", np.repeat([5, last + 1], 2))
    splits.check_disjoint(config, after)


def test_disjoint_real_sets_by_builder_and_number():
    few = make_dataset([False, True] * 3)
    real, other = named(few, "dmr_ir/frontal"), named(few, "elsewhere/frontal")
    splits.check_disjoint(real, other, SimulatedThermograms.BUILDER_CONFIGS[0])
    first, rest = real.subset(np.arange(6)), real.subset(np.arange(6, 12))
    splits.check_disjoint(first, rest)
    with pytest.raises(DataError, match="6 in common"):
        splits.check_disjoint(real, dataclasses.replace(real, name="dmr_ir/other"))
