"""TFDS builder of simulated cohorts."""

import dataclasses
import itertools
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from wbad_jax import bioheat
from wbad_jax.bioheat import (
    Camera,
    CohortSettings,
    HealthySettings,
    TumourSettings,
)
from wbad_jax.data import examples
from wbad_jax.data.errors import DataError
from wbad_jax.data.fingerprint import digest
from wbad_jax.data.shards import Shard, simulated_shards

# Each cohort draws its patients from a range of seeds of its own.
SEEDS_PER_COHORT = 1_000_000


@dataclasses.dataclass(kw_only=True)
class SimulatedThermogramsConfig(tfds.core.BuilderConfig):
    """One cohort.

    Attributes:
        num_patients: Each is stored in both states, healthy and with a tumour.
        first_seed: Of the first patient; the others follow.
        window: Temperatures mapped to 0 and 1, degrees Celsius.
        cohort: What the patients are like.
    """

    num_patients: int
    first_seed: int
    window: tuple[float, float] = (22.0, 38.0)
    cohort: CohortSettings = CohortSettings()

    def __post_init__(self):
        low, high = self.window
        if not low < high:
            raise DataError(f"window needs low < high, got {low} .. {high}.")
        if not 1 <= self.num_patients <= SEEDS_PER_COHORT:
            raise DataError(
                f"num_patients must be in 1..{SEEDS_PER_COHORT}, the seeds of a "
                f"cohort, got {self.num_patients}."
            )
        if self.first_seed < 0:
            raise DataError(f"first_seed must be >= 0, got {self.first_seed}.")
        seeds = self.seeds
        if seeds[0] // SEEDS_PER_COHORT != seeds[-1] // SEEDS_PER_COHORT:
            raise DataError(
                f"first_seed {self.first_seed} and num_patients {self.num_patients} "
                f"cross a multiple of {SEEDS_PER_COHORT}, where the seeds of another "
                "cohort begin."
            )

    @property
    def seeds(self) -> range:
        """Seeds of the patients, none of them in the range of another cohort."""
        return range(self.first_seed, self.first_seed + self.num_patients)


def check_disjoint(configs: Sequence[SimulatedThermogramsConfig]) -> None:
    """Refuses cohorts that share a patient.

    Args:
        configs: Cohorts to be used together, one to train and another to test.

    Raises:
        DataError: Naming the two cohorts and the first seed in both.
    """
    for one, other in itertools.combinations(configs, 2):
        first = max(one.seeds[0], other.seeds[0])
        if first <= min(one.seeds[-1], other.seeds[-1]):
            raise DataError(
                f"{one.name} and {other.name} must not share patients, but both hold "
                f"seed {first}."
            )


# Patients at rest in a cool room, whose veins have narrowed: few shine through the
# breasts, and the two sides are alike. `CohortSettings()` itself is as busy as DMR-IR.
CALM = HealthySettings(
    vessel_load=0.5, breast_vessels=0.15, side_difference=0.05, finding_rate=0.2
)
# Tumours that a reader would call suspicious, inside the breast rather than at its rim.
_PAPER = CohortSettings(
    healthy=CALM,
    tumours=TumourSettings(
        contrast_celsius=(3.0, 6.0),
        diameter_mm=(12.0, 30.0),
        margin=0.6,
        vessel_share=0.3,
    ),
    field_celsius=0.2,
    # A module of 128 x 128 detectors, whose noise there is something to denoise in.
    camera=Camera(),
)
# Larger ones in calmer skin: learned in minutes on a laptop.
_QUICKSTART = dataclasses.replace(
    _PAPER,
    shape=(64, 64),
    spacing_mm=6.0,
    tumours=dataclasses.replace(_PAPER.tumours, diameter_mm=(15.0, 30.0)),
    field_celsius=0.15,
)
_COARSE = TumourSettings(diameter_mm=(18.0, 30.0))


