"""Every trained arm under every protocol, set, attack and epsilon of a config."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping

import jax
import numpy as np

from configs.default import Config
from experiments import attack_settings, settings
from experiments.cohort import Fold, examples_of
from experiments.config_errors import ConfigError
from experiments.evaluation_parts import Identity, Parts, identify
from experiments.run_folder import load_config
from experiments.settings import Arm
from experiments.stopping import StopRequest
from experiments.train_arm import restore_arm, stable_hash
from wbad_jax import evaluation
from wbad_jax.evaluation import Attacked, Condition, Evaluator, Examples, Outcome
from wbad_jax.types import Key, Params

SURROGATE_ARM = "undefended"
Trained = Mapping[str, tuple[Arm, Params]]


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
    surrogate = _surrogate(config, fold, trained, workdir)
    sets = {"test": fold.test, "test_pairs": fold.test_pairs}
    for set_name in config.evaluation.sets:
        examples = examples_of(sets[set_name])
        kept = parts or Parts(None, config)
        run = _SetEvaluation(config, set_name, examples, fold, kept, check)
        outcomes += run.baselines() if set_name == "test" else []
        crafted = run.craft(*surrogate) if surrogate else []
        for arm, params in trained.values():
            outcomes += run.evaluate_arm(arm, params, crafted)
    return outcomes


def _surrogate(config, fold: Fold, trained: Trained, workdir: pathlib.Path):
    """Classifier on which graybox images are made; None where no protocol asks."""
    if "graybox" not in config.evaluation.protocols:
        return None
    other = config.evaluation.surrogate
    if not other or pathlib.Path(other).resolve() == workdir.resolve():
        return trained[SURROGATE_ARM]
    their_config = load_config(pathlib.Path(other))
    image_shape = fold.test.images.shape[1:]
    arms = {arm.name: arm for arm in settings.build_arms(their_config, image_shape)}
    if SURROGATE_ARM not in arms:
        raise ConfigError(f"{other} has no arm {SURROGATE_ARM!r}.")
    arm = arms[SURROGATE_ARM]
    run = fold.run_name(arm.name)
    return arm, restore_arm(arm, workdir=pathlib.Path(other), run=run, earlier={})


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

    def craft(self, arm: Arm, params: Params) -> list[tuple[Condition, Attacked]]:
        """Adversarial images of the surrogate, for all attacks and epsilons."""
        evaluator = self._evaluator(arm.evaluated.logits_fn)
        self._surrogate = identify(arm, params, self._examples)
        crafted = []
        for name, variants in attack_settings.graybox_attacks(self._config).items():
            for norm, epsilon in self._budgets(variants[0].norm):
                condition = self._condition("", "graybox", name, norm, epsilon)
                make = functools.partial(
                    self._craft, evaluator, variants, params, condition
                )
                attacked = self._parts.attacked(
                    dataclasses.asdict(condition), self._surrogate, make
                )
                crafted.append((condition, attacked))
        return crafted

    def _craft(self, evaluator, variants, params, condition) -> Attacked:
        """Of several attacks, such as confidences, the most harmful images."""
        runs = [
            self._attack(evaluator, attack, params, condition) for attack in variants
        ]
        return _most_confident(runs, self._examples.labels)

    def evaluate_arm(self, arm: Arm, params: Params, crafted) -> Iterator[Outcome]:
        evaluator = self._evaluator(
            arm.evaluated.logits_fn,
            surrogates_of=backward_modes(arm, self._config.evaluation.backward_modes),
        )
        own = identify(arm, params, self._examples)

        def kept(condition: Condition, make, identity: Identity) -> Outcome:
            return self._parts.outcome(
                condition, identity, lambda: self._outcome(condition, *make())
            )

        clean = self._condition(arm.name, "clean", "none", None, None)
        yield kept(clean, lambda: (evaluator.logits(params, self._examples),), own)
        for made, attacked in crafted:
            condition = dataclasses.replace(made, arm=arm.name)
            make = functools.partial(self._transfer, evaluator, params, attacked)
            yield kept(condition, make, {**own, "surrogate": self._surrogate})
        if "adaptive" not in self._config.evaluation.protocols:
            return
        for name, attack in attack_settings.evaluation_attacks(self._config).items():
            for norm, epsilon in self._budgets(attack.norm):
                condition = self._condition(arm.name, "adaptive", name, norm, epsilon)
                make = functools.partial(
                    self._adapt, evaluator, attack, params, condition
                )
                yield kept(condition, make, own)

    def _transfer(self, evaluator, params, attacked: Attacked):
        logits = evaluator.logits(params, self._examples, attacked.images)
        return logits, attacked

    def _adapt(self, evaluator, attack, params, condition: Condition):
        attacked = self._attack(evaluator, attack, params, condition)
        return attacked.logits, attacked

    def _attack(self, evaluator, attack, params, condition: Condition) -> Attacked:
        told = (condition.set, condition.arm, condition.protocol, condition.attack)
        return evaluator.attack(
            attack, params, self._examples, self._key, condition.epsilon,
            description=" ".join(filter(None, told)),
        )  # fmt: skip

    def _budgets(self, norm: str) -> list[tuple[str, float]]:
        multiples = self._config.evaluation.epsilon_multiples
        return [(norm, self._fold.budgets[norm] * multiple) for multiple in multiples]

    def _condition(self, arm, protocol, attack, norm, epsilon) -> Condition:
        return Condition(
            arm=arm, set=self._set, protocol=protocol, attack=attack, norm=norm,
            epsilon=epsilon, seed=self._config.seed,
        )  # fmt: skip

    def _outcome(self, condition: Condition, logits, attacked=None) -> Outcome:
        examples = self._examples
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


def backward_modes(arm: Arm, modes):
    """Classifiers of the same parameters with other backward passes.

    Args:
        arm: Of which; without a denoiser there are none.
        modes: Backward modes of the denoiser.

    Returns:
        From names to the maps from parameters to logits functions.
    """
    if arm.evaluated.denoiser is None:
        return {}

    def with_mode(mode):
        return lambda params: arm.evaluated.logits_fn(params, backward=mode)

    return {mode: with_mode(mode) for mode in modes}


def _most_confident(runs: list[Attacked], labels: np.ndarray) -> Attacked:
    """Per example, the run whose image the surrogate gets wrong by most."""
    rows = np.arange(len(labels))
    margins = [evaluation.margins(run.logits, labels) for run in runs]
    best = np.argmin(np.stack(margins), axis=0)
    return Attacked(
        images=np.stack([run.images for run in runs])[best, rows],
        logits=np.stack([run.logits for run in runs])[best, rows],
        distance=np.stack([run.distance for run in runs])[best, rows],
        seconds=sum(run.seconds for run in runs),
    )
