"""Every trained arm under every protocol, set, attack and epsilon of a config."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator

import jax
import numpy as np

from configs.default import Config
from experiments import attack_settings
from experiments.cohort import Fold, examples_of
from experiments.evaluation_parts import Identity, Parts, identify
from experiments.graybox import (
    Crafted,
    Surrogate,
    Trained,
    craft,
    load_surrogates,
    write_records,
)
from experiments.settings import Arm
from experiments.stopping import StopRequest
from experiments.train_arm import stable_hash
from experiments.white_box import WhiteBox
from wbad_jax import evaluation, processes
from wbad_jax.evaluation import Attacked, Condition, Evaluator, Examples, Outcome
from wbad_jax.types import Key, Params


def evaluate_fold(
    config: Config,
    fold: Fold,
    trained: Trained,
    workdir: pathlib.Path,
    *,
    parts: Parts | None = None,
    stop: StopRequest | None = None,
) -> list[Outcome]:
    """Every arm under every protocol, set, attack and epsilon of the config.

    Args:
        config: The experiment.
        fold: Its data.
        trained: Arms and their parameters, by name.
        workdir: Folder of the run, from which a foreign surrogate is told apart.
        parts: Where finished outcomes are kept and found; nowhere if None.
        stop: Heeded before each batch; there is nothing to heed if None.

    Returns:
        Outcomes, without the worst cases, which follow from them.

    Raises:
        StopRequestedError: If `stop` says so.
    """
    outcomes: list[Outcome] = []
    stop = stop or StopRequest()
    check = functools.partial(stop.check, "Stopped in the evaluation.")
    surrogates = load_surrogates(config, fold, trained, workdir)
    records = []
    sets = {"test": fold.test, "test_pairs": fold.test_pairs}
    for set_name in config.evaluation.sets:
        examples = examples_of(sets[set_name], fold.test_pairs)
        kept = parts or Parts(None, config)
        run = _SetEvaluation(config, set_name, examples, fold, kept, check)
        outcomes += run.baselines() if set_name == "test" else []
        crafted = [made for surrogate in surrogates for made in run.craft(surrogate)]
        records += [made.record for made in crafted]
        for arm, params in trained.values():
            outcomes += run.evaluate_arm(arm, params, crafted)
    processes.on_first(lambda: write_records(records, workdir / fold.name))
    return outcomes


class _SetEvaluation:
    """Evaluation on one set of examples."""

    def __init__(
        self, config, set_name: str, examples: Examples, fold: Fold, parts: Parts,
        before_batch: Callable[[], None],
    ):  # fmt: skip
        self._config = config
        self._set = set_name
        self._examples = examples
        self._fold = fold
        self._parts = parts
        self._key = evaluation_key(config)
        self._evaluator = functools.partial(
            Evaluator,
            batch_size=min(config.evaluation.batch_size, len(examples.labels)),
            before_batch=before_batch,
        )

    def baselines(self) -> list[Outcome]:
        return [
            self._outcome(
                self._condition(f"baseline:{feature}", "clean", "none", None, None),
                logits,
            )
            for feature, logits in self._fold.baselines.items()
        ]

    def craft(self, surrogate: Surrogate) -> list[Crafted]:
        """Adversarial images of a surrogate, for all attacks and epsilons."""
        attacks = attack_settings.graybox_attacks(self._config).items()
        conditions = [
            (self._condition("", "graybox", name, norm, epsilon), variants)
            for name, variants in attacks
            for norm, epsilon in self._budgets(variants[0].norm)
        ]
        evaluator = self._evaluator(surrogate.arm.evaluated.logits_fn)
        return craft(
            surrogate, self._examples, conditions, evaluator, self._parts, self._key
        )

    def evaluate_arm(self, arm: Arm, params: Params, crafted) -> Iterator[Outcome]:
        evaluator = self._evaluator(arm.evaluated.logits_fn)
        own = identify(arm, params, self._examples)

        def kept(condition: Condition, make, identity: Identity) -> Outcome:
            return self._parts.outcome(
                condition, identity, lambda: self._outcome(condition, *make())
            )

        condition = self._condition(arm.name, "clean", "none", None, None)
        clean = kept(
            condition, lambda: (evaluator.logits(params, self._examples),), own
        )
        yield clean
        if self._set == "test":
            yield self._validate(evaluator, params, condition)
        for made in crafted:
            condition = dataclasses.replace(made.condition, arm=arm.name)
            make = functools.partial(self._transfer, evaluator, params, made.images)
            yield kept(condition, make, {**own, "surrogate": made.identity})
        if "adaptive" in self._config.evaluation.protocols:
            white_box = WhiteBox(
                self._config, arm, params, self._examples, self._parts, self._key,
                self._evaluator,
            )  # fmt: skip
            for norm in ("linf", "l2"):
                yield from white_box.attack(clean, norm, self._fold.budgets[norm])

    def _validate(self, evaluator, params, clean: Condition) -> Outcome:
        """Clean validation images, on which decision thresholds are chosen."""
        examples = examples_of(self._fold.validation)
        logits = evaluator.logits(params, examples)
        condition = dataclasses.replace(clean, set=evaluation.VALIDATION)
        return self._outcome(condition, logits, examples=examples)

    def _transfer(self, evaluator, params, attacked: Attacked):
        logits = evaluator.logits(params, self._examples, attacked.images)
        return logits, attacked

    def _budgets(self, norm: str) -> list[tuple[str, float]]:
        multiples = self._config.evaluation.epsilon_multiples
        return [(norm, self._fold.budgets[norm] * multiple) for multiple in multiples]

    def _condition(self, arm, protocol, attack, norm, epsilon) -> Condition:
        return Condition(
            arm=arm, set=self._set, protocol=protocol, attack=attack, norm=norm,
            epsilon=epsilon, seed=self._config.seed,
        )  # fmt: skip

    def _outcome(
        self, condition: Condition, logits, attacked=None, examples=None
    ) -> Outcome:
        examples = examples or self._examples
        return Outcome(
            condition=condition,
            example_ids=examples.example_ids,
            patient_ids=examples.patient_ids,
            labels=examples.labels,
            logits=logits,
            distance=attacked.distance if attacked else np.zeros(len(logits)),
            seconds=attacked.seconds if attacked else 0.0,
        )


def evaluation_key(config: Config) -> Key:
    """Base key of the random draws of all attacks."""
    return jax.random.fold_in(jax.random.key(config.seed), stable_hash("evaluation"))
