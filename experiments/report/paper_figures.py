"""The figures as PNG and PDF for papers, drawn by matplotlib."""

import itertools
import pathlib
from collections.abc import Sequence
from typing import Any

from experiments.config_errors import ConfigError
from experiments.report.charts import Axis, Curve, Figure, Panel

_DASHES = {
    "solid": "-",
    "dash": "--",
    "dot": ":",
    "dashdot": "-.",
    "longdash": (0, (8, 3)),
}
_MARKERS = {
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "triangle-up": "^",
    "triangle-down": "v",
    "x": "x",
    "cross": "P",
}
_COLUMNS = 3
_WIDTH = 3.4  # of a panel, in inches
_WIDE = 5.0  # with categories


def write_figures(figures: Sequence[Figure], folder: pathlib.Path) -> None:
    """Write every figure as `<slug>.png` and `<slug>.pdf`.

    Args:
        figures: What to draw.
        folder: Where to; created.

    Raises:
        ConfigError: Without matplotlib.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure as Canvas
    except ImportError:
        raise ConfigError(
            '--figures needs matplotlib: pip install "wbad_jax[docs]".'
        ) from None
    folder.mkdir(parents=True, exist_ok=True)
    # Text stays text in the PDF, and no date makes files differ.
    with matplotlib.rc_context(
        {"pdf.fonttype": 42, "font.size": 8, "legend.fontsize": 6.5}
    ):
        for figure in figures:
            canvas = _draw(figure, Canvas)
            canvas.savefig(folder / f"{figure.slug}.png", dpi=200)
            path = folder / f"{figure.slug}.pdf"
            canvas.savefig(path, metadata={"CreationDate": None})


def _draw(figure: Figure, canvas_type: Any) -> Any:
    panels = figure.panels
    columns = 2 if len(panels) in (2, 4) else min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    width = _WIDE if any(panel.categories for panel in panels) else _WIDTH
    height = max(_height(panel) for panel in panels)
    canvas = canvas_type((width * columns, height * rows), layout="constrained")
    axes = canvas.subplots(rows, columns, squeeze=False).flat
    for axis, panel in itertools.zip_longest(axes, panels):
        if panel is None:
            axis.set_axis_off()
        else:
            _draw_panel(axis, panel)
    return canvas


def _height(panel: Panel) -> float:
    """Of a panel with its legend, in inches."""
    axes = 0.3 * len(panel.categories) if panel.categories else 2.0
    return axes + 0.8 + 0.14 * len(panel.curves)


def _draw_panel(axis: Any, panel: Panel) -> None:
    from matplotlib.transforms import ScaledTranslation

    for curve in panel.curves:
        _draw_curve(axis, curve, horizontal=bool(panel.categories))
    axis.set_title(_plain(panel.title), fontsize=8)
    _set_axis(axis, panel.x, "x")
    _set_axis(axis, panel.y, "y")
    if panel.categories:
        names = [_plain(name.replace("\n", ", ")) for name in panel.categories]
        axis.set_yticks(range(len(names)), names)
        axis.set_ylim(len(names) - 0.4, -0.6)
    axis.grid(color="0.9", lw=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    # Below the marks and the label, however high the axes are.
    lines = 2 if any("\n" in label for _, label in panel.x.marks) else 1
    below = ScaledTranslation(0, -0.3 - 0.12 * lines, axis.figure.dpi_scale_trans)
    axis.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        bbox_transform=axis.transAxes + below,
        frameon=False,
    )


def _draw_curve(axis: Any, curve: Curve, *, horizontal: bool) -> None:
    style = curve.style
    looks = {"color": style.colour, "label": _plain(curve.name)}
    marker = _MARKERS[style.marker] if style.marker else ""
    if curve.joined:
        dash = _DASHES[style.dash]
        axis.plot(curve.x, curve.y, ls=dash, marker=marker, ms=3.5, lw=1.2, **looks)
        if curve.low is not None:
            axis.fill_between(
                curve.x, curve.low, curve.high, color=style.colour, alpha=0.14, lw=0
            )
        return
    centre = curve.x if horizontal else curve.y
    ends = [
        [c - low for c, low in zip(centre, curve.low or centre, strict=True)],
        [high - c for c, high in zip(centre, curve.high or centre, strict=True)],
    ]
    bars = {"xerr" if horizontal else "yerr": ends}
    axis.errorbar(curve.x, curve.y, fmt=marker, ms=4, lw=1, capsize=2, **bars, **looks)


def _set_axis(axis: Any, given: Axis, name: str) -> None:
    getattr(axis, f"set_{name}label")(_plain(given.label))
    if given.marks:
        values, labels = zip(*given.marks, strict=True)
        getattr(axis, f"set_{name}ticks")(values, [_plain(text) for text in labels])
    if given.limits:
        getattr(axis, f"set_{name}lim")(*given.limits)


def _plain(text: str) -> str:
    """Text in which matplotlib sees no formula."""
    return text.replace("$", r"\$")
