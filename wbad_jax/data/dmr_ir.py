"""TFDS builder of the thermograms of DMR-IR, from a folder of the user's.

DMR-IR: Database for Mastology Research with Infrared Image, Universidade Federal
Fluminense; Silva et al. (2014), J. Med. Imaging Health Inform. 4(1):92-100. Nothing of
it comes with this library.

The set is confounded by the time of acquisition: healthy women were imaged mostly in
2012-13 and sick ones in 2018-20, with other rooms and another camera, so a model can
score well without looking at a breast. Compare with `wbad_jax.data.baseline_scores`.
What the files say of the acquisition is stored with each example, to be audited.
"""

import dataclasses
import math
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from wbad_jax.data import body_mask, examples, matrices
from wbad_jax.data.dmr_ir_names import FRONTAL, VIEWS
from wbad_jax.data.errors import DataError
from wbad_jax.data.matrices import Exposure

_DIALECTS = {None: 0, ";": 1, ",": 2}  # by what separates the values
PARAMETER_NAMES = (
    "acquisition_day",
    "acquisition_year",
    "dialect",
    "file_size",
    "frame",
    "view",
)


@dataclasses.dataclass(kw_only=True)
class DmrIrConfig(tfds.core.BuilderConfig):
    """How matrices become images.

    Attributes:
        height: Pixels of the stored image.
        width: Pixels of the stored image.
        window: Temperatures mapped to 0 and 1, degrees Celsius. 20..36 would clip half
            of the sick and an eighth of the healthy matrices, and so tell the label.
        mask_background: Set everything outside the body to a constant. The room's
            temperature alone tells the label.
        matrix_shape: Rows and columns that each file must have.
        protocol: "static" or "dynamic".
        all_views: Whether to take the laterals as well as the frontal view.
        images_per_patient: How many images each patient must have, at her first visit.
        incomplete: What to do with a patient who has another number of images: "refuse"
            the folder, or "leave_out" the patient.

    Examples:
        >>> from wbad_jax.data import DmrIrConfig
        >>> DmrIrConfig(name="mine", height=48, width=64).window
        (22.0, 38.0)
    """

    height: int = 96
    width: int = 128
    window: tuple[float, float] = (22.0, 38.0)
    mask_background: bool = True
    matrix_shape: tuple[int, int] = (480, 640)
    protocol: str = "static"
    all_views: bool = False
    images_per_patient: int = 1
    incomplete: str = "refuse"

    def __post_init__(self):
        choices = {
            "protocol": ("static", "dynamic"),
            "incomplete": ("refuse", "leave_out"),
        }
        for field, known in choices.items():
            if getattr(self, field) not in known:
                raise DataError(
                    f"{field} must be one of {known}, got {getattr(self, field)!r}."
                )


