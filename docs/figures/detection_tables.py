"""Table of `docs/detection.md`, from the results of `experiments.detect`.

    cp runs/quickstart/detection.json benchmarks/results/detection.json
    python -m docs.figures.detection_tables

Writes it between the marks in the page.
"""

from collections.abc import Mapping
from typing import Any

from docs.figures.page_tables import DOCS, read_results, table, write
from experiments.detection_table import verdicts

PAGE = DOCS / "detection.md"


def tables() -> dict[str, str]:
    """The tables by the name of their mark."""
    results = read_results("detection")
    return {
        "detectors": detectors_table(results),
        "verdicts": verdicts_of(results),
    }


def verdicts_of(results: Mapping[str, Any]) -> str:
    """How many detectors hold, by arm, and in words those that do."""
    lines = []
    for arm in dict.fromkeys(row["arm"] for row in results["detectors"]):
        rows = [row for row in results["detectors"] if row["arm"] == arm]
        told = verdicts(rows)
        holding = [line for line in told if " holds " in line]
        lines.append(f"- {arm}: {len(holding)} of {len(told)} detectors hold.")
        lines += [f"    - {line}" for line in holding]
    return "\n".join(lines) + "\n"


def detectors_table(results: Mapping[str, Any]) -> str:
    """One line a detector: against who does not know it, and against who does."""
    pairs: dict[tuple[str, str], dict[bool, Any]] = {}
    for row in results["detectors"]:
        pairs.setdefault((row["arm"], row["score"]), {})[row["aware"]] = row
    cells = [
        [
            arm,
            f"`{score}`",
            str(pair[False]["n"]),
            f"{100 * (1 - pair[False]['accuracy']):.1f}",
            *(text for aware in (False, True) for text in _measured(pair[aware])),
        ]
        for (arm, score), pair in pairs.items()
    ]
    head = [
        "arm", "score", "images", "PGD breaks, %", "PGD: AUC",
        "broken, undetected, %", "knowing: AUC", "broken, undetected, %",
    ]  # fmt: skip
    return table(head, cells)


def _measured(row: Mapping[str, Any]) -> tuple[str, str]:
    area = "-"
    if row["auc"] is not None:
        area = f"{row['auc']:.2f} [{row['ci_low']:.2f}, {row['ci_high']:.2f}]"
    return area, f"{100 * row['broken_and_undetected']:.1f}"


def main() -> None:
    """Writes the table into the page."""
    write(PAGE, tables())


if __name__ == "__main__":
    main()
