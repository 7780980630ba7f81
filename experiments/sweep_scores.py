"""Decisions of all seeds of a sweep's runs, their accuracies and paired differences.

Of each example the mean over seeds is taken first. Intervals resample patients, since
images of one patient fall together, and hold for these seeds: the spread over seeds
stands beside them. The `crossed` intervals hold for other seeds too, see
`evaluation.crossed_variance`; with few seeds they are wide. Differences are paired: the
same patients and the same seeds on both sides.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from wbad_jax import evaluation
from wbad_jax.evaluation import Outcome

Row = dict[str, Any]
CONDITION = ("arm", "set", "protocol", "attack", "norm", "epsilon")


class Scores(NamedTuple):
    """Whether the decisions under one condition are right, in all seeds of a run.

    Attributes:
        correct: `[seeds, n]`.
        seeds: Of the rows of `correct`.
        patients: `[n]`, to whom the examples belong.
        examples: `[n]`, their names.
    """

    correct: np.ndarray
    seeds: tuple[int, ...]
    patients: np.ndarray
    examples: np.ndarray

    def of(self, seeds: Sequence[int]) -> np.ndarray:
        """Some of the seeds, `[seeds, n]`."""
        return self.correct[[self.seeds.index(seed) for seed in seeds]]


def by_condition(seeds: Sequence[list[Outcome]]) -> dict[tuple, Scores]:
    """Scores of the conditions that all seeds have, worst cases among them.

    Where a seed has several surrogates, each example gets its mean over them.
    """
    found: dict[tuple, list[list[Outcome]]] = {}
    for number, outcomes in enumerate(seeds):
        for outcome in evaluation.add_worst_cases(outcomes):
            c = outcome.condition
            if c.set == evaluation.VALIDATION:
                continue
            # Twice 0.1 and once 0.2 are one radius.
            epsilon = None if c.epsilon is None else float(f"{c.epsilon:.9g}")
            key = (c.arm, c.set, c.protocol, c.attack, c.norm, epsilon)
            of_seeds = found.setdefault(key, [[] for _ in seeds])
            of_seeds[number].append(outcome)
    return {
        key: Scores(
            np.stack([np.mean([o.correct for o in of], axis=0) for of in own]),
            tuple(of[0].condition.seed for of in own),
            own[0][0].patient_ids,
            own[0][0].example_ids,
        )
        for key, own in found.items()
        if all(own) and _same_examples([outcome for of in own for outcome in of])
    }


def finished_runs(sweep: pathlib.Path) -> dict[str, list[pathlib.Path]]:
    """Folders of the finished seeds of a sweep's runs, by name of the run.

    Raises:
        FileNotFoundError: If nothing is finished.
    """
    runs: dict[str, list[pathlib.Path]] = {}
    for path in sorted(sweep.glob("*/seed*/results.json")):
        runs.setdefault(path.parts[-3], []).append(path.parent)
    if not runs:
        raise FileNotFoundError(f"{sweep} has no finished run.")
    return runs


def of_arm(
    folders: Sequence[pathlib.Path], arm: str, conditions: Mapping[str, tuple]
) -> dict[str, Scores]:
    """Scores of one arm on the test set, under conditions that are given names.

    Args:
        folders: Of the seeds of a run.
        arm: Which.
        conditions: Protocol, attack and norm by name; of several radii the last counts.
    """
    seeds = [evaluation.read_parquet(f / "predictions.parquet") for f in folders]
    return named(seeds, arm, conditions)


def named(
    seeds: Sequence[list[Outcome]], arm: str, conditions: Mapping[str, tuple]
) -> dict[str, Scores]:
    """As `of_arm`, of outcomes by seed."""
    return {
        name: scores
        for condition, scores in by_condition(seeds).items()
        for name, wanted in conditions.items()
        if condition[:2] == (arm, "test") and condition[2:5] == wanted
    }


def _same_examples(outcomes: Sequence[Outcome]) -> bool:
    first = outcomes[0].example_ids
    return all(np.array_equal(other.example_ids, first) for other in outcomes)


def accuracy_of(own: Scores) -> Row:
    """Mean accuracy with its intervals, and its spread over seeds."""
    low, high = evaluation.bootstrap_interval(own.correct.mean(axis=0), own.patients)
    patients = len(np.unique(own.patients))
    accuracies = own.correct.mean(axis=1)
    crossed = _crossed("", own.correct, own.patients)
    if own.correct.min() == own.correct.max():  # drawn anew, they are the same
        successes = patients if own.correct.all() else 0
        low, high = evaluation.wilson_interval(successes, patients)
        crossed |= {"crossed_low": low, "crossed_high": high} if crossed else {}
    return {
        "seeds": len(accuracies),
        "n": own.correct.shape[1],
        "patients": patients,
        "accuracy": float(accuracies.mean()),
        "ci_low": low,
        "ci_high": high,
        "seed_std": float(accuracies.std(ddof=1)) if len(accuracies) > 1 else None,
        **crossed,
    }


def difference_of(own: Scores, reference: Scores | None) -> Row:
    """Mean difference with its interval; nothing where the two do not pair."""
    if reference is None or not np.array_equal(own.examples, reference.examples):
        return {}
    seeds = [seed for seed in own.seeds if seed in reference.seeds]
    if not seeds:
        return {}
    change = own.of(seeds) - reference.of(seeds)
    mean = change.mean(axis=0)
    low, high = evaluation.paired_interval(mean, own.patients)
    sums, _ = evaluation.sums_by_patient(mean, own.patients)
    return {
        "difference": float(mean.mean()),
        "difference_low": low,
        "difference_high": high,
        "difference_seeds": len(seeds),
        "p_value": evaluation.sign_flip(sums),
        **_crossed("difference_", change, own.patients),
    }


def _crossed(prefix: str, scores: np.ndarray, patients: np.ndarray) -> Row:
    """Interval for new seeds as well, and the parts of the variance."""
    if len(scores) < 2 or len(np.unique(patients)) < 2:
        return {}
    crossed = evaluation.crossed_variance(scores, patients)
    return {
        f"{prefix}crossed_low": crossed.low,
        f"{prefix}crossed_high": crossed.high,
        f"{prefix}variance_seed": crossed.seed,
        f"{prefix}variance_patient": crossed.patient,
        f"{prefix}variance_rest": crossed.rest,
    }


def correct_for_multiplicity(rows: Sequence[Row]) -> None:
    """Fill in `p_holm` of the runs compared under one condition."""
    corrected = evaluation.holm([row["p_value"] for row in rows])
    for row, p_value in zip(rows, corrected, strict=True):
        row["p_holm"] = p_value
