"""Splits by patient: all images of a patient, twins included, are in one part.

Splitting by image puts near-identical images of one woman on both sides and inflates
accuracy by 4 to 55 points: Tampu et al. (2022), Sci. Data, doi
10.1038/s41597-022-01618-6; Yagis et al. (2021), Sci. Rep. 11:22544.
"""

import itertools
import math
from collections.abc import Mapping

import numpy as np

from wbad_jax.data.dataset import Dataset
from wbad_jax.data.errors import DataError
from wbad_jax.data.simulated import SimulatedThermogramsConfig

Indices = dict[str, np.ndarray]


def split_by_patient(
    dataset: Dataset, fractions: Mapping[str, float], seed: int
) -> Indices:
    """Splits patients at random, each part with the classes in proportion.

    Args:
        dataset: Any.
        fractions: Part to its share of patients, `{"train": 0.7, "validation": 0.15,
            "test": 0.15}`. Sizes are exact to one patient a class.
        seed: Of the shuffle.

    Returns:
        Part to sorted indices of its examples, twins of both states included; take
        those with `dataset.factual` for a set of patients as they are.

    Raises:
        DataError: If the fractions are not positive or do not sum to 1, or a part lacks
            a class.

    Examples:
        >>> from wbad_jax.data import split_by_patient
        >>> shares = {"train": 0.5, "validation": 0.25, "test": 0.25}
        >>> parts = split_by_patient(dataset, shares, seed=0)  # see `Dataset`
        >>> {name: len(rows) for name, rows in parts.items()}
        {'train': 12, 'validation': 6, 'test': 6}
    """
    check_fractions(fractions)
    rng = np.random.default_rng(seed)
    patients: dict[str, list[int]] = {name: [] for name in fractions}
    ends = np.cumsum(list(fractions.values()))
    for members in patients_by_class(dataset).values():
        members = rng.permutation(members)
        cuts = np.round(ends[:-1] * len(members)).astype(int)
        for name, part in zip(patients, np.split(members, cuts), strict=True):
            patients[name].extend(part.tolist())
    return to_indices(dataset, patients)


def check_fractions(fractions: Mapping[str, float]) -> None:
    """Checks that shares are positive and sum to 1.

    Raises:
        DataError: If not.
    """
    if not fractions or min(fractions.values()) <= 0:
        raise DataError(f"fractions must be positive, got {dict(fractions)}.")
    if not math.isclose(sum(fractions.values()), 1.0, abs_tol=1e-6):
        raise DataError(
            f"fractions must sum to 1, got {dict(fractions)} with sum "
            f"{sum(fractions.values()):g}."
        )


def patient_folds(
    dataset: Dataset, num_folds: int, validation_fraction: float, seed: int
) -> list[Indices]:
    """Cross-validation by patient: each is in the test part of exactly one fold.

    Args:
        dataset: Any.
        num_folds: At least 2.
        validation_fraction: Share of the patients outside the test part that is held
            out for choosing thresholds and epochs.
        seed: Of the shuffle.

    Returns:
        For each fold its parts `train`, `validation` and `test`, as in
        `split_by_patient`.

    Raises:
        DataError: If a class has fewer patients than folds, or a part lacks a class.

    Examples:
        >>> from wbad_jax.data import patient_folds
        >>> folds = patient_folds(dataset, 3, validation_fraction=0.25, seed=0)
        >>> [len(fold["test"]) for fold in folds]  # see `Dataset`
        [8, 8, 8]
    """
    if num_folds < 2:
        raise DataError(f"patient_folds needs num_folds >= 2, got {num_folds}.")
    if not 0 < validation_fraction < 1:
        raise DataError(
            f"validation_fraction must be between 0 and 1, got {validation_fraction}."
        )
    rng = np.random.default_rng(seed)
    by_class = patients_by_class(dataset)
    blocks = {}
    for label, members in by_class.items():
        if len(members) < num_folds:
            raise DataError(
                f"{num_folds} folds need as many patients of each class, but class "
                f"{label} has {len(members)}."
            )
        blocks[label] = np.array_split(rng.permutation(members), num_folds)
    folds = []
    for fold in range(num_folds):
        parts: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
        for label, members in by_class.items():
            test = blocks[label][fold]
            rest = rng.permutation(np.setdiff1d(members, test))
            cut = round(validation_fraction * len(rest))
            parts["validation"].extend(rest[:cut].tolist())
            parts["train"].extend(rest[cut:].tolist())
            parts["test"].extend(test.tolist())
        folds.append(to_indices(dataset, parts))
    return folds


