"""A finished run, opened: its data, its arms, and how their scores are to be read."""

import dataclasses
import pathlib

import numpy as np

from configs.default import Config
from experiments import cohort, settings
from experiments.cohort import Fold, examples_of
from experiments.config_errors import ConfigError
from experiments.run_folder import locked
from experiments.settings import Arm
from experiments.train_arm import restore_arms
from wbad_jax import evaluation
from wbad_jax.data import Dataset
from wbad_jax.data.examples import LABEL_NAMES
from wbad_jax.evaluation import Condition, Evaluator, Outcome
from wbad_jax.evaluation.calibration import POSITIVE, calibration_line, log_odds
from wbad_jax.types import Params


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """How the score of an arm is read, from its clean validation images.

    The score is the logit of a tumour less the largest other one.

    Attributes:
        threshold: Score above which an image counts as tumour at 90 % specificity; None
            without a healthy image.
        slope: Of the calibration line, by logistic regression of the truth on the log
            odds; None where it does not exist, or points the wrong way.
        intercept: Of the same.
        num_validation: Images that both follow from.
    """

    threshold: float | None
    slope: float | None
    intercept: float | None
    num_validation: int

    def probability(self, logits: np.ndarray) -> np.ndarray | None:
        """Calibrated probabilities of a tumour, `[n]`; None without calibration."""
        if self.slope is None or self.intercept is None:
            return None
        odds = self.intercept + self.slope * log_odds(logits)
        return 1 / (1 + np.exp(-odds))


@dataclasses.dataclass(frozen=True)
class TrainedRun:
    """One fold of a finished run.

    Attributes:
        config: Of the run.
        fold: Its data.
        trained: Arms and their parameters, by name.
    """

    config: Config
    fold: Fold
    trained: dict[str, tuple[Arm, Params]]

    @property
    def window(self) -> tuple[float, float]:
        """Temperatures of pixel values 0 and 1."""
        return self.fold.test.window

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`(height, width, channels)`."""
        height, width, channels = self.fold.test.images.shape[1:]
        return height, width, channels

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the labels."""
        return tuple(self.config.data.options.get("classes", LABEL_NAMES))

    def arm(self, name: str | None) -> tuple[Arm, Params]:
        """An arm by name; the last one without.

        Raises:
            ConfigError: If the run has none of this name.
        """
        name = name or next(reversed(self.trained))
        if name not in self.trained:
            raise ConfigError(f"--arm must be one of {[*self.trained]}, got {name!r}.")
        return self.trained[name]

    def reading(self, name: str) -> Reading:
        """How the scores of an arm are to be read."""
        arm, params = self.arm(name)
        examples = examples_of(self.fold.validation)
        size = min(self.config.evaluation.batch_size, len(examples.labels))
        evaluator = Evaluator(arm.evaluated.logits_fn, batch_size=size)
        return read_scores(evaluator.logits(params, examples), self.fold.validation)


def open_run(
    config: Config, workdir: pathlib.Path, fold_name: str | None = None
) -> TrainedRun:
    """Open a finished run; nothing but its lock is written.

    Args:
        config: Of the run.
        workdir: Its folder.
        fold_name: Of a cross-validation; its first fold if None.

    Raises:
        ConfigError: If the run is unfinished or in use, or there is no such fold.
    """
    with locked(workdir):
        dataset = cohort.load(config)
        folds = {fold.name: fold for fold in cohort.make_folds(config, dataset)}
        name = next(iter(folds)) if fold_name is None else fold_name
        if name not in folds:
            raise ConfigError(f"--fold must be one of {[*folds]}, got {name!r}.")
        fold = folds[name]
        arms = settings.build_arms(config, dataset.images.shape[1:])
        trained = restore_arms(arms, workdir=workdir, run_name=fold.run_name)
    return TrainedRun(config, fold, trained)


def read_scores(logits: np.ndarray, validation: Dataset) -> Reading:
    """Threshold and calibration from the logits of clean validation images.

    Args:
        logits: `[n, classes]`.
        validation: Their data set.
    """
    outcome = Outcome(
        condition=Condition(
            arm="", set=evaluation.VALIDATION, protocol="clean", attack="none",
            norm=None, epsilon=None, seed=0,
        ),
        example_ids=validation.example_ids,
        patient_ids=validation.patient_ids,
        labels=validation.labels,
        logits=logits,
        distance=np.zeros(len(logits)),
        seconds=0.0,
    )  # fmt: skip
    point = evaluation.choose_operating_point(outcome)
    slope, intercept = calibration_line(logits, validation.labels == POSITIVE)
    if slope is None or slope <= 0:
        slope = intercept = None
    return Reading(
        threshold=None if point is None else float(point.threshold[0]),
        slope=slope,
        intercept=intercept,
        num_validation=len(logits),
    )
