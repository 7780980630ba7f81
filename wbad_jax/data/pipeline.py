"""Prepares a data set once, then reads it into memory.

The sets are small (the largest is 60 MB as float32), and decoding is slower than any
training step, so everything after this file works on arrays.
"""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from wbad_jax.bioheat import camera
from wbad_jax.data import examples
from wbad_jax.data.dmr_ir import DmrIr
from wbad_jax.data.errors import DataError
from wbad_jax.data.simulated import SimulatedThermograms

BUILDERS: dict[str, type[tfds.core.GeneratorBasedBuilder]] = {
    "simulated_thermograms": SimulatedThermograms,
    "dmr_ir": DmrIr,
}
_CHUNK = 256  # examples decoded at once
_HASH_LENGTH = 12


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
        window: Temperatures mapped to 0 and 1, degrees Celsius.
        name: Builder and config, "dmr_ir/frontal".
        version: Of the builder.
    """

    images: np.ndarray
    masks: np.ndarray
    labels: np.ndarray
    patient_ids: np.ndarray
    example_ids: np.ndarray
    factual: np.ndarray
    background_celsius: np.ndarray
    noise_celsius: np.ndarray
    window: tuple[float, float]
    name: str
    version: str

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: np.ndarray) -> "Dataset":
        """The examples at `indices` (integers or a bool mask), in that order."""
        arrays = {
            field.name: getattr(self, field.name)[indices]
            for field in dataclasses.fields(self)
            if isinstance(getattr(self, field.name), np.ndarray)
        }
        return dataclasses.replace(self, **arrays)


def load(
    builder_name: str,
    data_dir: str | pathlib.Path,
    manual_dir: str | pathlib.Path | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
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
            from that of the unchanged config.

    Returns:
        All examples.

    Raises:
        DataError: If the name or a setting is unknown, `manual_dir` is needed or
            missing, or a file in it breaks a rule.
    """
    builder_class, config = _find(builder_name, settings or {})
    root = pathlib.Path(data_dir)
    if builder_class.MANUAL_DOWNLOAD_INSTRUCTIONS:
        folder = _check_manual_dir(builder_class, manual_dir)
        root = root / f"from-{_folder_state(folder)}"
    builder = builder_class(
        data_dir=str(root), config=config, file_format="array_record"
    )
    name = f"{builder.name}/{config.name}"
    if not pathlib.Path(builder.data_dir).is_dir():
        print(f"Preparing {name} {builder.version} in {builder.data_dir}")
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(manual_dir=manual_dir)
        )
    return _read(builder, name, tuple(config.window))


def _find(
    builder_name: str, settings: Mapping[str, Any]
) -> tuple[type[tfds.core.GeneratorBasedBuilder], Any]:
    """Looks up a builder and its config, with `settings` applied."""
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
    known = {field.name for field in dataclasses.fields(config)} - {"name"}
    unknown = sorted(settings.keys() - known)
    if unknown:
        raise DataError(
            f"Unknown setting {unknown[0]!r} of {name}. Known: "
            f"{', '.join(sorted(known))}."
        )
    # Another name, hence another folder: TFDS does not look at the fields of a config.
    text = json.dumps(settings, sort_keys=True)
    changed = f"{config_name}-{_digest(text)}"
    return BUILDERS[name], dataclasses.replace(config, name=changed, **settings)


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
    return _digest("\n".join([str(folder.resolve()), *lines]))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH_LENGTH]


def _read(
    builder: tfds.core.GeneratorBasedBuilder, name: str, window: tuple[float, float]
) -> Dataset:
    """Decodes all examples of a prepared builder."""
    # TFDS hides the signature of this method behind its logging decorator.
    source: Any = builder.as_data_source(examples.SPLIT)  # pyright: ignore
    rows: list[dict[str, Any]] = []
    for start in range(0, len(source), _CHUNK):
        rows += source.__getitems__(range(start, min(start + _CHUNK, len(source))))
    # Files are in the order of hashed names.
    rows.sort(key=lambda row: (row["patient_id"], row["label"]))
    column = {key: np.stack([row[key] for row in rows]) for key in _COLUMNS}
    return Dataset(
        images=camera.dequantise(column["image"]),
        masks=column["mask"].astype(bool),
        labels=column["label"].astype(np.int32),
        patient_ids=column["patient_id"].astype(np.int64),
        example_ids=np.array([row["example_id"].decode() for row in rows]),
        factual=column["factual"].astype(bool),
        background_celsius=column["background_celsius"].astype(np.float32),
        noise_celsius=column["noise_celsius"].astype(np.float32),
        window=window,
        name=name,
        version=str(builder.version),
    )


_COLUMNS = (
    "image",
    "mask",
    "label",
    "patient_id",
    "factual",
    "background_celsius",
    "noise_celsius",
)
