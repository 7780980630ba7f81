"""The headline as a picture: every arm clean, in graybox and under adaptive attack."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from docs.figures.thermograms import BLUE, GREEN, ORANGE, new_figure, percent, save

# Protocol, attack and norm, label, colour.
BARS = (
    (("clean", "none", None), "clean", GREEN),
    (("graybox", "worst_case", "linf"), "graybox, worst case", BLUE),
    (("adaptive", "worst_case", "linf"), "adaptive, worst case", ORANGE),
)
_WIDTH = 0.26


def draw_headline(
    rows: Sequence[Mapping[str, Any]],
    names: Mapping[str, str],
    certified: float,
    output: pathlib.Path,
) -> None:
    """Draws three bars an arm, with 95 % intervals.

    Args:
        rows: Of the headline's results.
        names: Of the arms, in order.
        certified: Accuracy that a linear scan is certified to reach, from 0 to 1.
        output: Folder of `headline.png`.
    """
    arms = [arm for arm in names if any(row["arm"] == arm for row in rows)]
    figure, axes = new_figure(1, 1, 7.2, 3.8)
    axes = axes[0, 0]
    for place, (condition, label, colour) in enumerate(BARS):
        own = {
            row["arm"]: row
            for row in rows
            if (row["protocol"], row["attack"], row["norm"]) == condition
        }
        shown = [arm for arm in arms if arm in own]
        heights, errors = percent([own[arm] for arm in shown])
        where = [arms.index(arm) + (place - 1) * _WIDTH for arm in shown]
        axes.bar(where, heights, _WIDTH, yerr=errors, color=colour, label=label,
                 error_kw={"lw": 0.8, "capsize": 2})  # fmt: skip
    axes.axhline(100 * certified, color="0.3", lw=0.8, ls="--", label="certified: A")
    axes.set_xticks(
        range(len(arms)), [names[arm].replace(" ", "\n", 1) for arm in arms]
    )
    axes.set_ylabel("accuracy, %")
    axes.set_ylim(0, 100)
    axes.legend(fontsize=8, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    save(figure, output / "headline.png")
