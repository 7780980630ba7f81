"""Synthetic data sets with nothing wrong, and one thing wrong at a time."""

import dataclasses

import numpy as np
from scipy import ndimage

from wbad_jax.data.dataset import Dataset

SIZE = 24


def clean_dataset(seed, num_patients=60, twins=False, spread=0.35):
    """Smooth random bodies; the tumour is a warm spot at a place of its own.

    Args:
        seed: Of all.
        num_patients: As many of them healthy as ill.
        twins: Both states of each patient, or hers alone.
        spread: Of the places of tumours, half the body being 1.
    """
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    mask = rows**2 + columns**2 < 0.9
    labels = rng.permutation(np.arange(num_patients) % 2)
    images, states, owners = [], [], []
    for patient, label in enumerate(labels.tolist()):
        scene = ndimage.gaussian_filter(rng.normal(size=(SIZE, SIZE)), 3) * 10
        scene += 31 + rng.normal(0, 0.5)
        y, x = 0.15 + rng.uniform(-spread, spread, 2)
        spot = 2 * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 0.05)
        noise = rng.normal(0, 0.05, scene.shape)
        for state in (0, 1) if twins else (label,):
            celsius = scene + state * spot + noise
            images.append(np.where(mask, (celsius - 22) / 16, 0.5))
            states.append(state)
            owners.append(patient)
    owners, states = np.array(owners), np.array(states, np.int32)
    count = len(owners)
    rooms, noises = rng.normal(22, 1, num_patients), rng.gamma(30, 0.002, num_patients)
    return Dataset(
        images=np.array(images, np.float32)[..., None],
        masks=np.broadcast_to(mask[..., None], (count, SIZE, SIZE, 1)).copy(),
        labels=states,
        patient_ids=owners,
        patient_seeds=owners if twins else np.full(count, -1),
        frames=np.zeros(count, np.int32),
        seconds=np.zeros(count, np.float32),
        example_ids=np.array(
            [f"p{p}-{s}" for p, s in zip(owners, states, strict=True)]
        ),
        factual=states == labels[owners],
        background_celsius=rooms[owners].astype(np.float32),
        noise_celsius=noises[owners].astype(np.float32),
        parameters={},
        window=(22.0, 38.0),
        name="synthetic",
        version="1.0.0",
    )


def split(dataset, seed=0):
    """By patient: 60 %, 15 % and 25 % of each class."""
    rng = np.random.default_rng(seed)
    parts = {"train": [], "validation": [], "test": []}
    for label in (0, 1):
        own = dataset.factual & (dataset.labels == label)
        patients = rng.permutation(np.unique(dataset.patient_ids[own]))
        cuts = np.round([0.6 * len(patients), 0.75 * len(patients)]).astype(int)
        for part, members in zip(parts, np.split(patients, cuts), strict=True):
            parts[part].extend(members)
    return {
        part: np.flatnonzero(np.isin(dataset.patient_ids, members))
        for part, members in parts.items()
    }


def repeated(dataset, num_frames, seed=0, change=0.02):
    """Each image several times with other noise: a series of frames a patient."""
    rng = np.random.default_rng(seed)
    rows = np.repeat(np.arange(len(dataset)), num_frames)
    series = dataset.subset(rows)
    noise = rng.normal(0, change / 16, series.images.shape)
    frames = np.tile(np.arange(num_frames), len(dataset))
    return dataclasses.replace(
        series,
        images=np.where(series.masks, series.images + noise, 0.5).astype(np.float32),
        frames=frames.astype(np.int32),
        example_ids=np.array(
            [f"{e}-f{f}" for e, f in zip(series.example_ids, frames, strict=True)]
        ),
    )


def appended(dataset, rows, **changes):
    """The data set with more rows at its end: copies of some, with changes."""
    more = dataclasses.replace(dataset.subset(rows), **changes)
    arrays = {
        field.name: np.concatenate([getattr(d, field.name) for d in (dataset, more)])
        for field in dataclasses.fields(dataset)
        if isinstance(getattr(dataset, field.name), np.ndarray)
    }
    return dataclasses.replace(dataset, **arrays)
