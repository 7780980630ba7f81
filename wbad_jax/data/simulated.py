"""TFDS builder of simulated cohorts."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from wbad_jax import bioheat
from wbad_jax.data import examples


@dataclasses.dataclass(kw_only=True)
class SimulatedThermogramsConfig(tfds.core.BuilderConfig):
    """One cohort. See `bioheat.CohortSettings` for the fields of the same name.

    Attributes:
        num_patients: Each is stored twice, healthy and with a tumour.
        cohort_seed: Cohorts of different seeds share no patient.
        height: Pixels.
        width: Pixels.
        window: Temperatures mapped to 0 and 1, degrees Celsius.
        contrast_celsius: Range of the tumour's peak excess at the skin.
        depth_mm: Range of the depth of its centre.
        diameter_mm: Range of its diameter.
        clutter: Factor on veins and benign warm spots.
        field_celsius: Standard deviation of the additive Gaussian field.
    """

    num_patients: int = 64
    cohort_seed: int = 1
    height: int = 64
    width: int = 64
    window: tuple[float, float] = (22.0, 38.0)
    contrast_celsius: tuple[float, float] = (1.0, 3.0)
    depth_mm: tuple[float, float] = (10.0, 20.0)
    diameter_mm: tuple[float, float] = (10.0, 20.0)
    clutter: float = 0.3
    field_celsius: float = 0.1

    def cohort_settings(self) -> bioheat.CohortSettings:
        """The part of this config that the simulator reads."""
        return bioheat.CohortSettings(
            height=self.height,
            width=self.width,
            contrast_celsius=self.contrast_celsius,
            depth_mm=self.depth_mm,
            diameter_mm=self.diameter_mm,
            clutter=self.clutter,
            field_celsius=self.field_celsius,
        )


class SimulatedThermograms(tfds.core.GeneratorBasedBuilder):
    """Simulated frontal breast thermograms, two twins a patient.

    Beside the common features each example has `tumour`, float32: contrast in degrees
    Celsius, depth, diameter, and column and row from the image centre in millimetres.
    It describes the patient's tumour twin and is the same in both.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    # 1,837 is the number of images in Shamshiri, Liu and Sohn (2025), Information
    # Fusion 115:102728.
    BUILDER_CONFIGS = [
        SimulatedThermogramsConfig(
            name="tiny", num_patients=64, cohort_seed=1, height=32, width=32
        ),
        # Broader, stronger tumours in calmer skin: learned in minutes on a laptop.
        SimulatedThermogramsConfig(
            name="quickstart",
            num_patients=1200,
            cohort_seed=2,
            contrast_celsius=(2.0, 3.0),
            depth_mm=(15.0, 25.0),
            diameter_mm=(15.0, 25.0),
            clutter=0.2,
        ),
        SimulatedThermogramsConfig(name="paper", num_patients=1837, cohort_seed=3),
    ]

    @property
    def _config(self) -> SimulatedThermogramsConfig:
        config = self.builder_config
        assert isinstance(config, SimulatedThermogramsConfig)
        return config

    def _info(self) -> tfds.core.DatasetInfo:
        config = self._config
        features = examples.example_features(config.height, config.width)
        features["tumour"] = tfds.features.Tensor(shape=(5,), dtype=np.float32)
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features)
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        return {examples.SPLIT: self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[str, dict[str, Any]]]:
        config = self._config
        settings = config.cohort_settings()
        for patient in range(config.num_patients):
            *twins, record = bioheat.simulate_patient(
                config.cohort_seed, patient, settings
            )
            for label, celsius in enumerate(twins):
                example_id = f"p{patient:05d}-{examples.LABEL_NAMES[label]}"
                yield (
                    example_id,
                    {
                        **examples.image_features(celsius, record.mask, config.window),
                        **examples.measure_scalars(celsius, record.mask),
                        "mask": record.mask[..., None].astype(np.uint8),
                        "label": label,
                        "patient_id": patient,
                        "example_id": example_id,
                        "factual": label == record.has_tumour,
                        "tumour": _tumour_vector(record.tumour),
                    },
                )


def _tumour_vector(tumour: bioheat.Tumour) -> np.ndarray:
    """Contrast, depth, diameter, column, row."""
    return np.array(
        [
            tumour.contrast_celsius,
            tumour.depth_mm,
            tumour.diameter_mm,
            tumour.column_mm,
            tumour.row_mm,
        ],
        np.float32,
    )
