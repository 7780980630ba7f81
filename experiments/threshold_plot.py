"""Draws how trained thresholds move during training."""

import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

# Okabe and Ito's colours, told apart with any colour vision; and in grey by their dash.
_LOOKS = {
    "horizontal": ("#0072B2", "-"),
    "vertical": ("#D55E00", "--"),
    "diagonal": ("#009E73", "-."),
}
_NAME = re.compile(r"threshold/level(\d+)/([a-z]+)(/channel\d+)?")


def draw(
    lines: Sequence[Mapping[str, Any]], path: pathlib.Path, *, universal: float
) -> bool:
    """One panel a level, finest first, one line an orientation (and channel).

    Args:
        lines: Of the metric log, of one run.
        path: Of the picture.
        universal: The universal threshold, as a multiple of sigma.

    Returns:
        Whether it was drawn: not without matplotlib, nor without thresholds.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    lines = [line for line in lines if "threshold/collapsed" in line]
    names = [name for name in (lines[-1] if lines else {}) if _NAME.fullmatch(name)]
    if not names:
        return False
    levels = sorted({_level(name) for name in names})
    size = (1 + 3.5 * len(levels), 3.5)
    figure = Figure(size, layout="constrained")
    axes = figure.subplots(1, len(levels), squeeze=False, sharey=True)[0]
    for level, axis in zip(levels, axes, strict=True):
        _draw_level(axis, lines, [name for name in names if _level(name) == level])
        axis.axhline(universal, color="black", lw=1, ls=":", label="1x universal")
        axis.set_title(f"level {level}" + (", finest" if level == 1 else ""))
        axis.set_xlabel("step")
    axes[0].set_ylim(bottom=0)
    axes[0].set_ylabel("threshold, multiples of sigma")
    axes[-1].legend(fontsize="small", bbox_to_anchor=(1.01, 1), loc="upper left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return True


def _level(name: str) -> int:
    return int(name.split("/")[1].removeprefix("level"))


def _draw_level(axis: Any, lines: Sequence[Mapping[str, Any]], names) -> None:
    steps = [line["step"] for line in lines]
    for name in names:
        _, _, orientation, *channel = name.split("/")
        colour, dash = _LOOKS[orientation]
        label = " ".join([orientation, *channel])
        values = [line[name] for line in lines]
        axis.plot(steps, values, dash, color=colour, marker=".", ms=3, label=label)
        if f"{name}/quantile10" in lines[-1]:
            low, high = (
                [line[f"{name}/quantile{share}"] for line in lines]
                for share in (10, 90)
            )
            axis.fill_between(steps, low, high, color=colour, alpha=0.2, lw=0)
