"""Tables in `docs/robustness.md`, from the benchmark's results.

    python -m docs.figures.robustness_tables

Writes them between the marks in the page.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from docs.figures.page_tables import DOCS, read_results, table, with_interval, write
from wbad_jax import evaluation

PAGE = DOCS / "robustness.md"


def tables() -> dict[str, str]:
    """The tables by the name of their mark."""
    return {
        "seconds": seconds_table(read_results("full_evaluation")),
        "interrupted": interruption_sentence(
            read_results("full_evaluation_interrupted")
        ),
        "pattern": pattern_sentences(read_results("pattern")),
        "control": control_table(read_results("quickstart_pairs")["rows"]),
        "pairs": pairs_table(read_results("quickstart_pairs")),
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


def control_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Accuracy under images made on networks of other seeds, beside the control."""
    found = [r for r in rows if (r["set"], r["protocol"]) == ("test", "graybox")]
    arms = list(dict.fromkeys(row["arm"] for row in found))
    cells = []
    for condition in dict.fromkeys(map(_attacked, found)):
        line = [f"{condition[0]} {condition[1]}", condition[2]]
        for arm in arms:
            (row,) = [r for r in found if _attacked(r) == condition and r["arm"] == arm]
            line.append(with_interval(row))
        cells.append(line)
    return table(["attack", "images made on", *arms], cells)


def _attacked(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row["attack"], row["norm"], row["surrogate"]


def pairs_table(results: Mapping[str, Any]) -> str:
    """Both twins of every test patient: what is right, and what at most can be."""
    bracket = {b["norm"]: b for b in results["bracket"]}
    cells = []
    for row in results["rows"]:
        wanted = ("test_pairs", "adaptive", "worst_case")
        if (row["set"], row["protocol"], row["attack"]) != wanted:
            continue
        known = bracket.get(row["norm"])
        ends = [known["ceiling"], known["certified"]] if known else [None, None]
        cells.append(
            [
                row["arm"],
                row["norm"],
                f"{row['epsilon_celsius']:g}",
                str(row["n"]),
                with_interval(row),
                *(
                    "-" if e is None else f"{100 * e:.1f}"
                    for e in (row["ceiling"], *ends)
                ),
            ]
        )
    head = [
        "arm",
        "norm",
        "°C",
        "images",
        "worst case, adaptive",
        "pair bound",
        "C",
        "A",
    ]
    return table(head, cells)


def interruption_sentence(report: Mapping[str, Any]) -> str:
    """Where an evaluation was stopped, and whether its results are the same."""
    stops = " and ".join(
        f"{stop['signal']} after {stop['seconds_after_start']:.0f} s"
        for stop in report["interruptions"]
    )
    same = "the same bits" if report["predictions_equal"] else "OTHER RESULTS"
    return (
        f"An evaluation that got {stops}, each in the middle of an attack, and was "
        f"started again, ended with {same} in every prediction as an undisturbed one.\n"
    )


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
