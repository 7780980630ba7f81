"""Draws the accuracies of the runs of a sweep."""

import pathlib
from collections.abc import Sequence
from typing import Any

from experiments.ablation_table import Row, condition_name

_HEIGHT = 0.11  # of a point with its interval, in inches


def draw(rows: Sequence[Row], path: pathlib.Path) -> bool:
    """Accuracies with intervals, one panel an arm and one colour a condition.

    Args:
        rows: What to show.
        path: Of the picture.

    Returns:
        Whether it was drawn: not without matplotlib, nor without rows.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    if not rows:
        return False
    panels = {
        arm: [row for row in rows if row["arm"] == arm]
        for arm in dict.fromkeys(row["arm"] for row in rows)
    }
    heights = [0.5 + _HEIGHT * 1.4 * len(own) for own in panels.values()]
    figure = Figure((8, 0.6 + sum(heights)), layout="constrained")
    axes = figure.subplots(len(panels), squeeze=False, height_ratios=heights)[:, 0]
    for axis, (arm, own) in zip(axes, panels.items(), strict=True):
        _draw_arm(axis, own)
        axis.set_title(arm, loc="left")
    axes[-1].set_xlabel("accuracy, mean over seeds, 95 % over patients")
    figure.savefig(path, dpi=120)
    return True


def _draw_arm(axis: Any, rows: Sequence[Row]) -> None:
    runs = list(dict.fromkeys(row["run"] for row in rows))
    names = list(dict.fromkeys(map(condition_name, rows)))
    for number, name in enumerate(names):
        points = [row for row in rows if condition_name(row) == name]
        # Around the tick of its run, conditions from above to below.
        shift = 0.7 * ((number + 0.5) / len(names) - 0.5)
        axis.errorbar(
            [row["accuracy"] for row in points],
            [runs.index(row["run"]) + shift for row in points],
            xerr=[
                [row["accuracy"] - row["ci_low"] for row in points],
                [row["ci_high"] - row["accuracy"] for row in points],
            ],
            fmt="o",
            ms=3,
            lw=1,
            label=name,
        )
    axis.set_yticks(range(len(runs)), runs, fontsize="small")
    axis.set_ylim(len(runs) - 0.5, -0.5)
    axis.set_xlim(-0.02, 1.02)
    axis.legend(fontsize="x-small", bbox_to_anchor=(1.01, 1), loc="upper left")
