"""The conditions that a run is judged by: clean, and the worst cases at its epsilon."""

import dataclasses
import math
from collections.abc import Sequence

from experiments.report.run_files import Run
from experiments.report.wording import PROTOCOLS
from wbad_jax import evaluation
from wbad_jax.evaluation import Outcome, Row
from wbad_jax.evaluation.metrics import POSITIVE


@dataclasses.dataclass(frozen=True, kw_only=True)
class Headline:
    """One arm under one norm.

    Attributes:
        run: Of which run.
        arm: Name in its results.
        label: Name in a report, with that of the run where there are several.
        norm: Of the attacks; None for an arm that was not attacked.
        epsilon: Their radius in pixel units.
        rows: Of the worst case, by protocol; "clean" is there always. Of several
            surrogates, that which harms most.
    """

    run: Run
    arm: str
    label: str
    norm: str | None
    epsilon: float | None
    rows: dict[str, Row]


def headlines(runs: Sequence[Run]) -> list[Headline]:
    """Every arm of every run under each norm it was attacked in, "linf" first."""
    return [
        headline
        for run in runs
        for norm in _norms(run)
        for arm in run.arms
        for headline in _headline(run, arm, norm, several=len(runs) > 1)
    ]


def label(run: Run, arm: str, *, several: bool) -> str:
    """Name of an arm in a report of one or several runs."""
    return f"{run.name}: {arm}" if several else arm


def main_rows(run: Run) -> list[Row]:
    """Rows of the main set, by patient where results are by patient too."""
    rows = [row for row in run.rows if row["set"] == run.main_set]
    by_patient = [row for row in rows if row["unit"] == "patient"]
    return by_patient or rows


def _norms(run: Run) -> list[str | None]:
    norms = {row["norm"] for row in run.rows if row["attack"] == "worst_case"}
    return sorted(norms - {None}, key=lambda norm: (norm != "linf", norm)) or [None]


def _headline(run: Run, arm: str, norm, *, several: bool) -> list[Headline]:
    own = [row for row in main_rows(run) if row["arm"] == arm]
    rows = {row["protocol"]: row for row in own if row["protocol"] == "clean"}
    for row in own:
        worst = row["attack"] == "worst_case" and row["norm"] == norm
        if worst and is_headline(run, norm, row["epsilon"]):
            known = rows.get(row["protocol"], row)
            rows[row["protocol"]] = min(known, row, key=lambda r: r["accuracy"])
    if "clean" not in rows or (norm is not None and len(rows) == 1):
        return []
    epsilon = None if norm is None else run.headline_epsilon(norm)
    return [
        Headline(
            run=run, arm=arm, label=label(run, arm, several=several), norm=norm,
            epsilon=epsilon, rows={p: rows[p] for p in PROTOCOLS if p in rows},
        )
    ]  # fmt: skip


def is_headline(run: Run, norm: str, epsilon: float | None) -> bool:
    """Whether a radius is the one that headlines are about."""
    return epsilon is not None and math.isclose(
        epsilon, run.headline_epsilon(norm), rel_tol=1e-6
    )


def headline_outcomes(run: Run) -> dict[tuple[str, str, str | None], Outcome]:
    """Outcomes of the main set by arm, protocol and norm: clean, and worst cases."""
    chosen = [
        outcome
        for outcome in run.outcomes
        if outcome.condition.set == run.main_set
        and (
            outcome.condition.protocol == "clean"
            or is_headline(run, outcome.condition.norm or "", outcome.condition.epsilon)
        )
    ]
    found: dict[tuple[str, str, str | None], Outcome] = {}
    for outcome in evaluation.add_worst_cases(chosen):
        at = outcome.condition
        if at.attack in ("none", "worst_case"):
            key = (at.arm, at.protocol, at.norm)
            known = found.get(key, outcome)
            found[key] = min(known, outcome, key=lambda o: o.correct.mean())
    return found


def constant_accuracy(run: Run) -> float | None:
    """Accuracy of always giving the more frequent label; None without predictions."""
    for outcome in run.outcomes:
        if outcome.condition.set == run.main_set:
            share = float((outcome.labels == POSITIVE).mean())
            return max(share, 1 - share)
    return None
