"""Data sets of patients without features."""

import numpy as np

from wbad_jax.data.dataset import Dataset


def make_dataset(has_tumour, twins=True):
    """Patients with the given states, each with both twins if `twins`."""
    has_tumour = np.asarray(has_tumour, bool)
    num = len(has_tumour)
    patients = np.repeat(np.arange(num) * 3, 2)
    labels = np.tile([0, 1], num)
    factual = labels == np.repeat(has_tumour, 2)
    keep = np.ones(2 * num, bool) if twins else factual
    count = int(keep.sum())
    return Dataset(
        images=np.zeros((count, 4, 4, 1), np.float32),
        masks=np.ones((count, 4, 4, 1), bool),
        labels=labels[keep].astype(np.int32),
        patient_ids=patients[keep],
        patient_seeds=np.full(count, -1),
        frames=np.zeros(count, np.int32),
        seconds=np.zeros(count, np.float32),
        example_ids=np.array([f"e{i}" for i in range(count)]),
        factual=factual[keep],
        background_celsius=np.zeros(count, np.float32),
        noise_celsius=np.zeros(count, np.float32),
        parameters={},
        window=(22.0, 38.0),
        name="test",
        version="1.0.0",
    )
