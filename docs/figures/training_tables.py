"""Tables of speed in `docs/training.md`, from the benchmarks' results.

    python -m docs.figures.training_tables

Writes them between the marks in the page.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from docs.figures.page_tables import DOCS, read_results, short, table, write

PAGE = DOCS / "training.md"
_QUANTITIES = {
    "attack_steps": "attack step",
    "batch": "image of the batch",
    "pixels": "1,000 pixels of an image",
}

Rows = Sequence[Mapping[str, Any]]


def tables() -> dict[str, str]:
    """The tables by the name of their mark."""
    results = read_results("training_vs_torch")
    return {
        "steps": steps_table(results["steps"]["rows"]),
        "parts": parts_table(results["parts"]["rows"]),
        "growth": growth_table(results["growth"]["rows"]),
        "kernels": kernels_table(results["kernels"]["rows"]),
        "sharding": sharding_table(read_results("sharding")["jobs"]),
        "start_up": start_up_table(read_results("start_up")["medians"]),
    }


def steps_table(rows: Rows) -> str:
    """Our time of a step, and how many times as long the others take."""
    cells = []
    for row in rows:
        ours, plain = row["times"]["wbad_jax"], row["plain_flax"]
        torch = row["speedup"]["torch"]
        cells.append(
            [
                row["attack"],
                row["model"],
                _times(ours),
                f"{short(torch['wall'])} ({short(torch['cpu'])})",
                f"{short(plain['wall_ms'] / ours['wall_ms'])} "
                f"({short(plain['cpu_ms'] / ours['cpu_ms'])})",
            ]
        )
    return table(["objective", "model", "ms", "PyTorch", "plain Flax"], cells)


def parts_table(rows: Rows) -> str:
    """Time of each part alone, and its share of the peak, with and without denoiser."""
    names = dict.fromkeys(name for row in rows for name in row["times"])
    cells = []
    for name in names:
        line = [name]
        for row in rows:
            spent = row["times"].get(name)
            rate = row["gigaflops"].get(name)
            share = f"{100 * rate / row['peak_gigaflops']:.0f}" if rate else ""
            line += [_times(spent) if spent else "", share]
        cells.append(line)
    head = [text for row in rows for text in (f"{row['model']}, ms", "% of peak")]
    return table(["part", *head], cells)


def growth_table(rows: Rows) -> str:
    """The straight line through the CPU times of a step."""
    cells = []
    for row in rows:
        fit, values = row["fit"], list(row["times"])
        unit = 1000 if row["quantity"] == "pixels" else 1
        cells.append(
            [
                _QUANTITIES[row["quantity"]],
                f"{values[0]} to {values[-1]}",
                short(unit * fit["slope_ms"]),
                short(fit["intercept_ms"]),
                f"{100 * fit['largest_error']:.0f}",
            ]
        )
    head = ["for each", "measured from", "ms more", "ms at 0", "largest error, %"]
    return table(head, cells)


def kernels_table(rows: Rows) -> str:
    """Operations a CPU-second of each way to a kernel's gradient."""
    ways = list(rows[0]["gigaflops_a_cpu_second"])
    cells = [
        [
            f"{row['size']} x {row['size']}, {row['inputs']} to {row['outputs']}, "
            f"stride {row['stride']}",
            *(f"{row['gigaflops_a_cpu_second'][way]:.1f}" for way in ways),
        ]
        for row in rows
    ]
    return table(["3 x 3 convolution", *ways], cells)


def sharding_table(jobs: Sequence[Mapping[str, Any]]) -> str:
    """Times of one step by where its batch lies, over those of one device."""
    cells = [
        [
            {"clean": "clean images", "pgd": "PGD"}[job["job"]],
            str(row["processes"]),
            str(row["devices"]),
            _times(row),
            f"{row['over_one_device']['wall']:.2f} "
            f"({row['over_one_device']['cpu']:.2f})",
        ]
        for job in jobs
        for row in job["layouts"]
    ]
    head = ["step", "processes", "devices of each", "ms", "times one device"]
    return table(head, cells)


def start_up_table(medians: Mapping[str, Mapping[str, float]]) -> str:
    """What a run needs before it runs, without and with compiled programs on disk."""
    cells = [
        [name.replace("_", " "), short(row["cold"]), short(row["warm"])]
        for name, row in medians.items()
    ]
    return table(["", "first run", "second run"], cells)


def _times(spent: Mapping[str, float]) -> str:
    return f"{short(spent['wall_ms'])} ({short(spent['cpu_ms'])})"


def main() -> None:
    """Writes the tables into the page."""
    write(PAGE, tables())


if __name__ == "__main__":
    main()
