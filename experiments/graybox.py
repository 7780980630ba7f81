"""Perturbations made on undefended networks, the same bytes for every arm.

The surrogates are the undefended arms of other runs: the same data and split, other
seeds. Full radius, no early stop, and every image counts, whether its surrogate was
fooled or not. The undefended arm of the evaluated run is then the control: what its
accuracy keeps under the perturbations of another seed, no defence may take credit for.
Without other runs the run's own undefended arm makes the images, and there is no
control.
"""

import dataclasses
import hashlib
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from tqdm import tqdm

from configs.default import Config
from experiments import attack_settings, settings
from experiments.cohort import Fold
from experiments.config_errors import ConfigError
from experiments.evaluation_parts import Identity, Parts, identify
from experiments.run_folder import load_config
from experiments.settings import Arm
from experiments.train_arm import parameters_sha256, restore_arm
from experiments.whole_files import read_json, write_json
from wbad_jax import evaluation, processes
from wbad_jax.evaluation import Attacked, Condition, Evaluator, Examples
from wbad_jax.types import Key, Params

SURROGATE_ARM = "undefended"
FILE = "graybox.json"
# What has to agree for a surrogate never to have seen a test patient.
_SPLIT = (
    "builder", "num_folds", "test_fraction", "validation_fraction", "split_seed",
    "test_builder", "test_options",
)  # fmt: skip
Trained = Mapping[str, tuple[Arm, Params]]


@dataclasses.dataclass(frozen=True)
class Surrogate:
    """A network on which perturbations are made.

    Attributes:
        name: In results: the workdir it comes from, or the arm's name in this run.
        arm: Its architecture.
        params: Its parameters.
        seed: Of its training.
        control: Whether it is not the undefended arm under evaluation.
    """

    name: str
    arm: Arm
    params: Params
    seed: int
    control: bool


@dataclasses.dataclass(frozen=True)
class Crafted:
    """Perturbed images of one surrogate, attack and radius.

    Attributes:
        condition: Of that, without an arm.
        images: What the attack made.
        identity: What the images depend on.
        record: For people: surrogate, seed, success on it, digest of the images.
    """

    condition: Condition
    images: Attacked
    identity: Identity
    record: dict[str, Any]


def load_surrogates(
    config: Config, fold: Fold, trained: Trained, workdir: pathlib.Path
) -> list[Surrogate]:
    """The surrogates that a config names; none where no protocol asks for them.

    The run's own undefended network is left out where there are others.

    Args:
        config: The experiment.
        fold: Its data.
        trained: Arms and parameters of this run.
        workdir: Folder of this run, from which others are told apart.

    Raises:
        ConfigError: If one of another split is named, or one without the arm.
    """
    if "graybox" not in config.evaluation.protocols:
        return []
    names = attack_settings.surrogate_workdirs(config) or (str(workdir),)
    own = None
    if SURROGATE_ARM in trained:
        own = parameters_sha256(trained[SURROGATE_ARM][1])
    found = []
    for name in names:
        folder = pathlib.Path(name)
        if folder.resolve() == workdir.resolve():
            arm, params = trained[SURROGATE_ARM]
            name, seed = SURROGATE_ARM, config.seed
        else:
            arm, params, seed = _restore(config, folder, fold)
        control = own is not None and parameters_sha256(params) != own
        found.append(Surrogate(name, arm, params, seed, control))
    # Runs of a sweep name the networks of all seeds, of which one is their own.
    return [surrogate for surrogate in found if surrogate.control] or found


def _restore(config: Config, folder: pathlib.Path, fold: Fold):
    theirs = load_config(folder)
    for field in _SPLIT:
        if theirs.data[field] != config.data[field]:
            raise ConfigError(
                f"A surrogate must be trained on the same split, but data.{field} is "
                f"{theirs.data[field]!r} in {folder} and {config.data[field]!r} here."
            )
    arms = settings.build_arms(theirs, fold.test.images.shape[1:])
    arm = {arm.name: arm for arm in arms}.get(SURROGATE_ARM)
    if arm is None:
        raise ConfigError(f"{folder} has no arm {SURROGATE_ARM!r}.")
    run = fold.run_name(arm.name)
    params = restore_arm(arm, workdir=folder, run=run, earlier={})
    return arm, params, theirs.seed


def craft(
    surrogate: Surrogate,
    examples: Examples,
    conditions: Iterable[tuple[Condition, list]],
    evaluator: Evaluator,
    parts: Parts,
    key: Key,
) -> list[Crafted]:
    """Perturbed images of one surrogate.

    Args:
        surrogate: Where they are made.
        examples: What is perturbed.
        conditions: Each with the attacks of which the most harmful image is kept.
        evaluator: Of the surrogate.
        parts: Where finished images are kept.
        key: Base key, the same for all surrogates.
    """
    identity = identify(surrogate.arm, surrogate.params, examples)
    crafted = []
    for condition, variants in conditions:
        condition = dataclasses.replace(condition, surrogate=surrogate.name)

        def make(condition=condition, variants=variants) -> Attacked:
            assert condition.epsilon is not None  # it is an attack's
            runs = [
                evaluator.attack(
                    attack, surrogate.params, examples, key, condition.epsilon,
                    description=f"{condition.set} graybox {condition.attack}",
                )
                for attack in variants
            ]  # fmt: skip
            return _most_confident(runs, examples.labels)

        images = parts.attacked(dataclasses.asdict(condition), identity, make)
        record = _record(surrogate, condition, images, examples.labels)
        crafted.append(Crafted(condition, images, identity, record))
    return crafted


def _record(surrogate: Surrogate, condition: Condition, images: Attacked, labels):
    success = float(np.mean(np.argmax(images.logits, axis=-1) != labels))
    if processes.is_first():
        tqdm.write(
            f"{condition.set} graybox {condition.attack} {condition.norm} "
            f"{condition.epsilon:.5f}: fools its surrogate {surrogate.name} on "
            f"{100 * success:.1f} % of the images"
        )
    names = ("set", "surrogate", "attack", "norm", "epsilon")
    return {
        **{name: getattr(condition, name) for name in names},
        "surrogate_seed": surrogate.seed,
        "surrogate_success": success,
        "control": surrogate.control,
        "images_sha256": hashlib.sha256(images.images.tobytes()).hexdigest(),
    }


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


def write_records(records: list[dict[str, Any]], folder: pathlib.Path) -> None:
    """Keep the records of a fold's images beside them."""
    write_json(records, folder / FILE)


def read_records(folder: pathlib.Path) -> list[dict[str, Any]]:
    """What `write_records` wrote; nothing where it did not."""
    path = folder / FILE
    return read_json(path) if path.exists() else []
