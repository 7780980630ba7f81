"""One row a patient: what is measured on her images, and the state that she is in."""

import numpy as np

from wbad_jax.data.dataset import Dataset


def states_without_tumour(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Images that show the acquisition, and as little of the disease as can be.

    Where each patient is there as two twins, the healthy one has all but the tumour:
    what tells her state from it comes from elsewhere. Other data sets have the images
    alone.

    Args:
        dataset: Any.

    Returns:
        Rows, `[images]`, and whether their patient has label 1, `[images]` bool.
    """
    if dataset.factual.all():
        rows = np.arange(len(dataset))
        return rows, dataset.labels == 1
    rows = np.flatnonzero(dataset.labels == 0)
    return rows, ~dataset.factual[rows]


def patient_states(states: np.ndarray, patient_ids: np.ndarray) -> np.ndarray:
    """State of each patient: that of most of her images.

    Args:
        states: `[images]` bool.
        patient_ids: `[images]`.

    Returns:
        `[patients]` bool, in the order of patient numbers.
    """
    return patient_means(states[:, None], patient_ids)[:, 0] > 0.5


def patient_means(values: np.ndarray, patient_ids: np.ndarray) -> np.ndarray:
    """Mean over the images of each patient, without those that are not finite.

    Args:
        values: `[images, columns]`.
        patient_ids: `[images]`.

    Returns:
        `[patients, columns]` float64, in the order of patient numbers; NaN where a
        patient has no finite value.
    """
    patients, place = np.unique(patient_ids, return_inverse=True)
    means = np.full((len(patients), values.shape[1]), np.nan)
    for column, own in enumerate(values.T.astype(np.float64)):
        known = np.isfinite(own)
        count = np.bincount(place[known], minlength=len(patients))
        total = np.bincount(place[known], own[known], minlength=len(patients))
        np.divide(total, count, out=means[:, column], where=count > 0)
    return means
