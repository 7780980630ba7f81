"""Figures of results.json: security curves with bounds, and paired differences."""

from collections.abc import Sequence

from experiments.report import wording
from experiments.report.charts import (
    COLOURS,
    GREY,
    Axis,
    Curve,
    Figure,
    Panel,
    Style,
    percent_axis,
    radius_axis,
    styles,
)
from experiments.report.headline import label
from experiments.report.run_files import Record, Run
from wbad_jax.evaluation import Row

_DASHES = {"graybox": "dot", "adaptive": "solid"}
# Fields of a bracket, and how they are called and drawn.
_BRACKET = {
    "pair_bound": ("pair bound", "dash"),
    "ceiling": ("ceiling C, informed observer", "dashdot"),
    "certified": ("certified A, scanning observer", "longdash"),
}


def security_curves(runs: Sequence[Run]) -> Figure | None:
    """Accuracy in the worst case against epsilon, one panel a norm and set."""
    attacked = [
        (row["norm"], row["set"])
        for run in runs
        for row in run.rows
        if row["attack"] == "worst_case"
    ]
    order = sorted(set(attacked), key=lambda pair: (pair[0] != "linf", pair))
    panels = [_security_panel(runs, *pair) for pair in order]
    if not panels:
        return None
    return Figure(
        slug="security",
        title="Accuracy against epsilon",
        caption="Per image the worst of all attacks of a protocol; bands are 95 % "
        "intervals. Solid: adaptive, the attacker knows the whole defence. Dotted: "
        "graybox, images made on an undefended network. Bounds, where known: no "
        "classifier can be above the ceiling under adaptive attacks, and a simple one "
        "is certified to reach A.",
        panels=panels,
    )


def _security_panel(runs: Sequence[Run], norm: str, set_name: str) -> Panel:
    looks = styles(label(r, arm, several=len(runs) > 1) for r in runs for arm in r.arms)
    curves = []
    for run in runs:
        rows = [r for r in run.rows if r["set"] == set_name]
        units = {row["unit"] for row in rows}
        rows = [r for r in rows if r["unit"] == "patient" or "patient" not in units]
        for arm in dict.fromkeys(row["arm"] for row in rows):
            name = label(run, arm, several=len(runs) > 1)
            own = [row for row in rows if row["arm"] == arm]
            curves += _arm_curves(run, own, norm, name, looks.get(name, Style()))
    largest = max((x for curve in curves for x in curve.x), default=0.0)
    curves += _bounds(runs, norm, set_name, largest)
    title = f"{wording.norm_name(norm)}, set {set_name}"
    x = radius_axis(f"epsilon ({wording.norm_name(norm)})", largest, runs[0].width)
    return Panel(title=title, x=x, y=percent_axis("accuracy"), curves=curves)


def _arm_curves(run: Run, rows: list[Row], norm: str, name: str, style: Style):
    clean = [row for row in rows if row["protocol"] == "clean"]
    for protocol, dash in _DASHES.items():
        worst = [
            row
            for row in rows
            if row["protocol"] == protocol
            and row["attack"] == "worst_case"
            and row["norm"] == norm
        ]
        # Of several surrogates, that which harms most.
        worst = sorted(worst, key=lambda row: (row["epsilon"], -row["accuracy"]))
        points = list({row["epsilon"]: row for row in clean[:1] + worst}.values())
        if worst:
            yield Curve(
                name=f"{name}, {protocol}",
                x=[row["epsilon"] or 0.0 for row in points],
                y=[row["accuracy"] for row in points],
                low=[row["ci_low"] for row in points],
                high=[row["ci_high"] for row in points],
                labels=[_label(row, run.width) for row in points],
                style=Style(style.colour, dash, style.marker),
            )


def _label(row: Row, width: float) -> str:
    where = (
        "clean"
        if row["epsilon"] is None
        else wording.radius(row["epsilon"], width, row["norm"])
    )
    return f"{where}\n{wording.accuracy(row)}"


