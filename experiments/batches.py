"""Which examples make up the batch of a training step."""

from collections.abc import Callable

import grain
import numpy as np

from wbad_jax.data import Dataset
from wbad_jax.types import Batch


def examples_of_a_patient(dataset: Dataset) -> int:
    """How many examples each patient has, where all have as many."""
    return len(dataset) // len(np.unique(dataset.patient_ids))


def batch_sampler(
    dataset: Dataset,
    size: int,
    seed: int,
    *,
    random_flip: bool = False,
    balance_classes: bool = False,
) -> Callable[[int], Batch]:
    """From a step to its batch: shuffled anew each epoch, a pure function of the step.

    The examples of one patient go together: where both twins of each patient are
    trained on, they meet in one batch, and their difference is the tumour alone.

    Args:
        dataset: Examples to draw from, ordered by patient, as many for each.
        size: Examples a batch, a multiple of those of a patient; a set smaller than
            that is repeated within a batch.
        seed: Of the shuffles.
        random_flip: Whether to mirror half of the patients left to right, which
            changes no label.
        balance_classes: Whether examples weigh `n / (classes * n of their class)` in
            place of 1.
    """
    each = examples_of_a_patient(dataset)
    order = grain.MapDataset.range(len(dataset) // each).seed(seed).shuffle().repeat()
    order = order.batch(size // each)
    weights = np.ones(len(dataset), np.float32)
    if balance_classes:
        weights = balanced_weights(dataset.labels)

    def batch_at(step: int) -> Batch:
        rows = np.asarray(order[step])[:, None] * each + np.arange(each)
        rows = rows.ravel()
        images = dataset.images[rows]
        if random_flip:
            flips = np.random.default_rng((seed, step)).random(size // each) < 0.5
            flips = np.repeat(flips, each)[:, None, None, None]
            images = np.where(flips, images[:, :, ::-1], images)
        return Batch._make((images, dataset.labels[rows], weights[rows]))

    return batch_at


def balanced_weights(labels: np.ndarray) -> np.ndarray:
    """Weights `[n]` of mean 1 with which all classes have the same total."""
    classes, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
    share = len(labels) / (len(classes) * counts)
    return share[index].astype(np.float32)
