"""Tables of leakage and eras in `docs/data.md`, from the benchmarks' results.

    python -m docs.figures.data_tables

Writes them between the marks in the page.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from docs.figures.page_tables import DOCS, read_results, table, write

PAGE = DOCS / "data.md"
_MODELS = {
    "network": "the network",
    "linear": "principal components, logistic regression",
}


def tables() -> dict[str, str]:
    """The tables by the name of their mark."""
    return {
        "leakage": leakage_table(read_results("leakage")["rows"]),
        "dmr_ir": era_table(read_results("dmr_ir_eras")["sets"]),
    }


def leakage_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Accuracy by either split, and the difference."""
    cells = [
        [
            row["model"],
            *(
                f"{row[key]:.1f} {_interval(row[f'{key}_interval'], '.1f')}"
                for key in ("by_image", "by_patient", "inflation")
            ),
        ]
        for row in rows
    ]
    return table(["model", "split by image", "split by patient", "inflation"], cells)


def era_table(sets: Sequence[Mapping[str, Any]]) -> str:
    """Area under the curve of every model on all patients and on those of one era."""
    head = ["model"]
    for part in sets:
        numbers = part["patient_numbers"]
        who = f"patients {numbers[0]} to {numbers[1]}" if numbers else "all patients"
        head.append(f"{who}: {part['healthy']} healthy, {part['sick']} sick")
    cells = []
    for rows in zip(*(part["rows"] for part in sets), strict=True):
        name = rows[0]["model"]
        shown = _MODELS.get(name, name.replace("_", " ").replace(":", ": "))
        values = [
            f"{row['auc']:.2f} {_interval(row['auc_interval'], '.2f')}" for row in rows
        ]
        cells.append([shown, *values])
    return table(head, cells)


def _interval(ends: Sequence[float], digits: str) -> str:
    return f"[{ends[0]:{digits}}, {ends[1]:{digits}}]"


def main() -> None:
    """Writes the tables into the page."""
    write(PAGE, tables())


if __name__ == "__main__":
    main()
