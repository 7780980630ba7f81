"""How accuracy grows with the number of patients, from the results of the benchmark."""

import json
import pathlib
from typing import Any

from docs.figures.thermograms import BLUE, ORANGE, new_figure, percent, save

RESULTS = pathlib.Path("benchmarks/results/learning_curve.json")
# Arm, protocol, label, colour, line.
CURVES = (
    ("undefended", "clean", "standard training, clean", BLUE, "-o"),
    ("undefended", "adaptive", "standard training, PGD", BLUE, "--o"),
    ("adversarial", "clean", "adversarial training, clean", ORANGE, "-s"),
    ("adversarial", "adaptive", "adversarial training, PGD", ORANGE, "--s"),
)


def draw_learning_curve(output: pathlib.Path) -> None:
    """Draws accuracy against the number of patients, with 95 % intervals."""
    sizes = json.loads(RESULTS.read_text(encoding="utf-8"))["sizes"]
    figure, axes = new_figure(1, 1, 6.4, 4.2)
    axes = axes[0, 0]
    for arm, protocol, label, colour, line in CURVES:
        found = [find_row(rows, arm, protocol) for rows in sizes.values()]
        accuracy, errors = percent(found)
        patients = [int(size) for size in sizes]
        axes.errorbar(
            patients, accuracy, errors, fmt=line, color=colour, capsize=2, label=label
        )
    axes.axhline(50, color="0.6", lw=0.8, zorder=0)
    axes.set_xscale("log")
    axes.set_xticks(patients, list(sizes))
    axes.minorticks_off()
    axes.set_xlabel("patients to train on")
    axes.set_ylabel("accuracy, %")
    axes.set_ylim(0, 100)
    axes.grid(lw=0.4)
    axes.legend(fontsize=8, loc="center right")
    save(figure, output / "twin_learning.png")


def find_row(rows: list[dict[str, Any]], arm: str, protocol: str) -> dict[str, Any]:
    """The row of one arm under one protocol."""
    (row,) = (r for r in rows if (r["arm"], r["protocol"]) == (arm, protocol))
    return row
