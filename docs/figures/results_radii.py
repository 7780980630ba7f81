"""Accuracy of the headline's arms at all radii, between ceiling and certified bound."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from docs.figures.page_tables import table, with_interval
from docs.figures.results_verdict import same
from docs.figures.thermograms import BLUE, GREEN, ORANGE, new_figure, percent, save

Rows = Sequence[Mapping[str, Any]]
WORST = ("adaptive", "worst_case", "linf")
# A ceiling below this leaves no room for skill.
LEAST_CEILING = 0.6
_COLOURS = {
    "adversarial": ORANGE, "wbad": BLUE, "lesion_map": GREEN, "large": "0.2",
}  # fmt: skip


def accuracy_at(rows: Rows, arm: str, epsilon: float) -> Mapping[str, Any] | None:
    """The row of an arm's adaptive worst case at a radius; None if not measured."""
    for row in rows:
        where = (row["protocol"], row["attack"], row["norm"])
        if (row["arm"], where) != (arm, WORST):
            continue
        if same(row["epsilon"], epsilon):
            return row
    return None


def skill(accuracy: float, ceiling: float) -> float:
    """Share of what is possible above a coin: (accuracy - 1/2) / (ceiling - 1/2)."""
    return (accuracy - 0.5) / (ceiling - 0.5)


def skills(rows: Rows, bracket: Rows, arm: str) -> dict[float, float]:
    """Skill of an arm by multiple of the headline's radius, smallest first.

    Args:
        rows: Of arms at several radii.
        bracket: Of `benchmarks.headline_bracket`.
        arm: Which.
    """
    found = {}
    for each in sorted(bracket, key=lambda each: each["epsilon"]):
        row = accuracy_at(rows, arm, each["epsilon"])
        ceiling = each["informed"]["ceiling"]
        if row is not None and ceiling >= LEAST_CEILING:
            found[each["multiple"]] = skill(row["accuracy"], ceiling)
    return found


def radii_table(
    rows: Rows, bracket: Rows, arms: Mapping[str, str], skilled: Sequence[str]
) -> str:
    """One line a radius.

    Args:
        rows: Of arms at several radii.
        bracket: Of `benchmarks.headline_bracket`.
        arms: Their names, in order.
        skilled: The arms whose skill is shown, where they were measured.
    """
    shown = [arm for arm in arms if any(row["arm"] == arm for row in rows)]
    known = {arm: skills(rows, bracket, arm) for arm in skilled if arm in shown}
    cells = []
    for each in bracket:
        own = [accuracy_at(rows, arm, each["epsilon"]) for arm in shown]
        of_radius = [found.get(each["multiple"]) for found in known.values()]
        cells.append(
            [
                f"{255 * each['epsilon']:.2g}/255, {each['epsilon_celsius']:.3f} °C",
                f"{100 * each['informed']['ceiling']:.1f}",
                with_interval(each["certified"]),
                *("-" if row is None else with_interval(row) for row in own),
                *("-" if value is None else f"{value:.2f}" for value in of_radius),
            ]
        )
    head = ["Linf radius", "ceiling C", "certified A", *(arms[arm] for arm in shown)]
    return table([*head, *(f"skill of {arms[arm]}" for arm in known)], cells)


def trained_table(networks: Rows, bracket: Rows, arm: str) -> str:
    """One line a radius, one column a network that was trained for one, or for all.

    The last column is the skill of the network trained for that radius, so that none is
    chosen by what it does on test patients.

    Args:
        networks: Of `benchmarks.radii`, each with `trained_celsius`, smallest and
            largest radius in training, and `rows`.
        bracket: Of `benchmarks.headline_bracket`.
        arm: Whose rows.
    """
    cells = []
    for each in bracket:
        own = [accuracy_at(n["rows"], arm, each["epsilon"]) for n in networks]
        skilled = [
            f"{skill(row['accuracy'], each['informed']['ceiling']):.2f}"
            for network, row in zip(networks, own, strict=True)
            if row is not None
            and all(
                same(c, each["epsilon_celsius"]) for c in network["trained_celsius"]
            )
        ]
        cells.append(
            [
                f"{each['epsilon_celsius']:.3f} °C",
                with_interval(each["certified"]),
                *("-" if row is None else with_interval(row) for row in own),
                *(skilled or ["-"]),
            ]
        )
    clean = [
        next(r for r in n["rows"] if (r["arm"], r["protocol"]) == (arm, "clean"))
        for n in networks
    ]
    cells.insert(0, ["clean", "-", *(with_interval(row) for row in clean), "-"])
    heads = [trained_for(*network["trained_celsius"]) for network in networks]
    return table(
        ["attacked with", "certified A", *heads, "skill on the diagonal"], cells
    )


def trained_for(low: float, high: float) -> str:
    """What a network was trained for, in °C."""
    radii = f"{low:.3f}" if same(low, high) else f"{low:.3f} to {high:.3f}"
    return f"trained for {radii} °C"


def draw_radii(
    rows: Rows, bracket: Rows, names: Mapping[str, str], output: pathlib.Path
) -> None:
    """Draws accuracy against radius, with 95 % intervals, over the bracket.

    Args:
        rows: Of arms at several radii.
        bracket: Of `benchmarks.headline_bracket`.
        names: Of the arms.
        output: Folder of `headline_radii.png`.
    """
    figure, axes = new_figure(1, 1, 6.4, 4.0)
    axes = axes[0, 0]
    celsius = [each["epsilon_celsius"] for each in bracket]
    ceilings = [100 * each["informed"]["ceiling"] for each in bracket]
    certified = [100 * each["certified"]["accuracy"] for each in bracket]
    axes.fill_between(celsius, certified, ceilings, color="0.92", label="A to C")
    for arm, colour in _COLOURS.items():
        points = [
            (each["epsilon_celsius"], row)
            for each in bracket
            if (row := accuracy_at(rows, arm, each["epsilon"])) is not None
        ]
        if not points:
            continue
        heights, errors = percent([row for _, row in points])
        axes.errorbar([x for x, _ in points], heights, errors, fmt="-o", ms=4,
                      color=colour, capsize=2, label=names[arm])  # fmt: skip
    axes.axhline(50, color="0.6", lw=0.8, zorder=0)
    axes.set_xscale("log", base=2)
    axes.set_xticks(celsius, [f"{value:.3g}" for value in celsius])
    axes.set_xlabel("Linf radius, °C")
    axes.set_ylabel("accuracy in the adaptive worst case, %")
    axes.set_ylim(0, 102)
    axes.grid(lw=0.4)
    axes.legend(fontsize=8, loc="lower left")
    save(figure, output / "headline_radii.png")
