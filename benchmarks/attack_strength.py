"""Success rates and distances at equal budget, all judged by one model in JAX."""

import dataclasses
import pathlib
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from benchmarks.attack_budgets import Budgets, Comparison
from benchmarks.attack_problem import EPSILONS, EPSILONS_L2, Problem
from benchmarks.worker import Worker

# Below the best peer by at most so much, in points of success; and above it by at most
# this ratio of median distances. Two seeds of one random attack differ by 0.8 points.
MOST_POINTS = {False: 0.5, True: 1.5}
MOST_RATIO = 1.02
# Rounding in float32 takes a peer's images out of the ball by about 1e-5 of it.
_BALL_TOLERANCE, _RANGE_TOLERANCE = 1e-3, 1e-6


def compare(
    problem: Problem,
    workers: Mapping[str, Worker],
    models: Sequence[str],
    comparisons: Sequence[Comparison],
    budgets: Budgets,
    seeds: int,
) -> Iterator[dict[str, Any]]:
    """One row per model and attack."""
    for model in models:
        judge = jax.jit(problem.logits_fn(model))
        for comparison in comparisons:
            libraries = ["wbad_jax", *comparison.peers]
            row = {"model": model, "attack": comparison.name}
            row["epsilon"] = epsilon = _epsilon(model, comparison)
            row["libraries"] = {
                library: _measure(
                    problem, judge, workers[library], library, row, comparison,
                    budgets, seeds if comparison.is_random else 1, epsilon,
                )
                for library in libraries if library in workers
            }  # fmt: skip
            yield add_verdict(row, comparison)


def _epsilon(model: str, comparison: Comparison) -> float | None:
    if comparison.minimal:
        return None
    return (EPSILONS if comparison.norm == "linf" else EPSILONS_L2)[model]


def _measure(
    problem: Problem,
    judge: Callable,
    worker: Worker,
    library: str,
    row: Mapping[str, Any],
    comparison: Comparison,
    budgets: Budgets,
    seeds: int,
    epsilon: float | None,
) -> dict[str, Any]:
    """Success rates, or median distances, of one library: one a seed."""
    names = worker.ask(
        "prepare", library=library, model=row["model"],
        comparison=dataclasses.asdict(comparison), budgets=dataclasses.asdict(budgets),
        rows=list(range(len(problem.images))), epsilon=epsilon,
    )  # fmt: skip
    if not names:
        return {"note": "no such attack"}
    found: dict[str, Any] = {"success": [], "distance": [], "seconds": []}
    with tempfile.TemporaryDirectory() as folder:
        path = str(pathlib.Path(folder) / "adversarial.npy")
        for seed in range(seeds):
            spent = worker.ask("attack", name=names[0], seed=seed, path=path)
            if "error" in spent:
                return {"note": spent["error"]}
            images = np.load(path).astype(np.float32)
            try:
                verdict = assess(judge, problem, images, comparison.norm, epsilon)
            except AssertionError as error:
                return {"note": str(error)}
            found["seconds"].append(round(spent["wall_ms"] / 1e3, 2))
            for measure, value in verdict.items():
                found[measure].append(value)
    return found


def assess(
    judge: Callable,
    problem: Problem,
    adversarial: np.ndarray,
    norm: str,
    epsilon: float | None,
) -> dict[str, float]:
    """Share of images misclassified within the ball, and their median distance.

    The distance is that of images which the model classifies right when clean, infinite
    where nothing was found.

    Raises:
        AssertionError: If a misclassified image is outside of the ball or of [0, 1].
    """
    clean = np.argmax(judge(problem.images), axis=-1) == problem.labels
    success = np.argmax(judge(adversarial), axis=-1) != problem.labels
    moved = (adversarial - problem.images).reshape(len(adversarial), -1)
    order = np.inf if norm == "linf" else 2
    distance = np.linalg.norm(moved.astype(np.float64), order, axis=1)
    outside = np.maximum(-adversarial, adversarial - 1).reshape(len(adversarial), -1)
    if epsilon is not None:
        assert np.all(distance[success] <= epsilon * (1 + _BALL_TOLERANCE)), (
            f"{norm} distance {distance[success].max()} above epsilon {epsilon}"
        )
    assert np.all(outside[success] <= _RANGE_TOLERANCE), "outside of [0, 1]"
    distance = np.where(success, distance, np.inf)[clean]
    return {
        "success": 100 * float(np.mean(success)),
        "distance": float(np.median(distance)),
    }


def add_verdict(row: dict[str, Any], comparison: Comparison) -> dict[str, Any]:
    """Adds the difference, or ratio, to the best peer and whether that is enough."""
    measure = "distance" if comparison.minimal else "success"
    means = {
        library: statistics.fmean(found[measure])
        for library, found in row["libraries"].items()
        if measure in found
    }
    ours = means.pop("wbad_jax", None)
    if ours is None or not means:
        return row
    if comparison.minimal:
        best = min(means, key=lambda library: means[library])
        row["ratio"] = ours / means[best]
        row["holds"] = row["ratio"] <= MOST_RATIO
    else:
        best = max(means, key=lambda library: means[library])
        row["points"] = ours - means[best]
        row["holds"] = row["points"] >= -MOST_POINTS[comparison.is_random]
    row["best_peer"] = best
    return row


def describe(row: Mapping[str, Any]) -> str:
    """One line of the table."""
    minimal = row["epsilon"] is None
    parts = []
    for library, found in row["libraries"].items():
        if "note" in found:
            parts.append(f"{library}: {found['note']}")
        elif minimal:
            parts.append(f"{library} {statistics.fmean(found['distance']):.4f}")
        else:
            parts.append(f"{library} {statistics.fmean(found['success']):.1f} %")
    line = f"{row['model']:<12}{row['attack']:<12}{', '.join(parts)}"
    if "holds" in row:
        versus = f"{row['ratio']:.3f} x" if minimal else f"{row['points']:+.1f} points"
        held = "" if row["holds"] else ", NOT ENOUGH"
        line += f"; {versus} to {row['best_peer']}{held}"
    return line
