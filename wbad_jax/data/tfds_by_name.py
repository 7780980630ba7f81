"""Any data set of TFDS as images, labels and patients.

TFDS knows nothing of patients: who is on each image has to be told.
"""

import dataclasses
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from wbad_jax.data import pixels, reading
from wbad_jax.data.dataset import Dataset
from wbad_jax.data.errors import DataError
from wbad_jax.data.patient_numbers import number_patients
from wbad_jax.data.pixels import PixelSettings

PREFIX = "tfds:"
# No namespace, such as that of another site, whose code TFDS would run.
_NAME = re.compile(r"[a-z][a-z0-9_]*(/[\w.-]+)?(:\d+\.\d+\.\d+)?", re.ASCII)
_CHUNK = 256


@dataclasses.dataclass(frozen=True, kw_only=True)
class TfdsSettings:
    """What the parts of an example are called, and how pictures become images.

    Attributes:
        split: Of TFDS; "train+test" are both. Ours are made by patient.
        image_key: Feature with the picture, `[height, width, channels]`.
        label_key: Feature with the class.
        classes: Names or numbers of the classes as in the data set, the healthy first;
            None where 0 is healthy and 1 is not.
        patient_key: Feature that names the patient.
        one_image_per_patient: Say so, where there is no such feature: each example is
            taken for another patient.
        scalars: Further features of one number, to be audited as shortcuts.
        pixels: How pictures become images.

    Examples:
        >>> from wbad_jax.data import TfdsSettings
        >>> TfdsSettings(split="test", one_image_per_patient=True).label_key
        'label'
    """

    split: str = "train"
    image_key: str = "image"
    label_key: str = "label"
    classes: tuple[str, ...] | None = None
    patient_key: str | None = None
    one_image_per_patient: bool = False
    scalars: tuple[str, ...] = ()
    pixels: PixelSettings = PixelSettings()

    def __post_init__(self):
        if (self.patient_key is None) != self.one_image_per_patient:
            raise DataError(
                "the patient of each image must be known, lest one of them be trained "
                "and tested on: give patient_key, or one_image_per_patient=True if "
                f"that is so, got {self.patient_key!r} and "
                f"{self.one_image_per_patient}."
            )


def load_by_name(
    builder_name: str,
    tfds_dir: str | pathlib.Path | None,
    settings: Mapping[str, Any],
) -> Dataset:
    """Reads a data set of TFDS, which downloads and prepares it on first use.

    Args:
        builder_name: "tfds:NAME", "tfds:NAME/CONFIG" or "tfds:NAME:1.0.0".
        tfds_dir: Where TFDS keeps its data sets; its own place if None.
        settings: Fields of `TfdsSettings` and `PixelSettings` to change.

    Returns:
        All examples of the split, one frame each where a patient has one image. The
        whole image counts as body.

    Raises:
        DataError: If there is no such data set or feature, it was not stored as
            array_record, or an example breaks a rule.

    Examples:
        >>> from wbad_jax.data import load_by_name
        >>> settings = {"one_image_per_patient": True}
        >>> digits = load_by_name("tfds:mnist", None, settings)  # doctest: +SKIP
    """
    chosen = make_settings(settings)
    name = builder_name.removeprefix(PREFIX)
    if not _NAME.fullmatch(name):
        raise DataError(
            f"a data set of TFDS must be named {PREFIX}NAME, {PREFIX}NAME/CONFIG or "
            f"{PREFIX}NAME:1.0.0, got {builder_name!r}."
        )
    builder = _find(name, tfds_dir)
    source = _open(builder, chosen)
    patients = number_patients(_patient_names(source, chosen))
    return reading.assemble(
        _chunks(builder, source, patients, chosen),
        window=chosen.pixels.stored_window,
        name=PREFIX + builder.info.full_name.rpartition("/")[0],
        version=str(builder.version),
    )