def check_disjoint(*cohorts: Dataset | SimulatedThermogramsConfig) -> None:
    """Checks that no two cohorts share a patient, as when one tests what others train.

    Args:
        cohorts: Data sets, or configs of simulated ones. A simulated patient is known
            by her seed, whatever the settings; a real one by builder and number.

    Raises:
        DataError: Naming two cohorts and a patient of both.

    Examples:
        >>> from wbad_jax.data import check_disjoint
        >>> first = dataset.subset(np.arange(8))  # see `Dataset`
        >>> check_disjoint(first, dataset.subset(np.arange(8, 24)))
    """
    members = [(cohort.name, *_identities(cohort)) for cohort in cohorts]
    for first, second in itertools.combinations(members, 2):
        if first[1] != second[1]:
            continue
        shared = np.intersect1d(first[2], second[2])
        if shared.size:
            raise DataError(
                f"{first[0]} and {second[0]} must share no patient, but have "
                f"{shared.size} in common, the first of them {shared[0]}."
            )


def _identities(cohort: Dataset | SimulatedThermogramsConfig) -> tuple[str, np.ndarray]:
    """What kind of patients a cohort has, and their numbers among all of that kind."""
    if isinstance(cohort, SimulatedThermogramsConfig):
        return "simulated", np.array(cohort.seeds)
    if (cohort.patient_seeds >= 0).all():
        return "simulated", np.unique(cohort.patient_seeds)
    return cohort.name.partition("/")[0], np.unique(cohort.patient_ids)


def patients_by_class(dataset: Dataset) -> dict[int, np.ndarray]:
    """Class to the numbers of its patients; a patient's class is its factual label."""
    label_of: dict[int, int] = {}
    for patient, label in zip(
        dataset.patient_ids[dataset.factual].tolist(),
        dataset.labels[dataset.factual].tolist(),
        strict=True,
    ):
        if label_of.setdefault(patient, label) != label:
            raise DataError(
                f"Patient {patient} has factual examples of labels {label_of[patient]} "
                f"and {label}; a patient must have one."
            )
    missing = np.setdiff1d(dataset.patient_ids, list(label_of))
    if missing.size:
        raise DataError(f"Patient {missing[0]} has no factual example.")
    classes = sorted(set(label_of.values()))
    if len(classes) < 2:
        raise DataError(
            f"A split needs patients of at least two classes, got {classes}."
        )
    return {
        label: np.array([p for p, own in sorted(label_of.items()) if own == label])
        for label in classes
    }


def to_indices(dataset: Dataset, patients: Mapping[str, list[int]]) -> Indices:
    """Turns parts of patients into parts of examples, and checks them."""
    indices = {
        name: np.flatnonzero(np.isin(dataset.patient_ids, members))
        for name, members in patients.items()
    }
    classes = np.unique(dataset.labels[dataset.factual])
    for name, part in indices.items():
        factual = part[dataset.factual[part]]
        missing = np.setdiff1d(classes, dataset.labels[factual])
        if missing.size:
            raise DataError(
                f"The part {name!r} has {len(np.unique(dataset.patient_ids[part]))} "
                f"patients but none of class {missing[0]}; there are too few patients "
                "or too small a fraction."
            )
    return indices
