"""The detectors of one arm, without and with an attacker who knows them."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from configs.default import Config
from experiments.attack_settings import named_attack
from experiments.cohort import Fold, examples_of
from experiments.config_errors import build
from experiments.evaluate_arms import evaluation_key
from experiments.evaluation_parts import Parts, identify
from experiments.settings import Arm
from experiments.watch import FAMILIES, Watch
from experiments.white_box import backward_modes
from wbad_jax import attacks, evaluation
from wbad_jax.evaluation import Attacked, Evaluator, Evasion, Examples, Guarded
from wbad_jax.types import Params

# Shares of clean validation images above the limits that the aware attacker aims below:
# that of the detector in use, and the median, for a curve and not one point of it.
AIMS = (evaluation.FALSE_ALARMS, 0.5)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Detected:
    """A detector before and under an attack.

    Attributes:
        score: Its name.
        aware: Whether the attacker knows it.
        clean: Test images as they are.
        attacked: Those of the attack.
        patient_ids: Of both, `[n]`.
    """

    score: str
    aware: bool
    clean: Guarded
    attacked: Guarded
    patient_ids: np.ndarray


class ArmDetection:
    """All detectors of an arm, without and with an attacker who knows them."""

    def __init__(
        self, config: Config, fold: Fold, arm: Arm, params: Params, parts: Parts,
        before_batch: Callable[[], None],
    ):  # fmt: skip
        """Prepare; nothing is computed yet.

        Args:
            config: The experiment.
            fold: Its data.
            arm: Which classifier.
            params: Of it.
            parts: Where attacked images are kept and found.
            before_batch: Called before each batch; may raise to end early.
        """
        self.watch = Watch(arm, config, params)
        rows = spread_rows(len(fold.test), config.detection.max_examples)
        self.test = fold.test.subset(rows)
        self.examples = examples_of(self.test)
        self.plain_attack = named_attack(config, "pgd")
        self.norm = self.plain_attack.norm
        self.epsilon = fold.budgets[self.norm]
        self.key = evaluation_key(config)
        self.arm, self.params = arm, params
        self._config, self._fold, self._parts = config, fold, parts
        self._modes = backward_modes(arm, config.evaluation.backward_modes)
        size = min(config.evaluation.batch_size, len(self.test))
        self._evaluator = functools.partial(
            Evaluator, batch_size=size, before_batch=before_batch
        )

    @functools.cached_property
    def plain(self) -> Attacked:
        """The attack of an attacker who knows of no detector."""
        evaluator = self._evaluator(
            self.arm.evaluated.logits_fn, surrogates_of=self._modes
        )
        return self._attack(evaluator, self.plain_attack, self.params, "pgd", {})

    def run(self) -> list[Detected]:
        """Every score that the config asks for, both attackers."""
        validation = self._scored(examples_of(self._fold.validation))
        clean = self._scored(self.examples)
        plain = self._scored(self.examples, self.plain.images)
        results = []
        for name in self.watch.wanted(self._config.detection.scores):
            scores = validation[:, self._column(name)]
            limits = [evaluation.frozen_limit(scores, aim) for aim in AIMS]
            aware = [
                self._scored(self.examples, self._hide(name, limit).images)
                for limit in limits
            ]
            told = functools.partial(self._guarded, name, limits[0])
            results += detected(
                name, told(clean), told(plain), [*map(told, aware)],
                self.test.patient_ids,
            )  # fmt: skip
        return results

    @functools.cached_property
    def _measure(self) -> Evaluator:
        return self._evaluator(lambda p: functools.partial(self.watch.everything, p))

    def _scored(self, examples: Examples, images=None) -> np.ndarray:
        """Logits and all scores, `[n, classes + scores]`."""
        return self._measure.logits(self.watch.params, examples, images)

    def _column(self, name: str) -> int:
        return self.watch.names.index(name) - len(self.watch.names)

    def _guarded(self, name: str, limit: float, scored: np.ndarray) -> Guarded:
        return Guarded(
            logits=scored[:, : -len(self.watch.names)],
            labels=self.test.labels,
            excess=scored[:, self._column(name)] - np.float32(limit),
        )

    def _hide(self, name: str, limit: float) -> Attacked:
        """The attack of one who wants to stay below a limit of a score."""
        family, chosen = self.watch.choose(name)
        params = {
            **self.watch.params,
            "chosen": jnp.asarray(chosen),
            "limit": jnp.float32(limit),
        }
        attack = Evasion(attack=aware_attack(self._config, self.norm))
        return self._attack(
            self._evaders[family], attack, params, f"hiding_from_{name}",
            {"limit": limit},
        )  # fmt: skip

    @functools.cached_property
    def _evaders(self) -> dict[str, Evaluator]:
        """Of each family of scores: one compiled attack for all its scores."""

        def guarded(family: str, **backward: Any):
            return functools.partial(self.watch.guarded, family, **backward)

        return {
            family: self._evaluator(
                guarded(family),
                surrogates_of={
                    mode: guarded(family, backward=mode) for mode in self._modes
                },
            )
            for family in FAMILIES
        }

    def _attack(self, evaluator, attack, params, name: str, identity) -> Attacked:
        told = {
            "set": "test", "arm": self.arm.name, "protocol": "adaptive",
            "attack": name, "norm": self.norm, "epsilon": self.epsilon,
        }  # fmt: skip
        return self._parts.attacked(
            told,
            {**identify(self.arm, self.params, self.examples), **identity},
            lambda: evaluator.attack(
                attack, params, self.examples, self.key, self.epsilon,
                description=f"{self.arm.name} {name}",
            ),
        )  # fmt: skip


def detected(
    score: str,
    clean: Guarded,
    plain: Guarded,
    aware: Sequence[Guarded],
    patient_ids: np.ndarray,
) -> list[Detected]:
    """A detector before the attacker who does not know it, and before the one who does.

    Args:
        score: Its name.
        clean: The test images.
        plain: What the one made of them.
        aware: What the other did, with several aims; he may also take `plain`.
        patient_ids: Of the images.
    """
    hidden = evaluation.best_hidden([plain, *aware])
    return [
        Detected(
            score=score,
            aware=knows,
            clean=clean,
            attacked=attacked,
            patient_ids=patient_ids,
        )
        for knows, attacked in ((False, plain), (True, hidden))
    ]


def aware_attack(config: Config, norm: str) -> attacks.DetectorAwarePGD:
    """The attacker who knows the detector."""
    return build(
        attacks.DetectorAwarePGD, "detection.aware_pgd",
        {**config.detection.aware_pgd, "norm": norm},
    )  # fmt: skip


def spread_rows(total: int, most: int) -> np.ndarray:
    """At most so many rows, evenly out of all."""
    return np.linspace(0, total - 1, min(most, total)).round().astype(int)