def make_settings(changes: Mapping[str, Any]) -> TfdsSettings:
    """Settings from options of both dataclasses.

    Raises:
        DataError: If there is no such option, or its value is impossible.
    """
    values: dict[str, Any] = {
        n: tuple(v) if isinstance(v, list) else v for n, v in changes.items()
    }
    of_pixels = {field.name for field in dataclasses.fields(PixelSettings)}
    own = {field.name for field in dataclasses.fields(TfdsSettings)} - {"pixels"}
    for name in values:
        if name not in own | of_pixels:
            known = ", ".join(sorted(own | of_pixels))
            raise DataError(f"Unknown setting {name!r}. Known: {known}.")
    picture = PixelSettings(**{n: v for n, v in values.items() if n in of_pixels})
    return TfdsSettings(pixels=picture, **{n: v for n, v in values.items() if n in own})


def _find(name: str, tfds_dir) -> tfds.core.DatasetBuilder:
    try:
        builder = tfds.builder(name, data_dir=tfds_dir and str(tfds_dir))
        if not pathlib.Path(builder.data_dir).is_dir():
            builder.download_and_prepare(file_format="array_record")
    except DataError:
        raise
    except Exception as error:  # TFDS fails in many ways: no such name, no network
        reason = " ".join(str(error).split())[:300]
        raise DataError(f"{PREFIX}{name} cannot be prepared: {reason}") from error
    return builder


def _open(builder: tfds.core.DatasetBuilder, settings: TfdsSettings) -> Any:
    features: Any = builder.info.features
    known = list(features or ())
    wanted = {
        "image_key": settings.image_key,
        "label_key": settings.label_key,
        **({"patient_key": settings.patient_key} if settings.patient_key else {}),
        **{f"scalars: {name}": name for name in settings.scalars},
    }
    for option, name in wanted.items():
        if name not in known:
            raise DataError(
                f"{option} must be a feature of {builder.name}, one of {known}, got "
                f"{name!r}."
            )
    try:
        return builder.as_data_source(settings.split)  # pyright: ignore
    except NotImplementedError as error:
        raise DataError(
            f"{builder.data_dir}: must be stored as array_record to be read without "
            "TensorFlow. Prepare it again, with file_format='array_record'."
        ) from error
    except (KeyError, ValueError, AssertionError) as error:
        raise DataError(
            f"split must be made of {sorted(builder.info.splits)}, got "
            f"{settings.split!r}: {error}."
        ) from error


def _patient_names(source: Any, settings: TfdsSettings) -> list[str]:
    if settings.patient_key is None:
        return [str(position) for position in range(len(source))]
    names = (source[position][settings.patient_key] for position in range(len(source)))
    return [n.decode() if isinstance(n, bytes) else str(n) for n in names]


def _chunks(
    builder, source: Any, patients: np.ndarray, settings: TfdsSettings
) -> Iterator[list[dict[str, Any]]]:
    label_of = _label_names(builder, settings)
    frames = np.zeros(len(patients), int)
    for patient in np.unique(patients):
        rows = np.flatnonzero(patients == patient)
        frames[rows] = np.arange(len(rows))
    for start in range(0, len(patients), _CHUNK):
        positions = range(start, min(start + _CHUNK, len(patients)))
        yield [
            {
                **_row(example, f"{settings.split}-{position}", settings),
                "label": label_of(example[settings.label_key]),
                "patient_id": patients[position],
                "frame": frames[position],
            }
            for position, example in zip(
                positions, source.__getitems__(positions), strict=True
            )
        ]


def _row(example: Mapping[str, Any], name: str, settings: TfdsSettings) -> dict:
    picture = pixels.to_picture(
        np.asarray(example[settings.image_key]), name, settings.pixels
    )
    return {
        **reading.REAL,
        **pixels.pixel_features(picture, None, settings.pixels),
        "example_id": name,
        "factual": True,
        **{
            reading.PREFIX + scalar: float(example[scalar])
            for scalar in settings.scalars
        },
    }


def _label_names(builder, settings: TfdsSettings):
    """From a label of the data set to ours."""
    feature = builder.info.features[settings.label_key]
    is_named = isinstance(feature, tfds.features.ClassLabel)
    classes = settings.classes or ("0", "1")

    def label_of(value: Any) -> int:
        name = value.decode() if isinstance(value, bytes) else str(int(value))
        if settings.classes and is_named:
            name = feature.int2str(int(value))
        if name not in classes:
            raise DataError(
                f"a label must be one of {classes}, got {name!r}; name the classes of "
                f"{builder.name} by the option classes, the healthy first."
            )
        return classes.index(name)

    return label_of