class SimulatedThermograms(tfds.core.GeneratorBasedBuilder):
    """Simulated frontal breast thermograms, both states of each patient.

    One example a patient and picture, with `healthy_image` and `tumour_image`, the
    label that a fair coin chose, and `parameters`, every number drawn for the patient.

    Attributes:
        workers: Patients simulated at a time. No field of the config, since TFDS knows
            one config by each name and the data do not depend on it.
    """

    workers: int = 2
    VERSION = tfds.core.Version("2.0.0")
    RELEASE_NOTES = {
        "1.0.0": "Tumours added to drawn images.",
        "2.0.0": "Three-dimensional bioheat physics; both states in one example.",
    }
    # 1,837 is the number of images in Shamshiri, Liu and Sohn (2025), Information
    # Fusion 115:102728.
    BUILDER_CONFIGS = [
        SimulatedThermogramsConfig(
            name="paper", num_patients=1837, first_seed=2_000_000, cohort=_PAPER
        ),
        SimulatedThermogramsConfig(
            name="paper_mixture",
            num_patients=1837,
            first_seed=3_000_000,
            cohort=CohortSettings(tumours=TumourSettings(prior="mixture")),
        ),
        SimulatedThermogramsConfig(
            name="paper_weak",
            num_patients=1837,
            first_seed=4_000_000,
            cohort=CohortSettings(tumours=TumourSettings(prior="weak")),
        ),
        SimulatedThermogramsConfig(
            name="dynamic",
            num_patients=92,
            first_seed=5_000_000,
            cohort=dataclasses.replace(_PAPER, protocol="dynamic"),
        ),
        SimulatedThermogramsConfig(
            name="large", num_patients=20000, first_seed=6_000_000, cohort=_PAPER
        ),
        SimulatedThermogramsConfig(
            name="test", num_patients=5000, first_seed=7_000_000, cohort=_PAPER
        ),
        SimulatedThermogramsConfig(
            name="quickstart",
            num_patients=1200,
            first_seed=1_000_000,
            cohort=_QUICKSTART,
        ),
        SimulatedThermogramsConfig(
            name="tiny",
            num_patients=48,
            first_seed=8_000_000,
            cohort=CohortSettings(
                shape=(32, 32), spacing_mm=12.0, height_mm=96.0, tumours=_COARSE
            ),
        ),
    ]

    @property
    def _config(self) -> SimulatedThermogramsConfig:
        config = self.builder_config
        assert isinstance(config, SimulatedThermogramsConfig)
        return config

    @property
    def simulation_folder(self) -> pathlib.Path:
        """Where the shards of an unfinished simulation are, by all that makes them."""
        config = self._config
        text = repr((config.first_seed, config.window, config.cohort, self.VERSION))
        root = pathlib.Path(self._data_dir_root)
        return root / "simulation" / f"{config.name}-{digest(text)}"

    def _info(self) -> tfds.core.DatasetInfo:
        features = examples.twin_features(
            *self._config.cohort.shape, bioheat.PARAMETER_NAMES
        )
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features)
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        return {examples.SPLIT: self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[str, dict[str, Any]]]:
        config = self._config
        shards = simulated_shards(
            self.simulation_folder,
            seeds=config.seeds,
            settings=config.cohort,
            window=config.window,
            workers=self.workers,
        )
        for shard in shards:
            for row in range(len(shard["seeds"])):
                for frame in range(shard["healthy"].shape[1]):
                    example = _example(shard, row, frame, config.first_seed)
                    yield example["example_id"], example


def _example(shard: Shard, row: int, frame: int, first_seed: int) -> dict[str, Any]:
    seed = int(shard["seeds"][row])
    frames = shard["healthy"].shape[1]
    name = f"p{seed - first_seed:05d}" + (f"-f{frame:02d}" if frames > 1 else "")
    values = shard["parameters"][row].astype(np.float32)
    return {
        "healthy_image": shard["healthy"][row, frame, ..., None],
        "tumour_image": shard["tumour"][row, frame, ..., None],
        "mask": shard["masks"][row, ..., None].astype(np.uint8),
        "label": int(shard["has_tumour"][row]),
        "patient_id": seed - first_seed,
        "patient_seed": seed,
        "example_id": name,
        "view": "frontal",
        "frame": frame,
        "seconds": np.float32(shard["seconds"][row, frame]),
        "background_celsius": np.float32(shard["background"][row, frame]),
        "noise_celsius": np.float32(shard["noise"][row, frame]),
        "parameters": dict(zip(bioheat.PARAMETER_NAMES, values, strict=True)),
    }
