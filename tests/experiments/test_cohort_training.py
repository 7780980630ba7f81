"""What an experiment takes from a cohort, on arrays made here."""

import numpy as np
import pytest

from configs import default
from experiments.cohort import make_budgets
from wbad_jax.data import Dataset

SHAPE = (8, 8, 1)


def make_dataset(differences, *, twins=True):
    """Patients whose twins differ by `differences[patient][frame]`, in random order."""
    rng = np.random.default_rng(0)
    rows = []
    for patient, frames in enumerate(differences):
        for frame, difference in enumerate(frames):
            healthy = rng.uniform(0.2, 0.4, SHAPE)
            rows.append((patient, frame, 0, healthy))
            if twins:
                rows.append((patient, frame, 1, healthy + difference))
    rows = [rows[index] for index in rng.permutation(len(rows))]
    patients, frames, labels, images = map(np.array, zip(*rows, strict=True))
    count = len(rows)
    return Dataset(
        images=images.astype(np.float32),
        masks=np.ones((count, *SHAPE), bool),
        labels=labels.astype(np.int32),
        patient_ids=patients,
        example_ids=np.arange(count).astype(str),
        factual=labels == 0,
        background_celsius=np.zeros(count, np.float32),
        noise_celsius=np.zeros(count, np.float32),
        frames=frames.astype(np.int32),
        window=(22.0, 38.0),
        name="test",
        version="1.0.0",
    )


def square(pixels, height):
    """A difference of `pixels` equal pixels: |s|_2 / |s|_inf = sqrt(pixels)."""
    flat = np.zeros(np.prod(SHAPE))
    flat[:pixels] = height
    return flat.reshape(SHAPE)


def ratio_of(dataset):
    budgets = make_budgets(default.get_config(), dataset)
    return budgets["l2"] / budgets["linf"]


@pytest.mark.parametrize("num_frames", [1, 3])
def test_l2_ratio_is_the_median_over_twins_of_one_frame(num_frames):
    # Were twins of other frames or patients paired, the noise between them would count.
    sizes = (4, 16, 36, 49, 64)
    dataset = make_dataset(
        [
            [square(size, 0.1 * (1 + frame)) for frame in range(num_frames)]
            for size in sizes
        ]
    )
    assert ratio_of(dataset) == pytest.approx(6.0, rel=1e-3)


def test_a_frame_without_a_difference_does_not_count():
    frames = [square(9, 0.2), square(9, 0.0), square(9, 0.3)]
    assert ratio_of(make_dataset([frames] * 4)) == pytest.approx(3.0, rel=1e-3)


def test_l2_ratio_without_twins_is_the_default():
    frames = [square(9, 0.2)] * 3
    assert ratio_of(make_dataset([frames] * 4, twins=False)) == pytest.approx(8.0)
