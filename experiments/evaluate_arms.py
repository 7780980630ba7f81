"""Every trained arm under every protocol, set, attack and epsilon of a config."""

import pathlib
from collections.abc import Iterator, Mapping

import jax
import numpy as np

from configs.default import Config
from experiments import attack_settings, settings
from experiments.cohort import Fold, examples_of
from experiments.config_errors import ConfigError
from experiments.run_folder import load_config
from experiments.settings import Arm
from experiments.train_arm import restore_arm, stable_hash
from wbad_jax import evaluation
from wbad_jax.evaluation import Attacked, Condition, Evaluator, Examples, Outcome
from wbad_jax.types import Params

SURROGATE_ARM = "undefended"
Trained = Mapping[str, tuple[Arm, Params]]


def evaluate_fold(
    config: Config,
    fold: Fold,
    trained: Trained,
    workdir: pathlib.Path,
) -> list[Outcome]:
    """Every arm under every protocol, set, attack and epsilon of the config.

    Args:
        config: The experiment.
        fold: Its data.
        trained: Arms and their parameters, by name.
        workdir: Folder of the run, from which a foreign surrogate is told apart.

    Returns:
        Outcomes, without the worst cases, which follow from them.
    """
    outcomes: list[Outcome] = []
    surrogate = _surrogate(config, fold, trained, workdir)
    sets = {"test": fold.test, "test_pairs": fold.test_pairs}
    for set_name in config.evaluation.sets:
        examples = examples_of(sets[set_name])
        run = _SetEvaluation(config, set_name, examples, fold)
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

    def __init__(self, config, set_name: str, examples: Examples, fold: Fold):
        self._config = config
        self._set = set_name
        self._examples = examples
        self._fold = fold
        self._batch_size = min(config.evaluation.batch_size, len(examples.labels))
        self._key = jax.random.fold_in(
            jax.random.key(config.seed), stable_hash("evaluation")
        )

    def baselines(self) -> list[Outcome]:
        return [
            self._outcome(f"baseline:{feature}", "clean", "none", None, None, logits)
            for feature, logits in self._fold.baselines.items()
        ]

    def craft(self, arm: Arm, params: Params):
        """Adversarial images of the surrogate, for all attacks and epsilons."""
        if "graybox" not in self._config.evaluation.protocols:
            return []
        evaluator = Evaluator(arm.evaluated.logits_fn, batch_size=self._batch_size)
        crafted = []
        for name, variants in attack_settings.graybox_attacks(self._config).items():
            for norm, epsilon in self._budgets(variants[0].norm):
                runs = [
                    evaluator.attack(
                        attack, params, self._examples, self._key, epsilon,
                        description=f"{self._set} graybox {name}",
                    )
                    for attack in variants
                ]  # fmt: skip
                attacked = _most_confident(runs, self._examples.labels)
                crafted.append((name, norm, epsilon, attacked))
        return crafted

    def evaluate_arm(self, arm: Arm, params: Params, crafted) -> Iterator[Outcome]:
        evaluator = Evaluator(
            arm.evaluated.logits_fn,
            batch_size=self._batch_size,
            surrogates_of=backward_modes(arm, self._config.evaluation.backward_modes),
        )
        clean = evaluator.logits(params, self._examples)
        yield self._outcome(arm.name, "clean", "none", None, None, clean)
        for name, norm, epsilon, attacked in crafted:
            logits = evaluator.logits(params, self._examples, attacked.images)
            yield self._outcome(
                arm.name, "graybox", name, norm, epsilon, logits, attacked
            )
        if "adaptive" not in self._config.evaluation.protocols:
            return
        for name, attack in attack_settings.evaluation_attacks(self._config).items():
            for norm, epsilon in self._budgets(attack.norm):
                attacked = evaluator.attack(
                    attack, params, self._examples, self._key, epsilon,
                    description=f"{self._set} {arm.name} adaptive {name}",
                )  # fmt: skip
                yield self._outcome(
                    arm.name, "adaptive", name, norm, epsilon, attacked.logits, attacked
                )

    def _budgets(self, norm: str) -> list[tuple[str, float]]:
        multiples = self._config.evaluation.epsilon_multiples
        return [(norm, self._fold.budgets[norm] * multiple) for multiple in multiples]

    def _outcome(
        self, arm, protocol, attack, norm, epsilon, logits, attacked=None
    ) -> Outcome:
        examples = self._examples
        return Outcome(
            condition=Condition(
                arm=arm, set=self._set, protocol=protocol, attack=attack, norm=norm,
                epsilon=epsilon, seed=self._config.seed,
            ),
            example_ids=examples.example_ids,
            patient_ids=examples.patient_ids,
            labels=examples.labels,
            logits=logits,
            distance=attacked.distance if attacked else np.zeros(len(logits)),
            seconds=attacked.seconds if attacked else 0.0,
        )  # fmt: skip


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
