"""All questions about a data set and its splits, in one call."""

from collections.abc import Mapping, Sequence

import numpy as np

from wbad_jax.data import duplicates, pixel_values, split_checks, twin_checks
from wbad_jax.data.dataset import Dataset
from wbad_jax.data.findings import Finding
from wbad_jax.data.label_consistency import label_consistency
from wbad_jax.data.linear_signal import linear_signal
from wbad_jax.data.shortcuts import find_shortcuts


def audit_dataset(
    dataset: Dataset, splits: Sequence[Mapping[str, np.ndarray]], *, quick: bool = False
) -> list[Finding]:
    """Asks whether results on a data set can mean what they seem to.

    Args:
        dataset: All examples, both twins of each patient where there are twins.
        splits: One a fold, part to the rows of its examples.
        quick: Whether to ask only what takes a second or so: nothing about nearly
            equal images, fine details and linear models.

    Returns:
        One finding a question, in a fixed order. Patients with an image that fails
        `pixel_values` are left out of the later ones.

    Examples:
        >>> from wbad_jax.data import audit_dataset, split_by_patient
        >>> shares = {"train": 0.5, "validation": 0.25, "test": 0.25}
        >>> parts = split_by_patient(dataset, shares, seed=0)  # see `Dataset`
        >>> findings = audit_dataset(dataset, [parts], quick=True)
        >>> sorted({finding.status for finding in findings})
        ['not_run', 'pass']
    """
    parts = split_checks.part_numbers(len(dataset), splits)
    digests = duplicates.image_digests(dataset)
    shares = pixel_values.pixel_shares(dataset)
    findings = [
        split_checks.patients_apart(dataset, splits),
        split_checks.class_balance(dataset, splits),
        label_consistency(dataset),
        duplicates.exact_duplicates(dataset, parts, digests),
        pixel_values.pixel_values(dataset, shares),
        pixel_values.clipped_pixels(dataset, shares),
    ]
    broken = dataset.patient_ids[shares.faulty]
    whole = np.flatnonzero(~np.isin(dataset.patient_ids, broken))
    if len(whole) < len(dataset):
        dataset = dataset.subset(whole)
        parts, digests = parts[:, whole], digests[whole]
    if len(np.unique(dataset.labels)) < 2:
        return findings
    findings.append(twin_checks.twin_labels(dataset))
    findings += find_shortcuts(dataset, quick=quick)
    if not quick:
        findings.append(duplicates.near_duplicates(dataset, parts, digests))
        findings.append(twin_checks.healthy_twins(dataset))
        findings.append(linear_signal(dataset))
    return findings
