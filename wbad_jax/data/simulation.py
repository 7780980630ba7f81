"""Simulates a cohort file by file, so that a stop loses the patients of one at most.

A cohort takes minutes to hours of heat equations. Its patients gather in a folder until
the whole data set is written.
"""

import contextlib
import dataclasses
import fcntl
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

from tqdm import tqdm

from wbad_jax import bioheat
from wbad_jax.bioheat import Patient
from wbad_jax.data.errors import DataError
from wbad_jax.data.fingerprint import fingerprint
from wbad_jax.data.shards import (
    Shard,
    disk_errors,
    make_shard,
    read_shard,
    write_shard,
)

# About a minute of work each: a series of images takes longer than one image.
_PATIENTS_A_FILE = {"static": 50, "dynamic": 5}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Simulation:
    """A cohort and the folder in which its patients gather.

    Attributes:
        folder: Holds the files; those of other settings need another folder.
        seeds: Of the patients.
        settings: Of the cohort.
        window: Temperatures mapped to 0 and 1, degrees Celsius.
    """

    folder: pathlib.Path
    seeds: range
    settings: bioheat.CohortSettings
    window: tuple[float, float]

    def complete(self, workers: int) -> None:
        """Simulates the patients that are missing, and shows progress.

        Args:
            workers: Patients simulated at the same time.

        Raises:
            DataError: If the folder cannot be used, another process fills it, or a
                patient cannot be simulated.
        """
        with self._locked():
            missing = [part for part in self._parts() if not self._is_whole(part)]
            total = len(self.seeds)
            done = total - sum(map(len, missing))
            if done:
                print(f"{done} of {total} patients are there from an earlier run.")
            with tqdm(
                desc="Simulating", unit="patient", total=total, initial=done
            ) as bar:
                self._simulate(missing, workers, bar)

    def shards(self) -> Iterator[Shard]:
        """Yields all patients in order.

        Raises:
            DataError: If a file is missing or damaged; `complete` makes it.
        """
        for part in self._parts():
            path = self._path(part)
            try:
                shard = read_shard(path, part, self.settings.shape)
            except ValueError as error:
                raise DataError(f"{path}: must hold simulated patients: {error}") from (
                    error
                )
            yield shard

    def remove(self) -> None:
        """Deletes the folder, of no use once its patients are stored elsewhere."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.folder.parent.rmdir()  # unless other cohorts are being simulated

    def _parts(self) -> list[range]:
        size = _PATIENTS_A_FILE[self.settings.protocol]
        return [self.seeds[i : i + size] for i in range(0, len(self.seeds), size)]

    def _path(self, part: range) -> pathlib.Path:
        number = (part[0] - self.seeds[0]) // _PATIENTS_A_FILE[self.settings.protocol]
        return self.folder / f"shard-{number:05d}.npz"

    def _is_whole(self, part: range) -> bool:
        path = self._path(part)
        if not path.exists():
            return False
        try:
            read_shard(path, part, self.settings.shape)
        except DataError:
            raise  # of the disk: simulating again would not help
        except ValueError as error:
            print(f"{path}: {error}; its patients are simulated again.")
            return False
        return True

    def _simulate(self, parts: list[range], workers: int, bar: tqdm) -> None:
        # One call for all files: threads start and functions compile once.
        seeds = (seed for part in parts for seed in part)
        patients: Any = bioheat.simulate(seeds, self.settings, workers=workers)
        with contextlib.closing(patients):
            for part in parts:
                made = []
                for seed in part:
                    made.append(_next_patient(patients, seed))
                    bar.update()
                write_shard(self._path(part), make_shard(made, self.window))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        path = self.folder / ".lock"
        with disk_errors(path):
            self.folder.mkdir(parents=True, exist_ok=True)
            file = path.open("w")
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DataError(
                    f"{self.folder}: another process is simulating this cohort; wait "
                    "until it has ended."
                ) from None
            yield


def simulation_folder(data_dir: pathlib.Path, name: str, contents: Any) -> pathlib.Path:
    """Where a cohort gathers.

    Args:
        data_dir: Root of all data sets.
        name: Of the cohort, for the eye.
        contents: All that its patients depend on, see `fingerprint`.

    Returns:
        A folder that no other contents share; it need not exist.
    """
    return data_dir / "simulation" / f"{name}-{fingerprint(contents)}"


def _next_patient(patients: Iterator[Patient], seed: int) -> Patient:
    try:
        patient = next(patients)
    except (ValueError, ArithmeticError, RuntimeError) as error:
        raise DataError(f"Patient {seed} cannot be simulated: {error}") from error
    if patient.seed != seed:
        raise AssertionError(f"simulate gave patient {patient.seed} for {seed}.")
    return patient
