"""How the better defence gains from patients to train on, as a table."""

from collections.abc import Mapping, Sequence
from typing import Any

from docs.figures.page_tables import table, with_interval
from docs.figures.results_verdict import points


def cohort_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """One line a run, those of fewest patients first.

    Args:
        rows: Of `benchmarks/results/cohort_size.json`.
    """
    cells = [
        [
            f"{row['patients']:,}",
            f"{row['parameters']:,}",
            f"{row['steps']:,}",
            with_interval(row["clean"]),
            with_interval(row["adaptive"]),
            points(row["adaptive"]) if row is not rows[0] else "-",
        ]
        for row in rows
    ]
    head = ["patients", "parameters", "steps", "clean, % [95 %]"]
    first = f"{rows[0]['patients']:,}"
    return table([*head, "adaptive, % [95 %]", f"minus that of {first}"], cells)