def _bounds(runs: Sequence[Run], norm: str, set_name: str, largest: float):
    """Pair bound of the rows of a set; C and A of the cohort, up to some radius."""
    bounds: dict[tuple[str, str], dict[float, float]] = {}
    for run in runs:
        for row in run.rows:
            here = (row["set"], row["norm"]) == (set_name, norm)
            if here and row.get("ceiling") is not None:
                known = bounds.setdefault(("pair bound", "dash"), {0.0: 1.0})
                known[row["epsilon"]] = row["ceiling"]
        for row in run.bracket:
            if row["norm"] == norm and row["epsilon"] <= 1.001 * largest:
                for field, (name, dash) in _BRACKET.items():
                    bounds.setdefault((name, dash), {})[row["epsilon"]] = row[field]
    for (name, dash), points in bounds.items():
        x = sorted(points)
        labels = [
            f"{wording.radius(at, runs[0].width, norm)}\n"
            f"{wording.percent(points[at])} %"
            for at in x
        ]
        style = Style("#000000" if dash == "dash" else GREY, dash, None)
        y = [points[at] for at in x]
        yield Curve(name=name, x=x, y=y, labels=labels, style=style)


def differences(runs: Sequence[Run]) -> Figure | None:
    """Paired differences between arms, one panel a reference."""
    found = [
        (run, comparison)
        for run in runs
        for comparison in run.comparisons
        if comparison["attack"] in ("none", "worst_case")
    ]
    groups: dict[str, list[Record]] = {}
    for run, comparison in found:
        name = label(run, comparison["reference"], several=len(runs) > 1)
        groups.setdefault(name, []).append(comparison)
    panels = [
        _difference_panel(name, group, runs[0].width) for name, group in groups.items()
    ]
    if not panels:
        return None
    return Figure(
        slug="comparisons",
        title="Differences between arms",
        caption="Paired over patients: accuracy of the arm minus that of the "
        "reference, with 95 % intervals. Right of 0 the arm is better.",
        panels=panels,
    )


def _difference_panel(name: str, group: list[Record], width: float) -> Panel:
    group = sorted(group, key=lambda c: (c["norm"] or "", c["epsilon"] or 0.0))
    places = list(dict.fromkeys(_place(c) for c in group))
    arms = list(dict.fromkeys(c["arm"] for c in group))
    curves = []
    for i, arm in enumerate(arms):
        own = [c for c in group if c["arm"] == arm]
        shift = 0.6 * ((i + 0.5) / len(arms) - 0.5)
        curves.append(
            Curve(
                name=arm,
                x=[100 * c["difference"] for c in own],
                y=[places.index(_place(c)) + shift for c in own],
                low=[100 * c["ci_low"] for c in own],
                high=[100 * c["ci_high"] for c in own],
                labels=[_difference_label(c, width) for c in own],
                style=Style(COLOURS[i % len(COLOURS)], "solid", "circle"),
                joined=False,
            )
        )
    return Panel(
        title=f"against {name}",
        x=Axis("difference, points"),
        y=Axis(""),
        curves=curves,
        categories=places,
    )


def _place(comparison: Record) -> str:
    if comparison["epsilon"] is None:
        return comparison["protocol"]
    norm = wording.norm_name(comparison["norm"])
    return f"{comparison['protocol']}\n{norm} {comparison['epsilon']:.3g}"


def _difference_label(comparison: Record, width: float) -> str:
    where = wording.radius(comparison["epsilon"], width, comparison["norm"])
    return (
        f"{comparison['protocol']}, {where}\n"
        f"{wording.points(comparison['difference'])} points, "
        f"{wording.points(comparison['ci_low'])} to "
        f"{wording.points(comparison['ci_high'])}; "
        f"p {wording.p_value(comparison['p_value'])}, "
        f"Holm {wording.p_value(comparison['p_holm'])}; n {comparison['n']}"
    )
