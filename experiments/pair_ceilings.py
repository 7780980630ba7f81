"""The pair bound beside the results on pairs, and a check that none exceeds it."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from experiments.cohort import Fold
from wbad_jax import evaluation
from wbad_jax.data import Dataset
from wbad_jax.evaluation import Outcome, Row
from wbad_jax.evaluation.ceiling import NORMS


def pair_ceilings(
    folds: Sequence[Fold], outcomes: Iterable[Outcome]
) -> dict[tuple[str | None, float | None], float]:
    """What no classifier exceeds on the pairs, by norm and epsilon of the outcomes.

    Args:
        folds: Their `test_pairs` are pooled.
        outcomes: Adaptive ones on "test_pairs" count, the others are exempt.

    Returns:
        Bounds; empty where patients are not there in both states.
    """
    budgets = {
        (c.norm, c.epsilon)
        for c in (outcome.condition for outcome in outcomes)
        if c.set == "test_pairs" and c.protocol == "adaptive" and c.norm in NORMS
        if c.epsilon is not None
    }
    pairs = [_pairs(fold.test_pairs) for fold in folds] if budgets else []
    if not pairs or any(pair is None for pair in pairs):
        return {}
    healthy, tumour = (np.concatenate(part) for part in zip(*pairs, strict=True))
    return {
        (norm, epsilon): evaluation.pair_bound(healthy, tumour, epsilon, norm).accuracy
        for norm, epsilon in budgets
    }


def pair_bound_violations(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Worst cases above their ceiling.

    No classifier can be there: an attack is too weak, or something leaks.
    """
    fields = "arm", "norm", "epsilon", "accuracy", "ceiling"
    return [
        {name: row[name] for name in fields}
        for row in rows
        if row["attack"] == "worst_case"
        and row["ceiling"] is not None
        and row["accuracy"] > row["ceiling"] + 1e-12
    ]


def _pairs(dataset: Dataset) -> tuple[np.ndarray, np.ndarray] | None:
    """Images of both states in the same order; None where a state is missing."""
    order = np.lexsort((dataset.frames, dataset.patient_ids))
    states = [dataset.subset(order[dataset.labels[order] == label]) for label in (0, 1)]
    names = "patient_ids", "frames"
    if len(states[0]) + len(states[1]) < len(dataset) or not all(
        np.array_equal(getattr(states[0], name), getattr(states[1], name))
        for name in names
    ):
        return None
    return states[0].images, states[1].images
