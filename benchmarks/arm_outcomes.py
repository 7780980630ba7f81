"""Outcomes of a sweep's arms by seed, and what every arm's rows are made of."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments import sweep_scores
from experiments.sweep_scores import Scores
from wbad_jax import evaluation
from wbad_jax.evaluation import Outcome

Seeds = Mapping[int, Sequence[Outcome]]


def gather(
    sweep: pathlib.Path, runs: Sequence[str], suite: str | None = None
) -> dict[int, list[Outcome]]:
    """Outcomes of some runs, by seed.

    Args:
        sweep: Its folder.
        runs: Names of the runs.
        suite: Takes only what was evaluated with this suite of attacks; anything if
            None.

    Raises:
        FileNotFoundError: If nothing is finished.
    """
    found: dict[int, list[Outcome]] = {}
    for run in runs:
        for path in sorted(sweep.glob(f"{run}/seed*/predictions.parquet")):
            if suite is not None and _suite_of(path.parent) != suite:
                continue
            seed = int(path.parent.name.removeprefix("seed"))
            found.setdefault(seed, []).extend(evaluation.read_parquet(path))
    if not found:
        raise FileNotFoundError(f"{sweep} has no finished run.")
    return dict(sorted(found.items()))


def scores_of_arms(outcomes: Seeds) -> dict[str, dict[tuple, Scores]]:
    """Scores of each arm by condition, of the seeds that have the arm."""
    arms = [outcome.condition.arm for own in outcomes.values() for outcome in own]
    found = {}
    for arm in dict.fromkeys(arms):
        seeds = [
            [outcome for outcome in own if outcome.condition.arm == arm]
            for own in outcomes.values()
        ]
        found[arm] = sweep_scores.by_condition([own for own in seeds if own])
    return found


def arm_rows(
    scores: Mapping[str, Mapping[tuple, Scores]], labels: np.ndarray
) -> list[dict[str, Any]]:
    """One row an arm and condition; `labels` are those of the test images."""
    rows = []
    for by_condition in scores.values():
        for condition, own in by_condition.items():
            mean = own.correct.mean(axis=0)
            rows.append(
                dict(zip(sweep_scores.CONDITION, condition, strict=True))
                | sweep_scores.accuracy_of(own)
                | {
                    "sensitivity": float(mean[labels == 1].mean()),
                    "specificity": float(mean[labels == 0].mean()),
                }
            )
    return rows


def labels_of(seeds: Seeds) -> np.ndarray:
    """Labels of the test images."""
    return next(
        outcome.labels
        for outcome in next(iter(seeds.values()))
        if outcome.condition.set == "test"
    )


def _suite_of(workdir: pathlib.Path) -> str:
    return json.loads((workdir / "results.json").read_text("utf-8"))["meta"]["suite"]
