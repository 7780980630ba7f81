"""Tables of speed and strength in `docs/attacks.md`, from the benchmark's results.

    python -m docs.figures.attack_tables

Writes them between the marks in the page.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.attack_budgets import COMPARISONS
from benchmarks.attack_problem import MODELS
from docs.figures.page_tables import DOCS, read_results, short, table, write

PAGE = DOCS / "attacks.md"
_LABELS = {"mlp": "MLP, 16 images of 8 x 8"}


def tables() -> dict[str, str]:
    """The tables by the name of their mark."""
    peers, suite = read_results("attacks_vs_peers"), read_results("attack_suite")
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
            f"{peer} {short(ratio['wall'])} ({short(ratio['cpu'])})"
            for peer, ratio in row["speedup"].items()
        )
        model = _LABELS.get(row["model"], row["model"])
        times = f"{short(ours['wall_ms'])} ({short(ours['cpu_ms'])})"
        cells.append([row["attack"], model, times, ratios])
    return table(["attack", "model", "ms", "times faster than"], cells)


def strength_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Success rates in %, or median distances of minimal-norm attacks."""
    cells = []
    for row in sorted(rows, key=_order):
        found = {}
        for library, results in row["libraries"].items():
            if row["epsilon"] is None:
                found[library] = f"{_mean(results['distance']):.4f}"
            else:
                found[library] = f"{_mean(results['success']):.1f}"
        ours = found.pop("wbad_jax")
        peers = ", ".join(f"{name} {value}" for name, value in found.items())
        cells.append([row["model"], row["attack"], ours, peers])
    return table(["model", "attack", "wbad_jax", "peers"], cells)


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
    return table([*head, "% of peak", "compile, s"], cells)


def suite_table(record: Mapping[str, Any]) -> str:
    """What each attack of the suite broke, and how long it took."""
    cells = [
        [name, str(record["broken_by"][name]), f"{seconds:.0f}"]
        for name, seconds in record["seconds"].items()
    ]
    return table(["attack", "broke", "s"], cells)


def _order(row: Mapping[str, Any]) -> tuple[int, int]:
    """Of models and attacks as the benchmark lists them, in whatever order they ran."""
    names = [comparison.name for comparison in COMPARISONS]
    return MODELS.index(row["model"]), names.index(row["attack"])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def main() -> None:
    """Writes the tables into the page."""
    write(PAGE, tables())


if __name__ == "__main__":
    main()
