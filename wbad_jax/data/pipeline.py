"""Prepares a data set once, then reads it into memory."""

import contextlib
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow_datasets as tfds

from wbad_jax.data.config_changes import change_config
from wbad_jax.data.dataset import Dataset
from wbad_jax.data.dmr_ir import DmrIr
from wbad_jax.data.errors import DataError
from wbad_jax.data.fingerprint import fingerprint
from wbad_jax.data.image_folder import ImageFolder
from wbad_jax.data.reading import read_examples
from wbad_jax.data.shards import disk_errors
from wbad_jax.data.simulated import SimulatedThermograms
from wbad_jax.data.tfds_by_name import PREFIX, load_by_name

BUILDERS: dict[str, type[tfds.core.GeneratorBasedBuilder]] = {
    "simulated_thermograms": SimulatedThermograms,
    "dmr_ir": DmrIr,
    "image_folder": ImageFolder,
}


def load(
    builder_name: str,
    data_dir: str | pathlib.Path,
    manual_dir: str | pathlib.Path | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    twins: bool = True,
) -> Dataset:
    """Loads a data set, preparing it on the first call.

    Args:
        builder_name: See `prepare`; or "tfds:NAME", "tfds:NAME/CONFIG" for any data set
            of TFDS.
        data_dir: See `prepare`.
        manual_dir: Likewise; where TFDS keeps its data sets for "tfds:NAME".
        settings: See `prepare`; fields of `TfdsSettings` for "tfds:NAME".
        twins: Whether to read both twins of simulated patients; False reads the
            factual one, at half the memory.

    Returns:
        All examples.

    Raises:
        DataError: See `prepare` and `load_by_name`.

    Examples:
        >>> from wbad_jax.data import load
        >>> cohort = load("simulated_thermograms/tiny", "data")  # doctest: +SKIP
        >>> cohort.images.shape  # doctest: +SKIP
    """
    if builder_name.startswith(PREFIX):
        return load_by_name(builder_name, manual_dir, settings or {})
    builder = prepare(builder_name, data_dir, manual_dir, settings=settings)
    with _damage_told(pathlib.Path(builder.data_dir)):
        return read_examples(builder, twins=twins)


def prepare(
    builder_name: str,
    data_dir: str | pathlib.Path,
    manual_dir: str | pathlib.Path | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    workers: int = 2,
) -> tfds.core.DatasetBuilder:
    """Writes a data set to disk, unless that has been done before.

    A preparation that was interrupted leaves nothing behind that a later call would
    take for whole: files are written to another folder, which is renamed at the end.
    Simulated patients that were finished are not simulated again.

    Args:
        builder_name: "simulated_thermograms/quickstart", or "dmr_ir" for the builder's
            first config.
        data_dir: Prepared sets are kept below it.
        manual_dir: Folder of the user's files, for builders that need one. A prepared
            copy belongs to one state of it: names, sizes and times of the files.
        settings: Fields of the builder's config to change, also those of the config's
            own settings: `{"num_patients": 10, "shape": (64, 64), "tumours": {"prior":
            "weak"}}`. The result is kept apart from that of the unchanged config.
        workers: Patients simulated at the same time.

    Returns:
        The builder, to be read with `read_examples`.

    Raises:
        DataError: If the name or a setting is unknown or impossible, `manual_dir` is
            needed or missing, a file in it breaks a rule, or `data_dir` cannot be
            written.

    Examples:
        >>> from wbad_jax.data import prepare, read_index
        >>> builder = prepare("simulated_thermograms/tiny", "data")  # doctest: +SKIP
        >>> len(read_index(builder)["label"])  # doctest: +SKIP
    """
    builder_class, config = find_builder(builder_name, settings or {})
    root = pathlib.Path(data_dir)
    if builder_class.MANUAL_DOWNLOAD_INSTRUCTIONS:
        folder = _check_manual_dir(builder_class, manual_dir)
        root = root / f"from-{_folder_state(folder)}"
    with _damage_told(root):
        builder = builder_class(
            data_dir=str(root), config=config, file_format="array_record"
        )
    if not pathlib.Path(builder.data_dir).is_dir():
        name = f"{builder.name}/{config.name}"
        print(f"Preparing {name} {builder.version} in {builder.data_dir}", flush=True)
        if isinstance(builder, SimulatedThermograms):
            builder.workers = workers
        with disk_errors(root):
            builder.download_and_prepare(
                download_config=tfds.download.DownloadConfig(manual_dir=manual_dir)
            )
    if isinstance(builder, SimulatedThermograms):
        builder.simulation.remove()
    return builder


@contextlib.contextmanager
def _damage_told(folder: pathlib.Path) -> Iterator[None]:
    """Names the folder of prepared data where reading them fails."""
    try:
        yield
    except (DataError, MemoryError):
        raise
    except Exception as error:  # TFDS fails in a dozen ways on damaged files
        raise DataError(
            f"{folder}: the prepared data cannot be read: {type(error).__name__}: "
            f"{error}. If they are damaged, delete this folder to prepare them again."
        ) from error


def find_builder(
    builder_name: str, settings: Mapping[str, Any]
) -> tuple[type[tfds.core.GeneratorBasedBuilder], Any]:
    """Looks up a builder and its config.

    Args:
        builder_name: As in `prepare`.
        settings: Likewise.

    Returns:
        The builder's class, and the config with `settings` applied.

    Raises:
        DataError: If the name or a setting is unknown, or a value is impossible.

    Examples:
        >>> from wbad_jax.data import find_builder
        >>> name, changes = "simulated_thermograms/tiny", {"num_patients": 4}
        >>> builder, config = find_builder(name, changes)
        >>> config.num_patients
        4
    """
    name, _, config_name = builder_name.partition("/")
    if name not in BUILDERS:
        known = ", ".join([*BUILDERS, f"{PREFIX}NAME"])
        raise DataError(f"Unknown data set {name!r}. Known: {known}.")
    configs = {config.name: config for config in BUILDERS[name].BUILDER_CONFIGS}
    config_name = config_name or next(iter(configs))
    if config_name not in configs:
        raise DataError(
            f"Unknown config {config_name!r} of {name}. Known: {', '.join(configs)}."
        )
    config = configs[config_name]
    changed = change_config(config, settings)
    if changed == config:
        return BUILDERS[name], config
    # Another name, hence another folder: TFDS does not look at the fields.
    changed.name = f"{config_name}-{fingerprint(changed)}"
    return BUILDERS[name], changed


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
    return fingerprint([str(folder.resolve()), *lines])
