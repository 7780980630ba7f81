"""Simulated patients on disk, some at a time, so that long simulations resume.

A shard holds consecutive patients in plain arrays. It is written under another name and
renamed, so a shard that exists is whole; one that does not fit is simulated anew.
"""

import os
import pathlib
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from tqdm import tqdm

from wbad_jax import bioheat
from wbad_jax.data import examples
from wbad_jax.data.errors import DataError

PATIENTS_PER_SHARD = 50
Shard = dict[str, np.ndarray]


def simulated_shards(
    folder: pathlib.Path,
    *,
    seeds: range,
    settings: bioheat.CohortSettings,
    window: tuple[float, float],
    workers: int = 2,
) -> Iterator[Shard]:
    """Yields all shards of a cohort in order, simulating those that are missing.

    Args:
        folder: Of this cohort alone; created.
        seeds: Of the patients.
        settings: Of the cohort.
        window: Temperatures of pixel values 0 and 1, degrees Celsius.
        workers: Patients simulated at a time.

    Yields:
        Arrays with a first axis of patients: `seeds`, `has_tumour`, `masks`, the images
        `healthy` and `tumour` `[patients, frames, height, width]` uint16, `background`
        and `noise` `[patients, frames]` of the factual images, `seconds`, and
        `parameters` in the order of `bioheat.PARAMETER_NAMES`.

    Raises:
        DataError: If a shard cannot be written.
    """
    parts = [
        seeds[start : start + PATIENTS_PER_SHARD]
        for start in range(0, len(seeds), PATIENTS_PER_SHARD)
    ]
    paths = [folder / f"shard-{index:05d}.npz" for index in range(len(parts))]
    done = sum(
        len(part) for part, path in zip(parts, paths, strict=True) if path.exists()
    )
    if done:
        print(f"Resuming: {done} of {len(seeds)} patients are in {folder}")
    with tqdm(
        total=len(seeds), desc="Simulating", unit="patient", mininterval=1.0
    ) as bar:
        for part, path in zip(parts, paths, strict=True):
            shard = _read(path, part, settings)
            if shard is None:
                patients = bioheat.simulate(part, settings, workers=workers)
                shard = _pack(patients, settings, window, bar)
                _write(path, shard)
            else:
                bar.update(len(part))
            yield shard


def _pack(patients, settings, window: tuple[float, float], bar: tqdm) -> Shard:
    """Windows, masks and quantises the images of patients."""
    rows: list[dict[str, Any]] = []
    for patient in patients:
        factual = (
            patient.tumour_celsius if patient.has_tumour else patient.healthy_celsius
        )
        scalars = [examples.measure_scalars(frame, patient.mask) for frame in factual]
        rows.append(
            {
                "seeds": patient.seed,
                "has_tumour": patient.has_tumour,
                "masks": patient.mask,
                "healthy": _levels(patient.healthy_celsius, patient.mask, window),
                "tumour": _levels(patient.tumour_celsius, patient.mask, window),
                "seconds": patient.seconds,
                "background": [frame["background_celsius"] for frame in scalars],
                "noise": [frame["noise_celsius"] for frame in scalars],
                "parameters": [patient.parameters[n] for n in bioheat.PARAMETER_NAMES],
            }
        )
        bar.update()
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _levels(
    celsius: np.ndarray, mask: np.ndarray, window: tuple[float, float]
) -> np.ndarray:
    return np.stack(
        [
            examples.image_features(frame, mask, window)["image"][..., 0]
            for frame in celsius
        ]
    )


def _read(path: pathlib.Path, seeds: range, settings) -> Shard | None:
    """A shard from disk, or None if it is missing or does not fit."""
    if not path.exists():
        return None
    try:
        # Given a path, NumPy leaves the file open if it is damaged.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            shard = {name: file[name] for name in file.files}
        fits = np.array_equal(shard["seeds"], np.array(seeds))
        fits &= shard["healthy"].shape[2:] == tuple(settings.shape)
        fits &= shard["parameters"].shape[1] == len(bioheat.PARAMETER_NAMES)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        fits = False
    if not fits:
        print(f"{path} is damaged: simulating its patients anew.")
        return None
    return shard


def _write(path: pathlib.Path, shard: Shard) -> None:
    temporary = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **shard)
        os.replace(temporary, path)
    except OSError as error:
        raise DataError(f"{path}: the shard cannot be written: {error}") from error
