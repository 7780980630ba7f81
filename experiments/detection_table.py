"""Detectors on the terminal: a table, and one sentence each on what it is worth."""

from collections.abc import Iterable, Sequence
from typing import Any

Row = dict[str, Any]

_HEADER = ("arm", "score", "attacker", "accuracy", "AUC [95 % interval]",
           "found at 5 %", "broken, undetected")  # fmt: skip


def format_detectors(rows: Sequence[Row]) -> str:
    """The table and the sentences.

    Args:
        rows: Of `detection.json`.
    """
    lines = [_HEADER, *map(_cells, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(_HEADER))]
    lines.insert(1, tuple("-" * width for width in widths))
    table = "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )
    return "\n".join([table, "", *verdicts(rows)])


def verdicts(rows: Iterable[Row]) -> list[str]:
    """One sentence for each detector: whether it holds against who knows it.

    It holds if at most half as many images are broken and undetected by the attacker
    who knows it as are broken by the one who does not, with no detector in his way.
    """
    pairs: dict[tuple[str, str], dict[bool, Row]] = {}
    for row in rows:
        pairs.setdefault((row["arm"], row["score"]), {})[row["aware"]] = row
    return [_verdict(pair[False], pair[True]) for pair in pairs.values()]


def holds(plain: Row, aware: Row) -> bool | None:
    """The rule of `verdicts`; None where the plain attack breaks nothing."""
    broken = 1 - plain["accuracy"]
    return aware["broken_and_undetected"] <= broken / 2 if broken > 0 else None


def _verdict(plain: Row, aware: Row) -> str:
    name = f"{plain['score']} ({plain['arm']})"
    verdict = holds(plain, aware)
    if verdict is None:
        return f"{name}: nothing to detect, PGD breaks no image."
    told = "holds" if verdict else "does not hold"
    return (
        f"{name} {told} against an attacker who knows it: PGD breaks "
        f"{_percent(1 - plain['accuracy'])} % of the images without a detector and "
        f"{_percent(plain['broken_and_undetected'])} % behind it, the attacker who "
        f"knows it {_percent(aware['broken_and_undetected'])} %."
    )


def _cells(row: Row) -> tuple[str, ...]:
    area = "-"
    if row["auc"] is not None:
        area = f"{row['auc']:.3f} [{row['ci_low']:.3f}, {row['ci_high']:.3f}]"
    return (
        row["arm"],
        row["score"],
        "knows it" if row["aware"] else "PGD",
        _percent(row["accuracy"]),
        area,
        _percent(row["tpr_at_5_percent"]),
        _percent(row["broken_and_undetected"]),
    )


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"
