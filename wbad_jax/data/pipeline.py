"""Prepares a data set once, then reads it into memory.

The sets are small (the largest is 60 MB as float32), and decoding is slower than any
training step, so everything after this file works on arrays.
"""

import dataclasses
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from absl import logging

from wbad_jax.data import reading
from wbad_jax.data.dmr_ir import DmrIr
from wbad_jax.data.errors import DataError
from wbad_jax.data.fingerprint import digest
from wbad_jax.data.simulated import SimulatedThermograms

BUILDERS: dict[str, type[tfds.core.GeneratorBasedBuilder]] = {
    "simulated_thermograms": SimulatedThermograms,
    "dmr_ir": DmrIr,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dataset:
    """A data set in memory, ordered by patient and label.

    Attributes:
        images: `[examples, height, width, channels]` float32 in [0, 1].
        masks: `[examples, height, width, 1]` bool, the body.
        labels: `[examples]` int32, 0 = healthy, 1 = tumour.
        patient_ids: `[examples]` int64.
        example_ids: `[examples]` str.
        factual: `[examples]` bool; False for the twin in the state that its patient is
            not in. Training and testing on "patients" use factual examples only.
        background_celsius: `[examples]` float32, see `examples.measure_scalars`.
        noise_celsius: `[examples]` float32, likewise.
        frames: `[examples]` int32, number of the picture within its series, 0 for all
            that are no series.
        window: Temperatures mapped to 0 and 1, degrees Celsius.
        name: Builder and config, "dmr_ir/frontal".
        version: Of the builder.
        parameters: What was drawn for the patient of each example, by name; empty for
            real thermograms.
    """

    images: np.ndarray
    masks: np.ndarray
    labels: np.ndarray
    patient_ids: np.ndarray
    example_ids: np.ndarray
    factual: np.ndarray
    background_celsius: np.ndarray
    noise_celsius: np.ndarray
    frames: np.ndarray
    window: tuple[float, float]
    name: str
    version: str
    parameters: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: np.ndarray) -> "Dataset":
        """The examples at `indices` (integers or a bool mask), in that order."""
        arrays = {
            field.name: getattr(self, field.name)[indices]
            for field in dataclasses.fields(self)
            if isinstance(getattr(self, field.name), np.ndarray)
        }
        parameters = {name: values[indices] for name, values in self.parameters.items()}
        return dataclasses.replace(self, **arrays, parameters=parameters)


def load(
    builder_name: str,
    data_dir: str | pathlib.Path,
    manual_dir: str | pathlib.Path | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    twins: bool = True,
    workers: int = 2,
) -> Dataset:
    """Loads a data set, preparing it on the first call.

    A preparation that was interrupted leaves nothing behind that a later call would
    read: files are written to another folder, which is renamed at the end.

    Args:
        builder_name: "simulated_thermograms/quickstart", or "dmr_ir" for the builder's
            first config.
        data_dir: Prepared sets are kept below it.
        manual_dir: Folder of the user's files, for builders that need one. A prepared
            copy belongs to one state of it: names, sizes and times of the files.
        settings: Fields of the builder's config to change; the result is kept apart
            from that of the unchanged config. For simulated cohorts also those of
            `bioheat.CohortSettings`.
        twins: Whether to read the state that a simulated patient is not in, too; half
            the memory without.
        workers: Patients simulated at a time; they do not depend on it.

    Returns:
        All examples.

    Raises:
        DataError: If the name or a setting is unknown, `manual_dir` is needed or
            missing, or a file in it breaks a rule.
    """
    builder_class, config = find_builder(builder_name, settings or {})
    root = pathlib.Path(data_dir)
    if builder_class.MANUAL_DOWNLOAD_INSTRUCTIONS:
        folder = _check_manual_dir(builder_class, manual_dir)
        root = root / f"from-{_folder_state(folder)}"
    if workers < 1:
        raise DataError(f"workers must be >= 1, got {workers}.")
    builder = _build(builder_class, root, config)
    if isinstance(builder, SimulatedThermograms):
        builder.workers = workers
    prepare(builder, manual_dir)
    arrays = reading.read(builder, twins=twins)
    return Dataset(
        **arrays,
        window=tuple(config.window),
        name=f"{builder.name}/{config.name}",
        version=str(builder.version),
    )


