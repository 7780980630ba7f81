"""Tables of `docs/detection.md`, from a run's `detection.json`.

    python -m docs.figures.detection_tables

Writes them between the marks in the page.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from docs.figures.page_tables import DOCS, read_results, table, write
from experiments.detection_table import holds

PAGE = DOCS / "detection.md"
Rows = Sequence[Mapping[str, Any]]
_HEAD = [
    "arm", "score", "area: PGD", "area: knowing", "found: PGD", "found: knowing",
    "broken, undetected: PGD", "broken, undetected: knowing", "holds",
]  # fmt: skip


def tables() -> dict[str, str]:
    """The tables by the name of their mark."""
    rows = read_results("detection")["detectors"]
    return {"detectors": detector_table(rows), "arms": arm_table(rows)}


def detector_table(rows: Rows) -> str:
    """One line a detector: shares in %, PGD and the attacker who knows it."""
    cells = []
    for plain, aware in zip(rows[::2], rows[1::2], strict=True):
        line = [plain["arm"], f"`{plain['score']}`", _area(plain), _area(aware)]
        for field in ("tpr_at_5_percent", "broken_and_undetected"):
            line += [_percent(plain[field]), _percent(aware[field])]
        kept = {None: "-", True: "yes", False: "no"}[holds(dict(plain), dict(aware))]
        cells.append([*line, kept])
    return table(_HEAD, cells)


def arm_table(rows: Rows) -> str:
    """One line an arm: what PGD breaks without a detector."""
    arms = {row["arm"]: row for row in rows if not row["aware"] and _all_images(row)}
    cells = [
        [arm, str(row["n"]), _percent(row["accuracy"]), _percent(1 - row["accuracy"])]
        for arm, row in arms.items()
    ]
    return table(["arm", "images", "accuracy under PGD", "broken"], cells)


def _all_images(row: Mapping[str, Any]) -> bool:
    return row["score"] != "physics_consistency"


def _area(row: Mapping[str, Any]) -> str:
    if row["auc"] is None:
        return "-"
    return f"{row['auc']:.2f} ({row['ci_low']:.2f} to {row['ci_high']:.2f})"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def main() -> None:
    """Writes the tables into the page."""
    write(PAGE, tables())


if __name__ == "__main__":
    main()
