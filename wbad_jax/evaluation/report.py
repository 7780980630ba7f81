"""From outcomes to rows, files and a printed table."""

import csv
import dataclasses
import json
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from wbad_jax.evaluation.metrics import classification_metrics
from wbad_jax.evaluation.outcomes import Outcome, worst_case

Row = dict[str, Any]

COLUMNS: tuple[str, ...] = (
    "arm",
    "set",
    "protocol",
    "attack",
    "norm",
    "epsilon",
    "epsilon_celsius",
    "unit",
    "n",
    "accuracy",
    "ci_low",
    "ci_high",
    "sensitivity",
    "specificity",
    "auc",
    "median_distance",
    "ceiling",
    "seconds",
    "seed",
)


def add_worst_cases(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Insert the per-example worst case after each group of attacks.

    One group holds the attacks of one arm, set, protocol, norm and epsilon; the clean
    images belong to every group, since not moving is within any budget.
    """
    clean = {
        (o.condition.arm, o.condition.set): o
        for o in outcomes
        if o.condition.protocol == "clean"
    }
    groups: dict[Any, list[Outcome]] = {}
    for outcome in outcomes:
        key = dataclasses.replace(outcome.condition, attack="")
        groups.setdefault(key, []).append(outcome)
    result = []
    for key, group in groups.items():
        result += group
        if key.protocol != "clean":
            result.append(worst_case([clean[key.arm, key.set], *group]))
    return result


def make_row(outcome: Outcome, window: tuple[float, float]) -> Row:
    """One row of results.

    Args:
        outcome: The condition and its logits.
        window: Temperatures of pixel values 0 and 1, in degrees Celsius; (0, 1) where
            pixels stand for no temperature.
    """
    condition = dataclasses.asdict(outcome.condition)
    epsilon = condition["epsilon"]
    celsius = None
    if epsilon is not None and window != (0.0, 1.0):
        celsius = epsilon * (window[1] - window[0])
    one_each = len(np.unique(outcome.patient_ids)) == len(outcome.patient_ids)
    clean = outcome.condition.protocol == "clean"
    values = {
        **condition,
        **dataclasses.asdict(classification_metrics(outcome.logits, outcome.labels)),
        "epsilon_celsius": celsius,
        "unit": "patient" if one_each else "image",
        "median_distance": None if clean else float(np.median(outcome.distance)),
        "ceiling": None,
        "seconds": outcome.seconds,
    }
    return {name: values[name] for name in COLUMNS}


def write_results(
    workdir: pathlib.Path, meta: dict[str, Any], rows: Iterable[Row]
) -> None:
    """Write `results.json` and `results.csv`, each atomically."""
    rows = list(rows)
    text = json.dumps({"meta": meta, "rows": rows}, indent=1, allow_nan=False)
    _replace(workdir / "results.json", text + "\n")
    temporary = workdir / "results.csv.tmp"
    with temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(workdir / "results.csv")


def _replace(path: pathlib.Path, text: str) -> None:
    temporary = path.with_suffix(path.suffix + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def format_table(rows: Iterable[Row]) -> str:
    """A table for the terminal; accuracies in percent."""
    header = (
        "arm", "protocol", "attack", "norm", "epsilon", "°C", "n",
        "accuracy [95 % interval]", "sens", "spec",
    )  # fmt: skip
    lines = [header] + [_table_line(row) for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    rule = tuple("-" * width for width in widths)
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in [header, rule, *lines[1:]]
    )


def _table_line(row: Row) -> tuple[str, ...]:
    def percent(value: float | None) -> str:
        return "-" if value is None else f"{100 * value:.1f}"

    def number(value: float | None, digits: str) -> str:
        return "-" if value is None else format(value, digits)

    interval = f"[{percent(row['ci_low'])}, {percent(row['ci_high'])}]"
    is_linf = row["norm"] == "linf"
    return (
        row["arm"] if row["set"] == "test" else f"{row['arm']} ({row['set']})",
        row["protocol"],
        row["attack"],
        row["norm"] or "-",
        f"{row['epsilon'] * 255:.2f}/255" if is_linf else number(row["epsilon"], ".4f"),
        number(row["epsilon_celsius"], ".3f"),
        str(row["n"]),
        f"{percent(row['accuracy']):>5} {interval}",
        percent(row["sensitivity"]),
        percent(row["specificity"]),
    )
