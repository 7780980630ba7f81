"""Figures as data: what is drawn, for the page (plotly) and for papers (matplotlib)."""

import dataclasses
import math
from collections.abc import Iterable, Sequence

# Okabe and Ito's colours, told apart with any colour vision; yellow is too light.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "x", "cross")
GREY = "#595959"


@dataclasses.dataclass(frozen=True)
class Style:
    """How a curve looks; without a marker its points are not marked."""

    colour: str = COLOURS[0]
    dash: str = "solid"  # or "dash", "dot", "dashdot", "longdash"
    marker: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curve:
    """Points, joined or not.

    Attributes:
        name: In the legend.
        x: Of the points.
        y: Of the points; where the panel has categories, their numbers.
        low: Lower ends of intervals: of y, or of x where the panel has categories.
        high: Upper ends.
        labels: What is said of each point beside its place.
        style: Colour, dash, marker.
        joined: Whether a line joins the points.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    labels: Sequence[str] = ()
    style: Style = Style()
    joined: bool = True


@dataclasses.dataclass(frozen=True)
class Axis:
    """An axis: what it says, its limits, and its marks, which may have two lines."""

    label: str
    limits: tuple[float, float] | None = None
    marks: Sequence[tuple[float, str]] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Panel:
    """One pair of axes; `categories`, from above to below, name places on y."""

    title: str
    x: Axis
    y: Axis
    curves: Sequence[Curve]
    categories: Sequence[str] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure:
    """Panels that belong together.

    Attributes:
        slug: Name of its files.
        title: What it shows.
        caption: How to read it.
        panels: At least one.
    """

    slug: str
    title: str
    caption: str
    panels: Sequence[Panel]


SHARE = (-0.02, 1.02)


def styles(names: Iterable[str]) -> dict[str, Style]:
    """A colour and a marker for each name, in order of first appearance."""
    unique = list(dict.fromkeys(names))
    return {
        name: Style(COLOURS[i % len(COLOURS)], "solid", MARKERS[i % len(MARKERS)])
        for i, name in enumerate(unique)
    }


def percent_axis(label: str) -> Axis:
    """An axis from 0 to 100 %."""
    marks = [(share / 100, str(share)) for share in range(0, 101, 20)]
    return Axis(f"{label}, %", SHARE, marks)


def radius_axis(label: str, largest: float, width: float) -> Axis:
    """An axis of radii from 0, marked in pixel units and below in degrees Celsius.

    Args:
        label: What the radius is.
        largest: End of the axis, in pixel units.
        width: Degrees Celsius of one pixel unit.
    """
    step = _round_step(largest * width / 5)
    marks = [
        (mark * step / width, f"{mark * step / width:.3g}\n{mark * step:.3g} °C")
        for mark in range(math.floor(largest * width / step * 1.001) + 1)
    ]
    return Axis(label, (-0.02 * largest, 1.04 * largest), marks)


def _round_step(step: float) -> float:
    """The next of 1, 2, 2.5 and 5 times a power of ten that is not smaller."""
    power = 10 ** math.floor(math.log10(step))
    return power * next((f for f in (1, 2, 2.5, 5) if f * power >= step * 0.999), 10)
