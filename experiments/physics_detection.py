"""Physics consistency as a detector: does any patient explain the picture?

The patient's body and vessels are taken as known, as in `wbad_jax.bioheat.inverse`; so
this is for simulated cohorts alone. Some seconds a fit: for a few examples.
"""

from collections.abc import Callable

import jax
import numpy as np
from tqdm import tqdm

from configs.default import Config
from experiments.cohort import Fold
from experiments.config_errors import ConfigError
from experiments.detect_arm import (
    AIMS,
    ArmDetection,
    Detected,
    aware_attack,
    detected,
    spread_rows,
)
from wbad_jax import evaluation
from wbad_jax.bioheat import CohortSettings, Inverse, NotConvergedError, draw_healthy
from wbad_jax.bioheat.consistency import FollowedSuspicion, follow, suspicion
from wbad_jax.bioheat.gauss_newton import Estimate
from wbad_jax.bioheat.whitening import MOST_PIXELS
from wbad_jax.data import Dataset, SimulatedThermograms
from wbad_jax.evaluation import Guarded

PHYSICS = "physics_consistency"
# Of a picture that no patient explains at all: beyond every |log score| there is.
_UNEXPLAINED = 100.0


def check_physics(config: Config) -> None:
    """Refuse physics consistency where there is no inverse of the pictures.

    Raises:
        ConfigError: If it is asked for, and the cohort is not simulated, not at rest,
            or of too large images; or several processes run.
    """
    if config.detection.physics_examples:
        cohort_settings(config)
        if jax.process_count() > 1:
            raise ConfigError("detection.physics_examples needs a single process.")


def cohort_settings(config: Config) -> CohortSettings:
    """The law of the patients of a config.

    Raises:
        ConfigError: See `check_physics`.
    """
    builder, _, name = config.data.builder.partition("/")
    known = {each.name: each for each in SimulatedThermograms.BUILDER_CONFIGS}
    if builder != "simulated_thermograms" or name not in known:
        raise ConfigError(
            "detection.physics_examples needs simulated thermograms, got data.builder "
            f"{config.data.builder!r}."
        )
    settings = known[name].cohort
    pixels = settings.shape[0] * settings.shape[1]
    if settings.protocol != "static" or pixels > MOST_PIXELS:
        raise ConfigError(
            f"detection.physics_examples needs pictures at rest of at most "
            f"{MOST_PIXELS} pixels, got data.builder {config.data.builder!r} with "
            f"protocol {settings.protocol!r} and {pixels}."
        )
    return settings


def detect_physics(
    config: Config, fold: Fold, detection: ArmDetection, check: Callable[[], None]
) -> list[Detected]:
    """The detector under both attackers, on `detection.physics_examples` images.

    Args:
        config: The experiment.
        fold: Its data.
        detection: Of the arm; its plain attack is taken over.
        check: Called before each image; may raise to end early.
    """
    return _Physics(config, fold, detection, check).run()


class _Physics:
    def __init__(self, config, fold: Fold, detection: ArmDetection, check):
        self._settings = cohort_settings(config)
        self._count = config.detection.physics_examples
        self._fold, self._detection, self._check = fold, detection, check
        low, high = fold.test.window
        self._low, self._width = low, high - low
        self._attack = aware_attack(config, detection.norm)
        # Compiled once: the patient is an argument.
        self._evade = jax.jit(self._evading)
        self._logits = jax.jit(detection.arm.evaluated.apply)

    def run(self) -> list[Detected]:
        detection = self._detection
        limits = self._limits()
        rows = spread_rows(len(detection.test), self._count)
        test, columns = detection.test.subset(rows), []
        for index, row in enumerate(tqdm(rows, desc=self._told("test"), leave=False)):
            self._check()
            example = test.subset(np.array([index]))
            plain = detection.plain.images[row : row + 1]
            columns.append(self._judge(example, plain, limits))
        clean, plain, *aware = (
            self._guarded(test, column, limits[0])
            for column in zip(*columns, strict=True)
        )
        return detected(PHYSICS, clean, plain, aware, test.patient_ids)

    def _limits(self) -> list[float]:
        """What scores of clean validation images stay below, for each aim."""
        validation = self._fold.validation
        scores = []
        rows = spread_rows(len(validation), self._count)
        for row in tqdm(rows, desc=self._told("validation"), leave=False):
            self._check()
            example = validation.subset(np.array([row]))
            inverse = self._inverse(example)
            scores.append(self._suspicion(inverse, example.images)[0])
        return [evaluation.frozen_limit(np.array(scores), aim) for aim in AIMS]

    def _judge(self, example: Dataset, plain: np.ndarray, limits: list[float]):
        """Logits and suspicion of a clean image and of all that was made of it."""
        inverse = self._inverse(example)
        score, fit = self._suspicion(inverse, example.images)
        images = [example.images, plain]
        if fit is not None:
            followed = follow(inverse, self._celsius(example.images), fit)
            images += [self._hide(example, followed, limit) for limit in limits]
        else:  # There is nothing to follow; the attacker has the plain image.
            images += [plain] * len(limits)
        scores = [score, *(self._suspicion(inverse, each)[0] for each in images[1:])]
        params = self._detection.params
        return [
            (np.asarray(self._logits(params, each))[0], score)
            for each, score in zip(images, scores, strict=True)
        ]

    def _hide(self, example: Dataset, followed: FollowedSuspicion, limit: float):
        detection = self._detection
        return np.asarray(
            self._evade(
                detection.params, detection.key, example.images, example.labels,
                np.float32(detection.epsilon), np.float32(limit), followed,
            )
        )  # fmt: skip

    def _evading(self, params, key, images, labels, epsilon, limit, followed):
        def score_fn(images):
            return followed(self._low + self._width * images[0, ..., 0])[None]

        result = self._attack(
            lambda x: self._detection.arm.evaluated.apply(params, x),
            key, images, labels, epsilon=epsilon, score_fn=score_fn, score_limit=limit,
        )  # fmt: skip
        return result.adversarial

    def _suspicion(
        self, inverse: Inverse, image: np.ndarray
    ) -> tuple[float, Estimate | None]:
        try:
            return suspicion(inverse, self._celsius(image))
        except NotConvergedError:
            return _UNEXPLAINED, None

    def _celsius(self, images: np.ndarray) -> np.ndarray:
        return self._low + self._width * np.asarray(images)[0, ..., 0]

    def _inverse(self, example: Dataset) -> Inverse:
        template = draw_healthy(int(example.patient_seeds[0]), self._settings)[0]
        room = float(example.background_celsius[0])
        return Inverse(example.masks[0, ..., 0], template, room, self._settings)

    def _guarded(self, test: Dataset, column, limit: float) -> Guarded:
        logits, scores = zip(*column, strict=True)
        return Guarded(
            logits=np.stack(logits),
            labels=test.labels,
            excess=np.array(scores) - limit,
        )

    def _told(self, what: str) -> str:
        return f"{self._detection.arm.name} {PHYSICS} {what}"
