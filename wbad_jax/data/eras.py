"""Splits by time: a model is tested on patients of an era that it has not seen.

Where one class was imaged in other years than the other, a split at random rewards a
model for knowing the year. A held-out era shows what is left without that.
"""

import datetime
from collections.abc import Sequence

import numpy as np

from wbad_jax.data.dataset import Dataset
from wbad_jax.data.errors import DataError
from wbad_jax.data.splits import Indices, patients_by_class, to_indices

PATIENT_NUMBER = "patient_number"
_DAY = "acquisition_day"


def eras_of(
    dataset: Dataset, by: str, boundaries: Sequence[float | str]
) -> dict[int, int]:
    """Divides the patients by a number or a date.

    Args:
        dataset: Any.
        by: "patient_number" or one of `dataset.parameters`.
        boundaries: Ascending; the first era ends before the first of them. Of
            "acquisition_day" also dates such as "2015-06-30".

    Returns:
        Patient number to era, from 0.

    Raises:
        DataError: If `by` is unknown, the boundaries do not ascend, or a patient's
            number is unknown or in two eras.

    Examples:
        >>> from wbad_jax.data import eras_of
        >>> eras = eras_of(dataset, "acquisition_year", [2013])  # see `Dataset`
        >>> sorted(set(eras.values()))
        [0, 1]
    """
    if by != PATIENT_NUMBER and by not in dataset.parameters:
        known = ", ".join([PATIENT_NUMBER, *dataset.parameters])
        raise DataError(f"eras by {by!r}: known of {dataset.name} are {known}.")
    edges = [_number(by, boundary) for boundary in boundaries]
    if not edges or any(a >= b for a, b in zip(edges, edges[1:], strict=False)):
        raise DataError(f"boundaries of eras must ascend, got {tuple(boundaries)}.")
    numbers = dataset.patient_ids
    values = numbers if by == PATIENT_NUMBER else dataset.parameters[by]
    if np.isnan(values).any():
        raise DataError(
            f"{by} is not known of patient {numbers[np.isnan(values)][0]}; eras need "
            "it of all."
        )
    eras: dict[int, int] = {}
    for patient, era in zip(
        numbers.tolist(), np.digitize(values, edges).tolist(), strict=True
    ):
        if eras.setdefault(patient, era) != era:
            raise DataError(
                f"Patient {patient} has images of the eras {eras[patient]} and {era}."
            )
    return eras


def _number(by: str, boundary: float | str) -> float:
    if not isinstance(boundary, str):
        return float(boundary)
    try:
        day = datetime.date.fromisoformat(boundary).toordinal()
    except ValueError:
        day = None
    if by != _DAY or day is None:
        raise DataError(
            f"a boundary of eras by {by!r} must be a number, or a date like 2015-06-30 "
            f"of {_DAY!r}, got {boundary!r}."
        )
    return float(day)


def split_by_era(
    dataset: Dataset,
    eras: dict[int, int],
    held_out: Sequence[int],
    validation_fraction: float,
    seed: int,
) -> Indices:
    """Holds whole eras out for the test.

    Args:
        dataset: Any.
        eras: Of `eras_of`.
        held_out: Eras of the part `test`.
        validation_fraction: Share of the other patients of each class that chooses
            thresholds and checkpoints.
        seed: Of the shuffle.

    Returns:
        Indices of the parts `train`, `validation` and `test`, as `split_by_patient`.

    Raises:
        DataError: If an era is unknown, none or all are held out, the fraction is not
            between 0 and 1, or a part lacks a class.

    Examples:
        >>> from wbad_jax.data import eras_of, split_by_era
        >>> eras = eras_of(dataset, "acquisition_year", [2013])  # see `Dataset`
        >>> parts = split_by_era(dataset, eras, [1], validation_fraction=0.25, seed=0)
        >>> len(parts["test"])
        12
    """
    known = sorted(set(eras.values()))
    unknown = sorted(set(held_out) - set(known))
    if unknown:
        raise DataError(f"eras to hold out must be among {known}, got {unknown}.")
    if not held_out or set(held_out) == set(known):
        raise DataError(f"some but not all of the eras {known} must be held out.")
    if not 0 < validation_fraction < 1:
        raise DataError(
            f"validation_fraction must be between 0 and 1, got {validation_fraction}."
        )
    rng = np.random.default_rng(seed)
    parts: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
    for members in patients_by_class(dataset).values():
        is_test = np.array([eras[patient] in held_out for patient in members.tolist()])
        rest = rng.permutation(members[~is_test])
        cut = round(validation_fraction * len(rest))
        parts["validation"].extend(rest[:cut].tolist())
        parts["train"].extend(rest[cut:].tolist())
        parts["test"].extend(members[is_test].tolist())
    return to_indices(dataset, parts)
