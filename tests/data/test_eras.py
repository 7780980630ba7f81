import dataclasses
import datetime

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.data.datasets import make_dataset
from wbad_jax import data
from wbad_jax.data import DataError

pytestmark = pytest.mark.fast


def dataset_of(days, twins=False):
    """Patients 0, 3, 6, ..., healthy and ill in turn, imaged on these days."""
    dataset = make_dataset([False, True] * (len(days) // 2), twins=twins)
    day_of = dict(zip(np.unique(dataset.patient_ids), days, strict=True))
    known = np.array([day_of[p] for p in dataset.patient_ids], np.float32)
    return dataclasses.replace(dataset, parameters={"acquisition_day": known})


@given(
    st.lists(st.integers(0, 30), min_size=24, max_size=60).map(
        lambda days: days[: len(days) // 2 * 2]
    ),
    st.integers(5, 25),
    st.integers(0, 1),
    st.integers(0, 99),
    st.booleans(),
)
def test_eras_are_kept_apart(days, boundary, held_out, seed, twins):
    dataset = dataset_of(days, twins)
    eras = data.eras_of(dataset, "acquisition_day", [boundary])
    later = dataset.parameters["acquisition_day"] >= boundary
    ill = dataset.labels[dataset.factual] == 1
    kinds = 2 * later[dataset.factual] + ill  # one example a patient
    cells = np.bincount(kinds, minlength=4)
    assume(min(cells) >= 4)  # both classes in all parts
    parts = data.split_by_era(dataset, eras, [held_out], 0.3, seed)
    np.testing.assert_array_equal(parts["test"], np.flatnonzero(later == held_out))
    together = np.concatenate([parts["train"], parts["validation"]])
    np.testing.assert_array_equal(np.sort(together), np.flatnonzero(later != held_out))
    patients = [set(dataset.patient_ids[part]) for part in parts.values()]
    assert sum(map(len, patients)) == len(set(dataset.patient_ids))


def test_eras_by_patient_number_and_by_date():
    dataset = dataset_of(np.arange(12))
    eras = data.eras_of(dataset, "patient_number", (9, 21))
    assert eras == {3 * i: int(3 * i >= 9) + int(3 * i >= 21) for i in range(12)}
    first = datetime.date(2015, 6, 30)
    dataset = dataset_of(first.toordinal() + np.arange(-6, 6))
    eras = data.eras_of(dataset, "acquisition_day", ["2015-06-30"])
    assert list(eras.values()) == [0] * 6 + [1] * 6


@pytest.mark.parametrize(
    ("by", "boundaries", "message"),
    [
        ("day", (3,), "eras by 'day': known of test are patient_number, acquisition"),
        ("patient_number", (), r"boundaries of eras must ascend, got \(\)"),
        ("patient_number", (5, 5), "must ascend, got"),
        ("patient_number", ("2015-06-30",), "must be a number, or a date .*'2015"),
        ("acquisition_day", ("30.6.2015",), "must be a number, or a date .*'30.6"),
    ],
)
def test_wrong_eras_are_named(by, boundaries, message):
    with pytest.raises(DataError, match=message):
        data.eras_of(dataset_of(range(8)), by, boundaries)


def test_a_patient_of_unknown_or_two_eras():
    with pytest.raises(DataError, match="not known of patient 3; eras need it"):
        data.eras_of(dataset_of([1, np.nan, 2, 3]), "acquisition_day", [2])
    dataset = dataset_of([1, 1, 5, 5], twins=True)
    dataset.parameters["acquisition_day"][0] = 9
    with pytest.raises(DataError, match="Patient 0 has images of the eras 1 and 0"):
        data.eras_of(dataset, "acquisition_day", [3])


@pytest.mark.parametrize(
    ("held_out", "fraction", "message"),
    [
        ([], 0.3, r"some but not all of the eras \[0, 1\] must be held out"),
        ([0, 1], 0.3, "some but not all"),
        ([2], 0.3, r"must be among \[0, 1\], got \[2\]"),
        ([0], 1.0, "validation_fraction must be between 0 and 1, got 1.0"),
        ([0], 0.01, "'validation' has 0 patients but none of class 0"),
    ],
)
def test_wrong_splits_by_era_are_named(held_out, fraction, message):
    dataset = dataset_of(np.arange(12))
    eras = data.eras_of(dataset, "acquisition_day", [6])
    with pytest.raises(DataError, match=message):
        data.split_by_era(dataset, eras, held_out, fraction, 0)


def test_an_era_of_one_class_cannot_be_tested():
    dataset = dataset_of([0, 9] * 6)
    eras = data.eras_of(dataset, "acquisition_day", [5])
    with pytest.raises(DataError, match="part 'train' has .* none of class 1"):
        data.split_by_era(dataset, eras, [1], 0.3, 0)


FRACTIONS = {"train": 0.6, "validation": 0.2, "test": 0.2}


def frames_of(dataset, count):
    """Each example once more for every further frame."""
    return dataset.subset(np.repeat(np.arange(len(dataset)), count))


@given(st.integers(0, 99), st.booleans())
def test_a_split_by_image_divides_images_and_leaks_patients(seed, twins):
    dataset = frames_of(make_dataset([False, True] * 10, twins=twins), 8)
    parts = data.split_by_image(dataset, FRACTIONS, seed, allow_leakage=True)
    together = np.sort(np.concatenate(list(parts.values())))
    np.testing.assert_array_equal(together, np.flatnonzero(dataset.factual))
    for name, part in parts.items():
        labels = dataset.labels[part]
        assert len(part) == round(FRACTIONS[name] * 160)
        assert (labels == 0).sum() == (labels == 1).sum()
    shared = set(dataset.patient_ids[parts["train"]]) & set(
        dataset.patient_ids[parts["test"]]
    )
    assert len(shared) > 10


def test_a_split_by_image_is_refused_unless_allowed():
    dataset = make_dataset([False, True] * 10)
    with pytest.raises(DataError, match="refused unless allow_leakage is True"):
        data.split_by_image(dataset, FRACTIONS, 0, allow_leakage=False)
    with pytest.raises(DataError, match="fractions must sum to 1"):
        data.split_by_image(dataset, {"train": 0.5, "test": 0.4}, 0, allow_leakage=True)
