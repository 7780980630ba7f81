"""Files of some dozens of simulated patients, their images ready to be stored.

Arrays only, nothing pickled: reading such a file runs no code that is in it.
"""

import contextlib
import io
import math
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from wbad_jax import bioheat
from wbad_jax.bioheat import Patient
from wbad_jax.data import examples
from wbad_jax.data.errors import DataError


class Shard(NamedTuple):
    """Patients of consecutive seeds.

    Attributes:
        seeds: `[patients]` int64.
        has_tumour: `[patients]` bool.
        healthy: Images as stored, `[patients, frames, height, width, 1]` uint16.
        tumour: Likewise, of the twins with the tumour.
        masks: `[patients, height, width, 1]` uint8, 1 on the body.
        seconds: Time of each frame, `[patients, frames]` float32.
        background_celsius: Of the factual images, `[patients, frames]` float32.
        noise_celsius: Likewise.
        parameters: `[patients, len(bioheat.PARAMETER_NAMES)]` float32.
    """

    seeds: np.ndarray
    has_tumour: np.ndarray
    healthy: np.ndarray
    tumour: np.ndarray
    masks: np.ndarray
    seconds: np.ndarray
    background_celsius: np.ndarray
    noise_celsius: np.ndarray
    parameters: np.ndarray


def make_shard(patients: Sequence[Patient], window: tuple[float, float]) -> Shard:
    """Turns temperatures into what is stored.

    Args:
        patients: At least one.
        window: Temperatures mapped to 0 and 1, degrees Celsius.
    """
    rows = [_make_row(patient, window) for patient in patients]
    return Shard(*(np.stack(column) for column in zip(*rows, strict=True)))


def _make_row(patient: Patient, window: tuple[float, float]) -> Shard:
    mask, twins = patient.mask, (patient.healthy_celsius, patient.tumour_celsius)
    images = [examples.image_features(x, mask, window)["image"] for x in twins]
    # What the room and the noise tell is that of the exposure that was taken.
    factual = twins[patient.has_tumour]
    scalars = [examples.measure_scalars(frame, mask) for frame in factual]
    parameters = [patient.parameters[name] for name in bioheat.PARAMETER_NAMES]
    return Shard(
        seeds=np.array(patient.seed, np.int64),
        has_tumour=np.array(patient.has_tumour),
        healthy=images[0],
        tumour=images[1],
        masks=mask[..., None].astype(np.uint8),
        seconds=np.asarray(patient.seconds, np.float32),
        background_celsius=np.array([s["background_celsius"] for s in scalars]),
        noise_celsius=np.array([s["noise_celsius"] for s in scalars]),
        parameters=np.array(parameters, np.float32),
    )


def write_shard(path: pathlib.Path, shard: Shard) -> None:
    """Writes a file that is there as a whole or not at all.

    Raises:
        DataError: If the disk refuses.
    """
    arrays: dict[str, Any] = {**shard._asdict(), "masks": np.packbits(shard.masks)}
    temporary = path.with_suffix(".part")
    with disk_errors(path):
        with temporary.open("wb") as file:
            np.savez(file, **arrays)
        os.replace(temporary, path)


def read_shard(path: pathlib.Path, seeds: range, shape: tuple[int, int]) -> Shard:
    """Reads a file and checks that it holds these patients.

    Args:
        path: Of `write_shard`.
        seeds: Of the patients.
        shape: Height and width of their images.

    Raises:
        DataError: If the disk refuses.
        ValueError: If the file is damaged, or of other patients.
    """
    with disk_errors(path):
        content = path.read_bytes()
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: file[name] for name in Shard._fields}
        pixels = len(seeds), *shape, 1
        bits = np.unpackbits(arrays["masks"], count=math.prod(pixels))
        arrays["masks"] = bits.reshape(pixels)
    except Exception as error:  # zipfile and numpy fail in a dozen ways on damage
        raise ValueError(f"not readable: {error}") from error
    shard = Shard(**arrays)
    _check(shard, seeds, shape)
    return shard


def _check(shard: Shard, seeds: range, shape: tuple[int, int]) -> None:
    if shard.seeds.tolist() != list(seeds):
        raise ValueError(f"seeds must be {seeds}, got {shard.seeds}")
    frames = len(seeds), *shard.seconds.shape[1:]
    images = *frames, *shape, 1
    expected = {
        "has_tumour": (np.bool_, (len(seeds),)),
        "healthy": (np.uint16, images),
        "tumour": (np.uint16, images),
        "seconds": (np.float32, frames),
        "background_celsius": (np.float32, frames),
        "noise_celsius": (np.float32, frames),
        "parameters": (np.float32, (len(seeds), len(bioheat.PARAMETER_NAMES))),
    }
    for name, (dtype, size) in expected.items():
        array = getattr(shard, name)
        if array.dtype != dtype or array.shape != size:
            raise ValueError(
                f"{name} must be {np.dtype(dtype)} {size}, got {array.dtype} "
                f"{array.shape}"
            )


@contextlib.contextmanager
def disk_errors(path: pathlib.Path) -> Iterator[None]:
    """Turns errors of the disk into a `DataError` that names the file.

    Args:
        path: To name where the error itself names none.
    """
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{error.filename or path}: cannot be read or written: "
            f"{error.strerror or error}."
        ) from error
