"""The detectors of one arm, without and with an attacker who knows them."""

import dataclasses
import functools
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from configs.default import Config
from experiments.attack_settings import named_attack
from experiments.cohort import Fold, examples_of
from experiments.config_errors import build
from experiments.evaluate_arms import evaluation_key
from experiments.evaluation_parts import Parts, identify
from experiments.settings import Arm
from experiments.watch import SCORES, SUBBANDS, Watch
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
        """Every score, both attackers."""
        measure = self._evaluator(
            lambda params: functools.partial(self.watch.everything, params)
        )
        examples = examples_of(self.test)

        def scores(examples: Examples, images=None) -> tuple[np.ndarray, ...]:
            found = measure.logits(self.watch.params, examples, images)
            width = sum(len(names) for _, names in self.watch.families.values())
            return found[:, :-width], found[:, -width:]

        validation = scores(examples_of(self._fold.validation))[1]
        clean, plain = scores(examples), scores(examples, self.plain.images)
        results, column = [], 0
        for family, (_, names) in self.watch.families.items():
            evade = functools.partial(self._evade, self._guarded_evaluator(family))
            for index, name in enumerate(names):
                if self._wanted(name):
                    limits = [
                        evaluation.frozen_limit(validation[:, column], aim)
                        for aim in AIMS
                    ]
                    chosen = np.eye(len(names), dtype=np.float32)[index]
                    aware = [
                        scores(examples, evade(name, chosen, limit).images)
                        for limit in limits
                    ]
                    results += self._detected(
                        name, column, limits[0], clean, plain, aware
                    )
                column += 1
        return results

    def _wanted(self, name: str) -> bool:
        wanted = self._config.detection.scores
        return name in wanted or (name not in SCORES and SUBBANDS in wanted)

    def _guarded_evaluator(self, family: str) -> Evaluator:
        def with_mode(mode):
            return lambda params: self.watch.guarded(family, params, backward=mode)

        return self._evaluator(
            functools.partial(self.watch.guarded, family),
            surrogates_of={mode: with_mode(mode) for mode in self._modes},
        )

    def _evade(self, evaluator, name: str, chosen: np.ndarray, limit: float):
        params = {
            **self.watch.params,
            "chosen": jnp.asarray(chosen),
            "limit": jnp.float32(limit),
        }
        attack = Evasion(attack=aware_attack(self._config, self.norm))
        identity = {"limit": limit}
        return self._attack(evaluator, attack, params, f"hiding_from_{name}", identity)

    def _attack(self, evaluator, attack, params, name: str, identity) -> Attacked:
        examples = examples_of(self.test)
        told = {
            "set": "test", "arm": self.arm.name, "protocol": "adaptive",
            "attack": name, "norm": self.norm, "epsilon": self.epsilon,
        }  # fmt: skip
        return self._parts.attacked(
            told,
            {**identify(self.arm, self.params, examples), **identity},
            lambda: evaluator.attack(
                attack, params, examples, self.key, self.epsilon,
                description=f"{self.arm.name} {name}",
            ),
        )  # fmt: skip

    def _detected(self, name, column, limit, clean, plain, aware) -> list[Detected]:
        def guarded(found) -> Guarded:
            logits, scores = found
            return Guarded(
                logits=logits,
                labels=self.test.labels,
                excess=scores[:, column] - np.float32(limit),
            )

        unaware = guarded(plain)
        # Who knows the detector may also choose what the other found.
        hidden = evaluation.best_hidden([unaware, *map(guarded, aware)])
        return [
            Detected(
                score=name, aware=knows, clean=guarded(clean), attacked=attacked,
                patient_ids=self.test.patient_ids,
            )
            for knows, attacked in ((False, unaware), (True, hidden))
        ]  # fmt: skip


def aware_attack(config: Config, norm: str) -> attacks.DetectorAwarePGD:
    """The attacker who knows the detector."""
    return build(
        attacks.DetectorAwarePGD, "detection.aware_pgd",
        {**config.detection.aware_pgd, "norm": norm},
    )  # fmt: skip


def spread_rows(total: int, most: int) -> np.ndarray:
    """At most so many rows, evenly out of all."""
    return np.linspace(0, total - 1, min(most, total)).round().astype(int)
