"""TFDS builder of the frontal thermograms of DMR-IR, from a folder of the user's.

DMR-IR: Database for Mastology Research with Infrared Image, Universidade Federal
Fluminense; Silva et al. (2014), J. Med. Imaging Health Inform. 4(1):92-100. Nothing of
it comes with this library.

The set is confounded by the time of acquisition: healthy women were imaged mostly in
2012-13 and sick ones in 2018-20, with other rooms and another camera, so a model can
score well without looking at a breast. Compare with `wbad_jax.data.baseline_scores`.
"""

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from wbad_jax.data import body_mask, examples, matrices


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
    """

    height: int = 96
    width: int = 128
    window: tuple[float, float] = (22.0, 38.0)
    mask_background: bool = True
    matrix_shape: tuple[int, int] = (480, 640)


class DmrIr(tfds.core.GeneratorBasedBuilder):
    """Static frontal thermograms, one a patient; healthy or sick."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    BUILDER_CONFIGS = [DmrIrConfig(name="frontal")]
    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
    Ask for access at https://visual.ic.uff.br/dmi and put into one folder:
      matrices/T0001.txt ...  one frontal temperature matrix a patient, in degrees
                              Celsius, separated by spaces or semicolons
      diagnosis.csv           the columns ID,Diagnosis; Healthy or Sick
    """

    @property
    def _config(self) -> DmrIrConfig:
        config = self.builder_config
        assert isinstance(config, DmrIrConfig)
        return config

    def _info(self) -> tfds.core.DatasetInfo:
        config = self._config
        features = examples.example_features(config.height, config.width)
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
        One example a patient, in order of patient number.

    Raises:
        DataError: At the first file that breaks a rule.
    """
    paths = matrices.find_matrices(manual_dir)
    labels = matrices.read_diagnoses(manual_dir / "diagnosis.csv")
    matrices.check_same_patients(paths, labels)
    return [
        {
            **_read_image(path, config),
            "label": labels[patient],
            "patient_id": patient,
            "example_id": path.stem,
            "factual": True,
        }
        for patient, path in tqdm(
            paths.items(), "Reading matrices", unit="file", mininterval=1.0
        )
    ]


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
