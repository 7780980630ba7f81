"""Tables in `docs/robustness.md`, from the benchmark's results.

    python -m docs.figures.robustness_tables

Writes them between the marks in the page.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from docs.figures.page_tables import DOCS, read_results, table, write
from wbad_jax import evaluation

PAGE = DOCS / "robustness.md"


def tables() -> dict[str, str]:
    """The tables by the name of their mark."""
    return {
        "seconds": seconds_table(read_results("full_evaluation")),
        "pattern": pattern_sentences(read_results("pattern")),
    }


def seconds_table(report: Mapping[str, Any]) -> str:
    """One line an adaptive attack: examples, accuracy after it and seconds, by arm."""
    rows = [row for row in report["rows"] if row["protocol"] == "adaptive"]
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    cells = []
    for attack, norm in dict.fromkeys((row["attack"], row["norm"]) for row in rows):
        line = [f"{attack} {norm}"]
        for arm in arms:
            found = [
                row
                for row in rows
                if (row["arm"], row["attack"], row["norm"]) == (arm, attack, norm)
            ]
            line += _cells(found[0]) if found else ["-", "-", "-"]
        cells.append(line)
    head = ["attack"]
    for arm in arms:
        head += [f"{arm}: attacked", "% right", "s"]
    minutes = f"{report['seconds'] / 60:.1f} minutes in all."
    return table(head, cells) + f"\n{minutes}\n"


def _cells(row: Mapping[str, Any]) -> list[str]:
    return [
        str(row["evaluated_on"]),
        f"{100 * row['accuracy']:.1f}",
        f"{row['seconds']:.0f}",
    ]


def pattern_sentences(results: Mapping[str, Any]) -> str:
    """What the rows of a run say, as a list."""
    epsilon = results["meta"]["headline_epsilon"]
    sentences: Sequence[str] = evaluation.explain(results["rows"], epsilon=epsilon)
    return "\n".join(f"- {sentence}" for sentence in sentences) + "\n"


if __name__ == "__main__":
    write(PAGE, tables())
