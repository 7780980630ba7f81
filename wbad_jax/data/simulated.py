"""TFDS builder of simulated cohorts."""

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

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
from wbad_jax.data.shards import Shard
from wbad_jax.data.simulation import Simulation, simulation_folder

# Each cohort draws its patients from a range of seeds of its own.
SEEDS_PER_COHORT = 1_000_000


@dataclasses.dataclass(kw_only=True)
class SimulatedThermogramsConfig(tfds.core.BuilderConfig):
    """One cohort.

    Attributes:
        num_patients: Each is stored in both states, healthy and with a tumour.
        first_seed: Names the first patient; the others follow. Cohorts whose seeds do
            not overlap share no patient.
        window: Temperatures mapped to 0 and 1, degrees Celsius.
        cohort: What the patients are like.

    Examples:
        >>> from wbad_jax.data import SimulatedThermogramsConfig as Config
        >>> Config(name="mine", num_patients=10, first_seed=5).window
        (22.0, 38.0)
    """

    num_patients: int
    first_seed: int
    window: tuple[float, float] = (22.0, 38.0)
    cohort: CohortSettings = CohortSettings()

    def __post_init__(self):
        for name, least in (("num_patients", 1), ("first_seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise DataError(
                    f"{name} must be a whole number of at least {least}, got {value!r}."
                )
        room = SEEDS_PER_COHORT - self.first_seed % SEEDS_PER_COHORT
        if self.num_patients > room:
            raise DataError(
                f"num_patients must be at most {room}, the seeds from first_seed "
                f"{self.first_seed} to those of another cohort, got "
                f"{self.num_patients}."
            )
        low, high = self.window
        if not low < high:
            raise DataError(f"window needs low < high, got {low} .. {high}.")

    @property
    def seeds(self) -> range:
        """Of the patients, in order."""
        return range(self.first_seed, self.first_seed + self.num_patients)


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
        workers: Patients simulated at a time.

    Examples:
        >>> from wbad_jax.data import SimulatedThermograms
        >>> names = [config.name for config in SimulatedThermograms.BUILDER_CONFIGS]
        >>> "quickstart" in names
        True
    """

    VERSION = tfds.core.Version("2.0.0")
    RELEASE_NOTES = {
        "1.0.0": "Tumours added to drawn images.",
        "2.0.0": "Three-dimensional bioheat physics, in place of warm spots painted on "
        "an ellipse; a patient is named by a seed, and both states are in one example.",
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
    workers: int = 2

    @property
    def _config(self) -> SimulatedThermogramsConfig:
        config = self.builder_config
        assert isinstance(config, SimulatedThermogramsConfig)
        return config

    @property
    def simulation(self) -> Simulation:
        """The cohort before it is stored."""
        config = self._config
        contents = [
            str(self.version),
            bioheat.PARAMETER_NAMES,
            (config.first_seed, config.num_patients, config.window),
            config.cohort,
        ]
        # The public name of this root is not in all versions of TFDS.
        root = pathlib.Path(self._data_dir_root)
        return Simulation(
            folder=simulation_folder(root, config.name, contents),
            seeds=config.seeds,
            settings=config.cohort,
            window=config.window,
        )

    def _info(self) -> tfds.core.DatasetInfo:
        features = examples.twin_features(
            *self._config.cohort.shape, bioheat.PARAMETER_NAMES
        )
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features)
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        # All patients are there before the first example is written.
        self.simulation.complete(self.workers)
        return {examples.SPLIT: self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for shard in self.simulation.shards():
            for row in range(len(shard.seeds)):
                for frame in range(shard.seconds.shape[1]):
                    example = _example(shard, row, frame, self._config.first_seed)
                    yield example["example_id"], example


def _example(shard: Shard, row: int, frame: int, first_seed: int) -> dict[str, Any]:
    """A patient at one time."""
    patient = int(shard.seeds[row]) - first_seed
    series = f"-f{frame:02d}" if shard.seconds.shape[1] > 1 else ""
    parameters = zip(bioheat.PARAMETER_NAMES, shard.parameters[row], strict=True)
    return {
        "healthy_image": shard.healthy[row, frame],
        "tumour_image": shard.tumour[row, frame],
        "mask": shard.masks[row],
        "label": int(shard.has_tumour[row]),
        "patient_id": patient,
        "patient_seed": shard.seeds[row],
        "example_id": f"p{patient:05d}{series}",
        "view": "frontal",
        "frame": frame,
        "seconds": shard.seconds[row, frame],
        "background_celsius": shard.background_celsius[row, frame],
        "noise_celsius": shard.noise_celsius[row, frame],
        "parameters": dict(parameters),
    }
