"""Tables of speed and strength in `docs/attacks.md`, from the benchmark's results.

    python -m docs.figures.attack_tables

Writes them between the marks in the page.
"""

import json
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

REPOSITORY = pathlib.Path(__file__).parents[2]
PAGE = REPOSITORY / "docs" / "attacks.md"
RESULTS = REPOSITORY / "benchmarks" / "results"
_LABELS = {"mlp": "MLP, 16 images of 8 x 8"}


def tables() -> dict[str, str]:
    """The tables by the name of their mark."""
    peers = json.loads((RESULTS / "attacks_vs_peers.json").read_text("utf-8"))
    suite = json.loads((RESULTS / "attack_suite.json").read_text("utf-8"))
    return {
        "speed": speed_table(peers["speed"]["rows"]),
        "strength": strength_table(peers["strength"]["rows"]),
        "overhead": overhead_table(peers["overhead"]["rows"]),
        "suite": suite_table(suite),
    }


def speed_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """One line an attack and model: our time, and how many times faster than whom."""
    cells = []
    for row in rows:
        ours = row["times"]["wbad_jax"]
        ratios = ", ".join(
            f"{peer} {_short(ratio['wall'])} ({_short(ratio['cpu'])})"
            for peer, ratio in row["speedup"].items()
        )
        model = _LABELS.get(row["model"], row["model"])
        times = f"{_short(ours['wall_ms'])} ({_short(ours['cpu_ms'])})"
        cells.append([row["attack"], model, times, ratios])
    return _table(["attack", "model", "ms", "times faster than"], cells)


def strength_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Success rates in %, or median distances of minimal-norm attacks."""
    cells = []
    for row in rows:
        found = {}
        for library, results in row["libraries"].items():
            if row["epsilon"] is None:
                found[library] = f"{_mean(results['distance']):.4f}"
            else:
                found[library] = f"{_mean(results['success']):.1f}"
        ours = found.pop("wbad_jax")
        peers = ", ".join(f"{name} {value}" for name, value in found.items())
        cells.append([row["model"], row["attack"], ours, peers])
    return _table(["model", "attack", "wbad_jax", "peers"], cells)


def overhead_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Cost of an attack over that of its passes, and what else is measured there.

    The peak is that of a product of large matrices in the same process.
    """
    cells = [
        [
            row["attack"],
            row["model"],
            f"{row['gradients']} + {row['forwards']}",
            f"{row['overhead']['wall']:.2f} ({row['overhead']['cpu']:.2f})",
            f"{100 * row['gigaflops'] / row['peak_gigaflops']:.0f}",
            f"{row['compile']['wall_ms'] / 1e3:.1f}",
        ]
        for row in rows
    ]
    head = ["attack", "model", "gradients + forwards", "cost / passes"]
    return _table([*head, "% of peak", "compile, s"], cells)


def suite_table(record: Mapping[str, Any]) -> str:
    """What each attack of the suite broke, and how long it took."""
    cells = [
        [name, str(record["broken_by"][name]), f"{seconds:.0f}"]
        for name, seconds in record["seconds"].items()
    ]
    return _table(["attack", "broke", "s"], cells)


def replace(page: str, name: str, table: str) -> str:
    """The page with a table between its marks.

    Raises:
        ValueError: If the page has no such marks.
    """
    mark = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not mark.search(page):
        raise ValueError(f"{PAGE.name} has no marks of the table {name!r}.")
    return mark.sub(lambda found: f"{found[1]}\n{table}\n{found[2]}", page)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _short(value: float) -> str:
    return f"{value:.2f}" if value < 20 else f"{value:.0f}"


def _table(head: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def main() -> None:
    """Writes the tables into the page."""
    page = PAGE.read_text("utf-8")
    for name, table in tables().items():
        page = replace(page, name, table)
    PAGE.write_text(page, "utf-8")


if __name__ == "__main__":
    main()
