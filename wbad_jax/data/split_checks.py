"""Whether the parts of a data set are apart, and each has what it needs."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import scipy

from wbad_jax.data.dataset import Dataset
from wbad_jax.data.findings import ALPHA, Finding, some

Splits = Sequence[Mapping[str, np.ndarray]]
# Share of the rarer class below which accuracy says little.
_RARE = 0.2


def part_numbers(num_examples: int, splits: Splits) -> np.ndarray:
    """Which part each example is in.

    Args:
        num_examples: Of the data set.
        splits: One a fold, part to the rows of its examples.

    Returns:
        `[folds, examples]` int8, the place of the part in its fold, -1 for none.
    """
    numbers = np.full((len(splits), num_examples), -1, np.int8)
    for fold, split in enumerate(splits):
        for number, rows in enumerate(split.values()):
            numbers[fold, rows] = number
    return numbers


def in_two_parts(parts: np.ndarray, first: np.ndarray, second: np.ndarray):
    """Whether pairs of examples are on two sides of a split, in any fold.

    Args:
        parts: Of `part_numbers`.
        first: Rows, `[pairs]`.
        second: Rows, `[pairs]`.

    Returns:
        `[pairs]` bool.
    """
    one, other = parts[:, first], parts[:, second]
    return ((one >= 0) & (other >= 0) & (one != other)).any(axis=0)


def patients_apart(dataset: Dataset, splits: Splits) -> Finding:
    """Looks for patients with images in two parts of one split.

    Args:
        dataset: Any.
        splits: One a fold, part to the rows of its examples.

    Returns:
        "fail" if there is such a patient.
    """
    names = {"patient": dataset.patient_ids}
    if (dataset.patient_seeds >= 0).any():  # the same one under two numbers
        names["simulated patient"] = dataset.patient_seeds
    shared: set[str] = set()
    for split in splits:
        for kind, numbers in names.items():
            members = [np.unique(numbers[rows]) for rows in split.values()]
            number, count = np.unique(np.concatenate(members), return_counts=True)
            shared |= {f"{kind} {n}" for n in number[(count > 1) & (number >= 0)]}
    title = "Patients in two parts"
    if not shared:
        patients = len(np.unique(dataset.patient_ids))
        sentence = f"Each of {patients} patients is in one part of a split alone."
        return Finding("patients_apart", title, "pass", sentence, {"patients": []})
    listed = sorted(shared)
    sentence = (
        f"In two parts of one split: {some(listed)}. A network can know them again, "
        "and its accuracy on others is lower than measured here."
    )
    return Finding("patients_apart", title, "fail", sentence, {"patients": listed})


def class_balance(dataset: Dataset, splits: Splits) -> Finding:
    """Counts patients of each class in each part.

    Args:
        dataset: Any.
        splits: One a fold, part to the rows of its examples.

    Returns:
        "fail" if a part lacks a class, "warn" if parts differ in their share of a class
        or a class is rare.
    """
    classes = np.unique(dataset.labels).tolist()
    counts = [
        {part: _patients_of(dataset, rows, classes) for part, rows in split.items()}
        for split in splits
    ]
    tables = [np.array(list(count.values())) for count in counts]
    lacking = sorted(
        {
            f"{part!r} has no patient of class {label}"
            for count in counts
            for part, numbers in count.items()
            for label, number in zip(classes, numbers, strict=True)
            if not number
        }
    )
    totals = tables[0].sum(axis=0) if tables else np.array([0])
    evidence = {"classes": classes, "patients": counts}
    uneven = any(_p_value(t) < ALPHA for t in tables if t.all())
    if len(classes) < 2:
        status, sentence = "fail", f"All labels are {some(classes)}."
    elif lacking:
        status, sentence = "fail", f"The part {some(lacking)}."
    elif uneven:
        status, sentence = "warn", "The parts differ in their share of the classes."
    elif totals.min() < _RARE * totals.sum():
        status = "warn"
        sentence = f"One class has {totals.min()} of {totals.sum()} patients only."
    else:
        status = "pass"
        numbers = " and ".join(
            f"{number} of class {label}"
            for label, number in zip(classes, totals, strict=True)
        )
        sentence = f"Patients: {numbers}; in each part in like shares."
    return Finding("class_balance", "Classes in each part", status, sentence, evidence)


def _p_value(table: np.ndarray) -> float:
    """Of equal shares in all rows, by a chi-square test."""
    # SciPy makes the class of the result at run time, so its fields have no types.
    return float(cast(Any, scipy.stats.chi2_contingency(table)).pvalue)


def _patients_of(dataset: Dataset, rows: np.ndarray, classes: list[int]) -> list[int]:
    rows = rows[dataset.factual[rows]]
    return [
        len(np.unique(dataset.patient_ids[rows][dataset.labels[rows] == label]))
        for label in classes
    ]
