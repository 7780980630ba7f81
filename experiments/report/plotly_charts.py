"""Panels as plotly's JSON. All text is escaped: plotly reads some HTML tags in it."""

import html
import math
from collections.abc import Sequence
from typing import Any

from experiments.report.charts import Axis, Curve, Panel

_FONT = {"family": "system-ui, sans-serif", "size": 13, "color": "#1a1a1a"}
_ROW = 36  # pixels a category takes


def to_plotly(panel: Panel) -> dict[str, Any]:
    """Data and layout of a panel, ready for JSON.

    Args:
        panel: What to draw. Its names may hold anything: they are shown as they are.
    """
    categories = panel.categories
    two_lines = any("\n" in label for _, label in panel.x.marks)
    data = []
    for number, curve in enumerate(panel.curves):
        if curve.low is not None and curve.joined:
            data += _band(curve, f"curve{number}")
        data.append(_trace(curve, f"curve{number}", bool(categories)))
    layout = {
        "font": _FONT,
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "margin": {"l": 58, "r": 14, "t": 28, "b": 52 + 15 * two_lines},
        "hovermode": "closest",
        "hoverlabel": {"namelength": -1, "font": {"size": 13}, "align": "left"},
        "height": 390,
        "xaxis": _axis(panel.x) | ({"zeroline": True} if categories else {}),
        "yaxis": _axis(panel.y),
        "legend": {
            "orientation": "h", "yref": "container", "yanchor": "bottom", "y": 0,
            "xref": "container", "x": 0.02, "traceorder": "normal",
        },
    }  # fmt: skip
    if categories:
        layout["height"] = 100 + _ROW * len(categories)
        layout["margin"] |= {"l": 10}
        layout["yaxis"] |= {
            "tickmode": "array",
            "tickvals": list(range(len(categories))),
            "ticktext": [_text(name) for name in categories],
            "range": [len(categories) - 0.4, -0.6],
            "automargin": True,
        }
    return {"data": data, "layout": layout}


def _axis(axis: Axis) -> dict[str, Any]:
    result: dict[str, Any] = {
        "title": {"text": _text(axis.label), "standoff": 8},
        "gridcolor": "#e6e6e6",
        "linecolor": "#767676",
        "zeroline": False,
        "zerolinecolor": "#767676",
        "showline": True,
        "tickangle": 0,
        "tickfont": {"size": 11.5},
        "fixedrange": False,
    }
    if axis.limits is not None:
        result["range"] = _numbers(axis.limits)
    if axis.marks:
        result |= {
            "tickmode": "array",
            "tickvals": _numbers([value for value, _ in axis.marks]),
            "ticktext": [_text(label) for _, label in axis.marks],
        }
    return result


def _trace(curve: Curve, group: str, horizontal: bool) -> dict[str, Any]:
    style = curve.style
    mode = "+".join(["lines"] * curve.joined + ["markers"] * (style.marker is not None))
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": mode,
        "name": _text(curve.name),
        "legendgroup": group,
        "x": _numbers(curve.x),
        "y": _numbers(curve.y),
        "line": {"color": style.colour, "dash": style.dash, "width": 2},
        "marker": {"color": style.colour, "symbol": style.marker, "size": 9},
    }
    if curve.labels:
        trace["text"] = [_text(label) for label in curve.labels]
        trace["hoverinfo"] = "text+name"
    if curve.low is not None and not curve.joined:
        trace["error_x" if horizontal else "error_y"] = _bars(curve, horizontal)
    return trace


def _bars(curve: Curve, horizontal: bool) -> dict[str, Any]:
    centre = curve.x if horizontal else curve.y
    low, high = curve.low or (), curve.high or ()
    return {
        "type": "data",
        "symmetric": False,
        "array": _numbers([h - c for h, c in zip(high, centre, strict=True)]),
        "arrayminus": _numbers([c - b for b, c in zip(low, centre, strict=True)]),
        "color": curve.style.colour,
        "thickness": 1.5,
        "width": 4,
    }


def _band(curve: Curve, group: str) -> list[dict[str, Any]]:
    red, green, blue = (int(curve.style.colour[i : i + 2], 16) for i in (1, 3, 5))
    edge = {
        "type": "scatter",
        "mode": "lines",
        "x": _numbers(curve.x),
        "line": {"width": 0},
        "hoverinfo": "skip",
        "showlegend": False,
        "legendgroup": group,
    }
    fill = f"rgba({red},{green},{blue},0.14)"
    return [
        edge | {"y": _numbers(curve.low or ())},
        edge | {"y": _numbers(curve.high or ()), "fill": "tonexty", "fillcolor": fill},
    ]


def _text(text: str) -> str:
    """Text that plotly shows as it is; a line break stays one.

    Quotes stay too: plotly knows no entity of theirs, and text is no attribute.
    """
    return html.escape(text, quote=False).replace("\n", "<br>")


def _numbers(values: Sequence[float | None]) -> list[float | None]:
    """Five digits: enough for a screen, and a small page. Gaps are None."""
    return [
        None if value is None or not math.isfinite(value) else float(f"{value:.5g}")
        for value in values
    ]
