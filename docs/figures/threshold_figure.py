"""The ablation of thresholds as a picture: every run, clean and attacked."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from docs.figures.thermograms import BLUE, GREEN, ORANGE, new_figure, percent, save

# Condition, label, colour.
DOTS = (
    ("clean", "clean", GREEN),
    ("graybox", "graybox", BLUE),
    ("adaptive", "adaptive", ORANGE),
)


def draw_ablation(
    rows: Sequence[Mapping[str, Any]],
    names: Mapping[str, str],
    output: pathlib.Path,
) -> None:
    """Draws three dots a run, with intervals, and a line at the universal rule's.

    Args:
        rows: Of the ablation's results, in order.
        names: Of the runs.
        output: Folder of `ablation.png`.
    """
    figure, axes = new_figure(1, 1, 7.2, 0.8 + 0.28 * len(rows))
    axes = axes[0, 0]
    for condition, label, colour in DOTS:
        found = [row["accuracy"][condition] for row in rows]
        values, errors = percent(found)
        axes.errorbar(values, range(len(rows)), xerr=errors, fmt="o", ms=4, lw=1,
                      color=colour, label=label)  # fmt: skip
        axes.axvline(values[0], color=colour, lw=0.8, ls=":")
    axes.set_yticks(range(len(rows)), [names[row["run"]] for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("accuracy, %")
    axes.legend(fontsize=8, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    save(figure, output / "ablation.png")
