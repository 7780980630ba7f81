"""TFDS builder of a folder of the user's own thermograms."""

import collections
import dataclasses
import math
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from wbad_jax.data import examples, image_lists, pixels
from wbad_jax.data.errors import DataError
from wbad_jax.data.image_files import SUFFIXES, read_pixels
from wbad_jax.data.image_lists import Listed
from wbad_jax.data.patient_numbers import number_patients
from wbad_jax.data.pixels import PixelSettings

# Known of every file, whatever a table says.
PARAMETER_NAMES = (
    "acquisition_day",
    "acquisition_year",
    "file_size",
    "file_type",
    "file_rows",
    "file_columns",
)
MASKS = "masks"
_BODIES = ("frame", "find", "masks")


@dataclasses.dataclass(kw_only=True)
class ImageFolderConfig(tfds.core.BuilderConfig):
    """What the folder is like, and how its pictures become images.

    Attributes:
        classes: Names of sub-folders, or of labels in the table, the healthy first.
        table: Name of a CSV file in the folder with the columns file, label and
            patient_id, perhaps date; None where sub-folders are the classes.
        patient_pattern: Regular expression with a group `patient` that is searched for
            in the path of each picture, where no column names the patient.
        scalars: Further columns of numbers, to be audited as shortcuts to the label.
        body: What counts as body: the whole "frame"; what `find_body` finds; or the
            pixels other than 0 of pictures of the same path below the folder "masks".
        pixels: How pictures become images.

    Examples:
        >>> from wbad_jax.data import ImageFolderConfig
        >>> ImageFolderConfig(name="mine", patient_pattern="(?P<patient>P[0-9]+)_").body
        'frame'
    """

    classes: tuple[str, ...] = examples.LABEL_NAMES
    table: str | None = None
    patient_pattern: str | None = None
    scalars: tuple[str, ...] = ()
    body: str = "frame"
    pixels: PixelSettings = PixelSettings()

    def __post_init__(self):
        if len(set(self.classes)) != len(self.classes) or len(self.classes) < 2:
            raise DataError(
                f"classes must be two or more different names, got {self.classes}."
            )
        if self.body not in _BODIES:
            raise DataError(f"body must be one of {_BODIES}, got {self.body!r}.")
        if self.scalars and not self.table:
            raise DataError(f"scalars {self.scalars} are columns of a table; give one.")
        taken = sorted({*self.scalars} & {*PARAMETER_NAMES})
        if taken:
            raise DataError(f"scalars must have names of their own, got {taken}.")

    @property
    def window(self) -> tuple[float, float]:
        """Of the data set."""
        return self.pixels.stored_window


class ImageFolder(tfds.core.GeneratorBasedBuilder):
    """Pictures in a folder, labelled by sub-folders or by a table.

    Examples:
        >>> from wbad_jax.data import ImageFolder
        >>> ImageFolder.BUILDER_CONFIGS[0].classes
        ('healthy', 'tumour')
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    BUILDER_CONFIGS = [ImageFolderConfig(name="folder")]
    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
    A folder of your own with PNG, TIFF or JPEG pictures in grey levels, or temperatures
    in degrees Celsius as text or CSV:
      healthy/..., tumour/...  one sub-folder for each class, and patient_pattern, which
                               finds the patient in the path of a picture
      or labels.csv            a table with the columns file,label,patient_id
      masks/...                if you like, the body in pictures of the same paths
    """

    @property
    def _config(self) -> ImageFolderConfig:
        config = self.builder_config
        assert isinstance(config, ImageFolderConfig)
        return config

    def _info(self) -> tfds.core.DatasetInfo:
        config = self._config
        features = examples.example_features(
            config.pixels.height,
            config.pixels.width,
            (*PARAMETER_NAMES, *config.scalars),
            channels=config.pixels.channels,
            label_names=config.classes,
        )
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features)
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        # All files are read and checked here, before the first example is written.
        pictures = read_pictures(pathlib.Path(dl_manager.manual_dir), self._config)
        return {examples.SPLIT: self._generate_examples(pictures)}

    def _generate_examples(
        self, pictures: list[dict[str, Any]]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        for example in pictures:
            yield example["example_id"], example


def read_pictures(
    root: pathlib.Path, config: ImageFolderConfig
) -> list[dict[str, Any]]:
    """Reads, checks and resizes all pictures of a folder.

    Args:
        root: The folder.
        config: What it is like.

    Returns:
        One example a picture. `frame` counts the pictures of a patient.

    Raises:
        DataError: At the first file that breaks a rule.
    """
    listed = _list(root, config)
    numbers = number_patients([picture.patient for picture in listed])
    seen: collections.Counter[int] = collections.Counter()
    rows = []
    for picture, patient in zip(
        tqdm(listed, "Reading pictures", unit="file", mininterval=1.0),
        numbers.tolist(),
        strict=True,
    ):
        rows.append(
            {
                **_read(root, picture, config),
                "label": picture.label,
                "patient_id": patient,
                "example_id": picture.name,
                "factual": True,
                "frame": seen[patient],
            }
        )
        seen[patient] += 1
    return rows


def _list(root: pathlib.Path, config: ImageFolderConfig) -> list[Listed]:
    if config.table is not None:
        return image_lists.list_table(
            root, config.table, config.classes, config.patient_pattern, config.scalars
        )
    if config.patient_pattern is None:
        raise DataError(
            "image_folder must know the patient of each picture, lest one of them be "
            "trained and tested on: give patient_pattern, such as "
            r"'IIR(?P<patient>\d+)_', or a table with a column patient_id."
        )
    return image_lists.list_folders(
        root, config.classes, config.patient_pattern, ignored=MASKS
    )


def _read(
    root: pathlib.Path, picture: Listed, config: ImageFolderConfig
) -> dict[str, Any]:
    array = read_pixels(picture.path)
    content = pixels.to_picture(array, picture.name, config.pixels)
    body = None
    if config.body == "find":
        body = pixels.find_body(content, picture.name)
    elif config.body == "masks":
        body = _read_mask(root, picture, array.shape[:2])
    date, suffix = picture.date, picture.path.suffix.lower()
    return {
        **pixels.pixel_features(content, body, config.pixels),
        "parameters": {
            "acquisition_day": date.toordinal() if date else math.nan,
            "acquisition_year": date.year if date else math.nan,
            "file_size": picture.path.stat().st_size,
            "file_type": SUFFIXES.index(suffix),
            "file_rows": array.shape[0],
            "file_columns": array.shape[1],
            **picture.scalars,
        },
    }


def _read_mask(
    root: pathlib.Path, picture: Listed, shape: tuple[int, int]
) -> np.ndarray:
    path = (root / MASKS / picture.name).with_suffix(".png")
    if not path.is_file():
        raise DataError(f"{picture.name}: its mask {path} is missing.")
    if not path.resolve().is_relative_to(root.resolve()):
        raise DataError(f"{path}: a mask must lie in {root}.")
    mask = read_pixels(path)
    mask = (mask if mask.ndim == 2 else mask.max(axis=-1)) > 0
    if mask.shape != shape or not mask.any():
        raise DataError(
            f"{path}: a mask must have the {shape[0]} x {shape[1]} pixels of its "
            f"picture, not all 0, got {mask.shape[0]} x {mask.shape[1]} with "
            f"{mask.sum()} other than 0."
        )
    return mask