class DmrIr(tfds.core.GeneratorBasedBuilder):
    """Thermograms of healthy and sick women; the frontal ones first.

    Examples:
        >>> from wbad_jax.data import DmrIr
        >>> [config.name for config in DmrIr.BUILDER_CONFIGS]
        ['frontal', 'static', 'dynamic']
    """

    VERSION = tfds.core.Version("2.0.0")
    RELEASE_NOTES = {
        "1.0.0": "First release.",
        "2.0.0": "All names of the archive, lateral views, series, and what is "
        "known of the acquisition.",
    }
    BUILDER_CONFIGS = [
        DmrIrConfig(name="frontal"),
        DmrIrConfig(name="static", all_views=True, images_per_patient=5),
        DmrIrConfig(name="dynamic", protocol="dynamic", images_per_patient=20),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
    Ask for access at https://visual.ic.uff.br/dmi and put into one folder:
      matrices/T0001.txt ...  temperature matrices in degrees Celsius, separated by
                              spaces or semicolons, by any name of the archive, such as
                              T0328.1.1.D.2020-01-20.02.txt; folders within are fine
      diagnosis.csv           the columns ID,Diagnosis; Healthy or Sick
    """

    @property
    def _config(self) -> DmrIrConfig:
        config = self.builder_config
        assert isinstance(config, DmrIrConfig)
        return config

    def _info(self) -> tfds.core.DatasetInfo:
        config = self._config
        features = examples.example_features(
            config.height, config.width, PARAMETER_NAMES
        )
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features)
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        # All files are read and checked here, before the first example is written.
        patients = read_patients(pathlib.Path(dl_manager.manual_dir), self._config)
        return {examples.SPLIT: self._generate_examples(patients)}

    def _generate_examples(
        self, patients: list[dict[str, Any]]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        for example in patients:
            yield example["example_id"], example


def read_patients(
    manual_dir: pathlib.Path, config: DmrIrConfig
) -> list[dict[str, Any]]:
    """Reads, checks and shrinks all matrices of a folder.

    Args:
        manual_dir: Holds `matrices/` and `diagnosis.csv`.
        config: Size, window and masking.

    Returns:
        The examples, in order of patient number.

    Raises:
        DataError: At the first file that breaks a rule.
    """
    labels = matrices.read_diagnoses(manual_dir / "diagnosis.csv")
    exposures = select(matrices.find_exposures(manual_dir), labels, config)
    return [
        {
            **_read_image(path, config),
            "label": labels[name.patient],
            "patient_id": name.patient,
            "example_id": path.stem,
            "factual": True,
            "frame": VIEWS.index(name.view) if config.all_views else name.frame,
            "parameters": _parameters(Exposure(path, name)),
        }
        for path, name in tqdm(
            exposures, "Reading matrices", unit="file", mininterval=1.0
        )
    ]


def select(
    exposures: list[Exposure], labels: dict[int, int], config: DmrIrConfig
) -> list[Exposure]:
    """Chooses the exposures of a config: those of each patient's first visit.

    Args:
        exposures: All files of a folder.
        labels: The patients with a diagnosis.
        config: Protocol, views, and how many images a patient must have.

    Raises:
        DataError: If a patient lacks a diagnosis or has another number of images.
    """
    of_patient: dict[int, list[Exposure]] = {}
    for exposure in matrices.first_visits(exposures):
        name = exposure.name
        wanted = name.protocol == config.protocol
        if wanted and (config.all_views or name.view == FRONTAL):
            of_patient.setdefault(name.patient, []).append(exposure)
    if not of_patient:
        raise DataError(f"matrices: there is no {config.protocol} image.")
    paths = {patient: images[0].path for patient, images in of_patient.items()}
    left_out = config.incomplete == "leave_out"
    if left_out:
        labels = {patient: labels[patient] for patient in labels.keys() & paths.keys()}
    matrices.check_same_patients(paths, labels)
    count = config.images_per_patient
    odd = [patient for patient, images in of_patient.items() if len(images) != count]
    if odd and not left_out:
        raise DataError(
            f"patient {odd[0]} has {len(of_patient[odd[0]])} {config.protocol} images "
            f"of her first visit, such as {paths[odd[0]].name}, but {count} are "
            f"needed; so it is with {len(odd)} patients. With incomplete='leave_out' "
            "they are left out."
        )
    if odd:
        print(f"Left out for having other than {count} images: patients {odd}.")
    return [
        exposure
        for patient, images in of_patient.items()
        if patient not in odd
        for exposure in images
    ]


def _parameters(exposure: Exposure) -> dict[str, float]:
    """What could tell the label without an image; NaN where the name does not say."""
    path, name = exposure
    with path.open(encoding="ascii") as file:
        separator = matrices.separator_of(file.readline())
    return {
        "acquisition_day": name.date.toordinal() if name.date else math.nan,
        "acquisition_year": name.date.year if name.date else math.nan,
        "dialect": _DIALECTS[separator],
        "file_size": path.stat().st_size,
        "frame": name.frame,
        "view": VIEWS.index(name.view),
    }


def _read_image(path: pathlib.Path, config: DmrIrConfig) -> dict[str, Any]:
    """Turns one matrix into the stored image, mask and scalars."""
    celsius = matrices.read_matrix(path, config.matrix_shape).astype(np.float64)
    body = body_mask.find_body(celsius, path.name)
    shape = config.height, config.width
    image, mask = body_mask.shrink(celsius, body, shape)
    keep = mask
    if not config.mask_background:
        keep = np.ones(shape, bool)
        image, _ = body_mask.shrink(celsius, np.ones_like(body), shape)
    return {
        **examples.image_features(image, keep, config.window),
        **examples.measure_scalars(celsius, body),
        "mask": mask[..., None].astype(np.uint8),
    }
