"""One arm compiled for one image at a time: look at it, attack it, certify it."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.cohort import examples_of
from experiments.evaluate_arms import evaluation_key
from experiments.trained_run import Reading, TrainedRun, read_scores
from experiments.watch import CHANGE, TOTAL, Watch
from experiments.white_box import backward_modes
from wbad_jax import attacks, devices, evaluation
from wbad_jax.evaluation import Certificates, Evaluator

SCORES = (TOTAL, CHANGE)
# Multiples of the run's epsilon that an image is attacked at; many numbers of devices
# divide how many they are.
MULTIPLES = tuple(np.arange(1, 13) / 6)
_SELECTION, _ESTIMATION = 0, 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class EffortSettings:
    """How much is computed for an image.

    Attributes:
        attack_steps: Gradient steps of PGD, for each backward pass.
        num_selection: Votes that choose the class to certify.
        num_samples: Votes that its radius follows from.
        noise_batch: Of them at once.
    """

    attack_steps: int = 20
    num_selection: int = 100
    num_samples: int = 1000
    noise_batch: int = 32

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value < 1:
                raise ValueError(f"{field.name} must be at least 1, got {value}.")


class Look(NamedTuple):
    """What an arm makes of images.

    Attributes:
        logits: `[n, classes]`.
        scores: `[n, scores]`, those of `SCORES`.
        denoised: `[n, height, width, channels]`; the images where nothing denoises.
    """

    logits: Any
    scores: Any
    denoised: Any


class Sweep(NamedTuple):
    """An image attacked at every multiple of epsilon.

    Attributes:
        images: `[multiples, height, width, channels]`.
        look: Of the attacked arm at them.
        margin: `[multiples]`, of the decision about the clean image.
    """

    images: np.ndarray
    look: Look
    margin: np.ndarray


class ArmPrograms:
    """Compiled functions of one arm; all shapes are fixed, nothing is compiled twice.

    Attributes:
        name: Of the arm.
        defended: Whether it has a denoiser.
        reading: How its score is read.
        limits: Of `SCORES`, frozen on clean validation images.
        sigma: Standard deviation of the noise for certificates, pixel units.
        noise_trained: Whether its network has seen such noise.
    """

    def __init__(self, run: TrainedRun, name: str, effort: EffortSettings):
        arm, params = run.arm(name)
        config = run.config
        self.name = name
        self.defended = arm.evaluated.denoiser is not None
        self._watch = Watch(arm, config, params)
        self._columns = [self._watch.names.index(score) for score in SCORES]
        self._classes = len(run.classes)
        self._arm, self._effort = arm, effort
        self._modes = backward_modes(arm, config.evaluation.backward_modes)
        self._epsilon = run.fold.budgets["linf"] * np.array(MULTIPLES, np.float32)
        self._mesh = devices.data_mesh(len(MULTIPLES))
        self._params = devices.replicate(self._watch.params, self._mesh)
        self._key = evaluation_key(config)
        trained_on = config.training.augmentation.noise_sigma
        self.noise_trained = trained_on > 0
        self.sigma = trained_on or config.certificates.sigmas[0]
        self.alpha = config.certificates.alpha
        self._look = jax.jit(self._look_at)
        self._attack = jax.jit(self._attack_at)
        self._votes = jax.jit(self._count)
        self.reading, self.limits = self._freeze(run)

    def look(self, images: np.ndarray) -> Look:
        """What the arm makes of one image, or of as many as `MULTIPLES`."""
        mesh = self._mesh if len(images) == len(MULTIPLES) else devices.data_mesh(1)
        params = self._params if mesh is self._mesh else self._watch.params
        found = self._look(params, devices.split(images, mesh))
        return Look(*map(np.asarray, found))

    def attack(self, image: np.ndarray, label: int) -> Sweep:
        """Attack an image at every multiple, whitebox, away from a label.

        An image of a smaller budget is one of each larger budget too: of those the
        lowest margin is taken.

        Args:
            image: `[height, width, channels]`.
            label: Class that the decision shall leave.
        """
        count = len(MULTIPLES)
        labels = np.full(count, label, np.int32)
        batch = (np.repeat(image[None], count, axis=0), labels, self._epsilon)
        found = self._attack(self._params, self._key, *devices.split(batch, self._mesh))
        images, look = jax.device_get(found)
        margin = evaluation.margins(np.asarray(look.logits), labels)
        best = [int(margin[: i + 1].argmin()) for i in range(count)]
        look = Look(*(np.asarray(part)[best] for part in look))
        return Sweep(np.asarray(images)[best], look, margin[best])

    def certify(self, image: np.ndarray) -> Certificates:
        """The radius around an image that the smoothed arm is certified for."""
        counts = (self._effort.num_selection, self._effort.num_samples)

        def votes(stage: int, count: int) -> np.ndarray:
            keys = jax.random.fold_in(self._key, stage)[None]
            deployed = self._watch.params["deployed"]
            found = self._votes(deployed, keys, image[None], self.sigma, count)
            return np.asarray(found)

        selection, estimation = map(votes, (_SELECTION, _ESTIMATION), counts)
        return evaluation.certify_votes(selection, estimation, self.sigma, self.alpha)

    def compiled(self) -> dict[str, int]:
        """How many programs each function has: it does not grow with requests."""
        functions: dict[str, Any] = {
            "look": self._look, "attack": self._attack, "votes": self._votes,
        }  # fmt: skip
        return {name: f._cache_size() for name, f in functions.items()}

    def _look_at(self, params, images) -> Look:
        found = self._watch.everything(params, images)
        logits, scores = found[:, : self._classes], found[:, self._classes :]
        denoised = self._arm.evaluated.denoise(params["deployed"], images)
        return Look(logits, scores[:, jnp.asarray(self._columns)], denoised)

    def _attack_at(self, params, key, images, labels, epsilon):
        deployed = params["deployed"]
        pgd = attacks.PGD(num_steps=self._effort.attack_steps)
        result = pgd(
            self._arm.evaluated.logits_fn(deployed), key, images, labels,
            epsilon=epsilon,
            surrogates={name: of(deployed) for name, of in self._modes.items()},
        )  # fmt: skip
        return result.adversarial, self._look_at(params, result.adversarial)

    def _count(self, deployed, keys, images, sigma, count):
        return evaluation.count_votes(
            self._arm.evaluated.logits_fn(deployed), keys, images, sigma, count,
            noise_batch=self._effort.noise_batch,
        )  # fmt: skip

    def _freeze(self, run: TrainedRun) -> tuple[Reading, tuple[float, ...]]:
        validation = run.fold.validation
        size = min(run.config.evaluation.batch_size, len(validation))
        of = Evaluator(
            lambda params: functools.partial(self._watch.everything, params),
            batch_size=size,
        )
        found = of.logits(self._watch.params, examples_of(validation))
        logits, scores = found[:, : self._classes], found[:, self._classes :]
        limits = [
            evaluation.frozen_limit(scores[:, column]) for column in self._columns
        ]
        return read_scores(logits, validation), tuple(limits)
