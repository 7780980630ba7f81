"""Tables of `docs/model_card.md`, from the results of the quickstart.

    python -m docs.figures.card_tables

Writes them between the marks in the page.
"""

from collections.abc import Mapping
from typing import Any

from docs.figures.page_tables import DOCS, read_results, table, with_interval, write

PAGE = DOCS / "model_card.md"
_HEAD = [
    "arm", "images", "accuracy", "sensitivity", "specificity", "AUC", "missed cancer",
    "false alarm",
]  # fmt: skip


def tables() -> dict[str, str]:
    """The tables by the name of their mark."""
    results = read_results("quickstart_jax_0.10")
    return {
        "card": card_table(results["rows"]),
        "setting": setting_table(results["meta"]),
    }


def card_table(rows: list[Mapping[str, Any]]) -> str:
    """A row for each arm on clean images and under each worst case."""
    chosen = [row for row in rows if row["attack"] in ("none", "worst_case")]
    return table(_HEAD, [[row["arm"], _images(row), *_numbers(row)] for row in chosen])


def _images(row: Mapping[str, Any]) -> str:
    if row["protocol"] == "clean":
        return "clean"
    norm = {"linf": "Linf", "l2": "L2"}[row["norm"]]
    return f"{row['protocol']}, {norm} {row['epsilon_celsius']:g} °C"


def _numbers(row: Mapping[str, Any]) -> list[str]:
    return [
        with_interval(row),
        f"{100 * row['sensitivity']:.1f}",
        f"{100 * row['specificity']:.1f}",
        f"{row['auc']:.3f}",
        *(
            "" if row[name] is None else f"{100 * row[name]:.1f}"
            for name in ("missed_cancer", "false_alarm")
        ),
    ]


def setting_table(meta: Mapping[str, Any]) -> str:
    """What the networks and their data are."""
    counts = {part: sum(each) for part, each in meta["num_examples"].items()}
    versions = meta["versions"]
    data = meta["data"]
    facts = {
        "parameters of each network": f"{meta['num_parameters']['wbad']:,}",
        "images for training": f"{counts['train']:,}, both states of each patient",
        "images for validation": str(counts["validation"]),
        "test patients": str(counts["test"]),
        "data": f"`{data['name']}` {data['version']}",
        "seed": str(meta["seed"]),
        "looks at the test set": str(meta["test_looks"]),
        "versions": f"Python {versions['python']}, JAX {versions['jax']}, "
        f"Flax {versions['flax']}",
        "device": f"CPU, {meta['cpu_count']} cores",
    }
    return table(["setting", ""], [[name, fact] for name, fact in facts.items()])


if __name__ == "__main__":
    write(PAGE, tables())