def _build(builder_class: Any, root: pathlib.Path, config: Any) -> Any:
    """Makes a builder, without the long warning of TFDS about a changed config."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        return builder_class(
            data_dir=str(root), config=config, file_format="array_record"
        )
    finally:
        logging.set_verbosity(verbosity)


def prepare(
    builder: tfds.core.GeneratorBasedBuilder,
    manual_dir: str | pathlib.Path | None = None,
) -> None:
    """Writes a data set to disk unless it is there.

    Args:
        builder: Of the data set.
        manual_dir: Folder of the user's files, for builders that need one.

    Raises:
        DataError: If a folder cannot be written, or a file breaks a rule.
    """
    if pathlib.Path(builder.data_dir).is_dir():
        return
    config: Any = builder.builder_config
    name = f"{builder.name}/{config.name}"
    print(f"Preparing {name} {builder.version} in {builder.data_dir}")
    # The builders have a bar of their own, which three more would overwrite.
    tfds.disable_progress_bar()
    try:
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(manual_dir=manual_dir)
        )
    except OSError as error:
        raise DataError(
            f"{builder.data_dir}: the data set cannot be prepared: {error}"
        ) from error
    if isinstance(builder, SimulatedThermograms):
        shutil.rmtree(builder.simulation_folder, ignore_errors=True)


def find_builder(
    builder_name: str, settings: Mapping[str, Any]
) -> tuple[type[tfds.core.GeneratorBasedBuilder], Any]:
    """Looks up a builder and its config.

    Args:
        builder_name: As in `load`.
        settings: Likewise.

    Returns:
        The builder's class, and the config with `settings` applied.

    Raises:
        DataError: If the name or a setting is unknown, or a value is impossible.
    """
    name, _, config_name = builder_name.partition("/")
    if name not in BUILDERS:
        raise DataError(f"Unknown data set {name!r}. Known: {', '.join(BUILDERS)}.")
    configs = {config.name: config for config in BUILDERS[name].BUILDER_CONFIGS}
    config_name = config_name or next(iter(configs))
    if config_name not in configs:
        raise DataError(
            f"Unknown config {config_name!r} of {name}. Known: {', '.join(configs)}."
        )
    config = configs[config_name]
    if not settings:
        return BUILDERS[name], config
    try:
        return BUILDERS[name], _changed(config, settings)
    except (TypeError, ValueError) as error:
        raise DataError(f"{builder_name}: {error}") from error


def _changed(config: Any, settings: Mapping[str, Any]) -> Any:
    """A config with some fields replaced, of its cohort too, under another name."""
    known = {field.name for field in dataclasses.fields(config)} - {"name", "cohort"}
    known_of_cohort = set()
    if hasattr(config, "cohort"):
        known_of_cohort = {field.name for field in dataclasses.fields(config.cohort)}
    unknown = sorted(settings.keys() - known - known_of_cohort)
    if unknown:
        raise DataError(
            f"unknown setting {unknown[0]!r}. Known: "
            f"{', '.join(sorted(known | known_of_cohort))}."
        )
    changes = {key: value for key, value in settings.items() if key in known}
    inner = {key: value for key, value in settings.items() if key in known_of_cohort}
    if inner:
        changes["cohort"] = dataclasses.replace(config.cohort, **inner)
    # Another name, hence another folder: TFDS does not look at the fields of a config.
    changes["name"] = f"{config.name}-{digest(repr(sorted(settings.items())))}"
    return dataclasses.replace(config, **changes)


def _check_manual_dir(
    builder_class: type[tfds.core.GeneratorBasedBuilder],
    manual_dir: str | pathlib.Path | None,
) -> pathlib.Path:
    if manual_dir is None:
        raise DataError(
            f"{builder_class.name} needs manual_dir, a folder with your files.\n"
            f"{builder_class.MANUAL_DOWNLOAD_INSTRUCTIONS}"
        )
    folder = pathlib.Path(manual_dir)
    if not folder.is_dir():
        raise DataError(f"{folder}: manual_dir must be a folder, but it is missing.")
    return folder


def _folder_state(folder: pathlib.Path) -> str:
    """Hashes names, sizes and modification times of all files of a folder."""
    lines = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            stat = path.stat()
            lines.append(
                f"{path.relative_to(folder)} {stat.st_size} {stat.st_mtime_ns}"
            )
    return digest("\n".join([str(folder.resolve()), *lines]))
