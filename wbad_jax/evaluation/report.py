"""Worst cases, results files and a printed table."""

import csv
import dataclasses
import json
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

from wbad_jax.evaluation.outcomes import Outcome, worst_case
from wbad_jax.evaluation.rows import COLUMNS, Row


def add_worst_cases(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Insert the per-example worst case after each group of attacks.

    One group holds the attacks of one arm, set, protocol, norm and epsilon; the clean
    images belong to every group, since not moving is within any budget.

    Examples:
        >>> from wbad_jax.evaluation import add_worst_cases
        >>> outcomes = add_worst_cases([clean, attacked])  # see `Outcome`
        >>> [outcome.condition.attack for outcome in outcomes]
        ['none', 'pgd', 'worst_case']
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


def write_results(
    workdir: pathlib.Path,
    meta: dict[str, Any],
    rows: Iterable[Row],
    comparisons: Sequence[dict[str, Any]] | None = None,
    bracket: Sequence[dict[str, Any]] | None = None,
) -> None:
    """Write `results.json` and `results.csv`, each atomically.

    Args:
        workdir: Where to write.
        meta: Facts of the run.
        rows: Of both files.
        comparisons: Of arms, see `compare_arms`; left out of `results.json` if None.
        bracket: What classifiers can reach, by norm and radius; likewise.

    Examples:
        >>> import pathlib, tempfile
        >>> from wbad_jax.evaluation import make_rows, write_results
        >>> rows = make_rows([clean, attacked], window=(22.0, 38.0))  # see `Outcome`
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_results(pathlib.Path(folder), {"seed": 0}, rows)
        ...     sorted(path.name for path in pathlib.Path(folder).iterdir())
        ['results.csv', 'results.json']
    """
    rows = list(rows)
    content = {"meta": meta, "rows": rows}
    for name, records in (("comparisons", comparisons), ("bracket", bracket)):
        if records is not None:
            content[name] = list(records)
    text = json.dumps(content, indent=1, allow_nan=False)
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
    """A table for the terminal; accuracies in percent.

    Examples:
        >>> from wbad_jax.evaluation import format_table, make_rows
        >>> rows = make_rows([clean, attacked], window=(22.0, 38.0))  # see `Outcome`
        >>> len(format_table(rows).splitlines()) > 2
        True
    """
    header = (
        "arm", "protocol", "attack", "norm", "epsilon", "°C", "n",
        "accuracy [95 % interval]", "sens", "spec", "AUC",
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
        percent(row["auc"]),
    )
