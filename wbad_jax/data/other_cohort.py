"""Two cohorts as one data set, to train on one and to test on the other."""

import dataclasses

import numpy as np

from wbad_jax.data.dataset import Dataset
from wbad_jax.data.errors import DataError
from wbad_jax.data.splits import Indices, split_by_patient

# Patients of the other cohort are numbered from here on.
OTHER_PATIENTS = 1_000_000_000


def join_cohorts(dataset: Dataset, other: Dataset) -> Dataset:
    """The examples of both, in order of patient.

    Args:
        dataset: Whose version the result has.
        other: Of other patients; their numbers grow by `OTHER_PATIENTS`.

    Returns:
        All examples, with the parameters that both know.

    Raises:
        DataError: If images differ in size or window, or a patient is in both.

    Examples:
        >>> import dataclasses
        >>> from wbad_jax.data import is_other, join_cohorts
        >>> other = dataclasses.replace(dataset, name="theirs")  # see `Dataset`
        >>> both = join_cohorts(dataset, other)
        >>> len(both), int(is_other(both).sum())
        (48, 24)
    """
    shape, window = dataset.images.shape[1:], dataset.window
    if (other.images.shape[1:], other.window) != (shape, window):
        raise DataError(
            f"{other.name} must have images of {shape} and the window {window} as "
            f"{dataset.name} has, got {other.images.shape[1:]} and {other.window}."
        )
    if dataset.patient_ids.max() >= OTHER_PATIENTS:
        raise DataError(f"{dataset.name}: patient numbers must be below 1e9.")
    shared = np.intersect1d(dataset.patient_seeds, other.patient_seeds)
    if (shared >= 0).any():
        raise DataError(
            f"{other.name} must be of other patients than {dataset.name}, but both "
            f"have the patient of seed {shared[shared >= 0][0]}."
        )
    numbers = other.patient_ids + OTHER_PATIENTS
    parts = [dataset, dataclasses.replace(other, patient_ids=numbers)]
    arrays = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts])
        for field in dataclasses.fields(Dataset)
        if isinstance(getattr(dataset, field.name), np.ndarray)
    }
    parameters = {
        name: np.concatenate([part.parameters[name] for part in parts])
        for name in dataset.parameters
        if name in other.parameters
    }
    name = f"{dataset.name}, tested on {other.name}"
    return dataclasses.replace(dataset, name=name, parameters=parameters, **arrays)


def is_other(dataset: Dataset) -> np.ndarray:
    """`[examples]` bool: those of the other cohort of `join_cohorts`.

    Examples:
        >>> from wbad_jax.data import is_other
        >>> bool(is_other(dataset).any())  # see `Dataset`
        False
    """
    return dataset.patient_ids >= OTHER_PATIENTS


def names_apart(dataset: Dataset) -> Dataset:
    """The same, with "other/" before the names of the other cohort's examples.

    In each cohort names begin anew, and attacks draw their keys from them: they stay as
    they are but where the examples of both are told apart by name.

    Examples:
        >>> from wbad_jax.data import join_cohorts, names_apart
        >>> both = names_apart(join_cohorts(dataset, dataset))  # see `Dataset`
        >>> len(set(both.example_ids.tolist()))
        48
    """
    mark = np.where(is_other(dataset), "other/", "")
    return dataclasses.replace(
        dataset, example_ids=np.char.add(mark, dataset.example_ids.astype(str))
    )


def split_to_other(dataset: Dataset, validation_fraction: float, seed: int) -> Indices:
    """Splits one cohort into training and validation; the other is the test.

    Args:
        dataset: Of `join_cohorts`.
        validation_fraction: Share of the first cohort's patients.
        seed: Of the shuffle.

    Returns:
        Parts `train`, `validation` and `test`, as in `split_by_patient`.

    Raises:
        DataError: If the fraction is impossible, or a part lacks a class.

    Examples:
        >>> from wbad_jax.data import join_cohorts, split_to_other
        >>> both = join_cohorts(dataset, dataset)  # see `Dataset`
        >>> parts = split_to_other(both, validation_fraction=0.25, seed=0)
        >>> {name: len(rows) for name, rows in parts.items()}
        {'train': 18, 'validation': 6, 'test': 24}
    """
    other = is_other(dataset)
    fractions = {"train": 1 - validation_fraction, "validation": validation_fraction}
    first = np.flatnonzero(~other)
    parts = split_by_patient(dataset.subset(first), fractions, seed)
    return {
        **{name: first[rows] for name, rows in parts.items()},
        "test": np.flatnonzero(other),
    }
