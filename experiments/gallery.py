"""A few test images of each arm, attacked and denoised, for the report's gallery."""

import functools
import itertools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from configs.default import Config
from experiments.attack_settings import named_attack
from experiments.cohort import Fold, examples_of
from experiments.evaluate_arms import evaluation_key
from experiments.graybox import Trained
from experiments.settings import Arm
from experiments.stopping import StopRequest
from experiments.white_box import backward_modes
from experiments.whole_files import write_arrays
from wbad_jax import processes
from wbad_jax.evaluation import Evaluator, Outcome
from wbad_jax.types import Params


def write_galleries(
    config: Config,
    fold: Fold,
    trained: Trained,
    outcomes: Sequence[Outcome],
    workdir: pathlib.Path,
    stop: StopRequest,
) -> None:
    """Write `gallery-<arm>.npz` for each arm that was attacked adaptively.

    The attack of most harm at the headline epsilon is run again on a few examples. The
    arrays are `images`, `adversarial`, `denoised` and `denoised_adversarial`
    `[k, height, width, channels]` float32 in pixel units (denoised equal to the image
    where there is no denoiser), `labels`, `example_ids`, `logits` and
    `logits_adversarial`, and the scalars `attack`, `norm` and `epsilon`.

    Args:
        config: The experiment.
        fold: The first one.
        trained: Its arms and their parameters.
        outcomes: Of the evaluation, the same in all processes.
        workdir: Where to write.
        stop: Heeded before each arm.

    Raises:
        StopRequestedError: If `stop` says so.
    """
    count = config.evaluation.gallery_examples
    for name, (arm, params) in trained.items() if count else ():
        stop.check("Stopped in the gallery.")
        outcome = _most_harmful(config, outcomes, name, fold)
        if outcome is None:
            continue
        rows = choose_rows(outcome.labels, outcome.correct, count)
        arrays = _gallery(config, fold, arm, params, outcome, rows)
        path = workdir / f"gallery-{name}.npz"
        processes.on_first(functools.partial(write_arrays, arrays, path, compress=True))


def choose_rows(labels: np.ndarray, robust: np.ndarray, count: int) -> np.ndarray:
    """Rows of the examples to show: broken and robust ones of all classes by turns.

    Args:
        labels: `[n]`.
        robust: Whether the attack failed, `[n]`.
        count: How many at the most.

    Returns:
        Rows in ascending order.
    """
    groups = [
        np.flatnonzero((labels == label) & (robust == kept)).tolist()
        for kept in (False, True)
        for label in np.unique(labels)
    ]
    turns = itertools.chain.from_iterable(itertools.zip_longest(*groups))
    rows = [row for row in turns if row is not None]
    return np.sort(np.array(rows[:count], int))


def _most_harmful(
    config: Config, outcomes: Sequence[Outcome], arm: str, fold: Fold
) -> Outcome | None:
    """The adaptive Linf attack on all of the test set with the most errors."""
    wanted = (arm, "test", "adaptive", "linf", fold.budgets["linf"])
    names = ("arm", "set", "protocol", "norm", "epsilon")
    found = [
        outcome
        for outcome in outcomes
        if tuple(getattr(outcome.condition, name) for name in names) == wanted
        and outcome.condition.attack in config.evaluation.attacks
        and np.array_equal(outcome.example_ids, fold.test.example_ids)
    ]
    return min(found, key=lambda each: each.correct.mean(), default=None)


def _gallery(
    config, fold: Fold, arm: Arm, params: Params, outcome: Outcome, rows: np.ndarray
) -> Mapping[str, Any]:
    # The outcomes hold the examples of the fold in its order.
    examples = examples_of(fold.test).subset(rows)
    condition = outcome.condition
    assert condition.epsilon is not None  # it is an attack's
    evaluator = Evaluator(
        arm.evaluated.logits_fn,
        batch_size=len(rows),
        surrogates_of=backward_modes(arm, config.evaluation.backward_modes),
    )
    attacked = evaluator.attack(
        named_attack(config, condition.attack), params, examples,
        evaluation_key(config), condition.epsilon, description=f"{arm.name} gallery",
    )  # fmt: skip
    denoise = Evaluator(
        lambda params: functools.partial(arm.evaluated.denoise, params),
        batch_size=len(rows),
    )
    return {
        "images": examples.images,
        "adversarial": attacked.images,
        "denoised": denoise.logits(params, examples),
        "denoised_adversarial": denoise.logits(params, examples, attacked.images),
        "labels": examples.labels,
        "example_ids": np.array(examples.example_ids, dtype=np.str_),
        "logits": evaluator.logits(params, examples),
        "logits_adversarial": attacked.logits,
        "attack": np.array(condition.attack),
        "norm": np.array(condition.norm),
        "epsilon": np.array(condition.epsilon),
    }
