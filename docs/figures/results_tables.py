"""Tables of `docs/results.md` and the README's headline, from results files.

    python -m benchmarks.headline
    python -m benchmarks.headline_bracket
    python -m benchmarks.full_suite
    python -m benchmarks.radii
    python -m benchmarks.cohort_size
    python -m docs.figures.results_tables

Writes them between the marks in the pages, and draws
`docs/images/headline.png` and `headline_radii.png`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from docs.figures.page_tables import DOCS, read_results, table, with_interval, write
from docs.figures.results_cohort import cohort_table
from docs.figures.results_cost import (
    cost_table,
    equal_cost_sentence,
    hours_sentence,
)
from docs.figures.results_figure import draw_headline
from docs.figures.results_radii import draw_radii, radii_table, trained_table
from docs.figures.results_real import real_table, tuned_table
from docs.figures.results_targets import targets_table
from docs.figures.results_tried import tried_table
from docs.figures.results_verdict import ends, points, verdict

PAGE, README = DOCS / "results.md", DOCS.parent / "README.md"
Rows = Sequence[Mapping[str, Any]]
_PROTOCOLS = ("clean", "graybox", "adaptive")
_NAMES = {
    "none": "as they are", "fgsm": "FGSM", "pgd": "PGD", "apgd": "APGD", "cw": "C&W",
    "twin": "twin", "template": "template", "signed_score": "signed score",
    "subband": "approximation band", "details": "detail bands", "fab": "FAB",
    "fmn": "FMN", "threshold_estimator": "threshold estimator",
    "threshold_crossing": "threshold crossing", "warm_starts": "warm starts",
    "coarse": "coarse search", "square_blocks": "Square in blocks",
    "square": "Square", "noise": "noise", "worst_case": "worst case",
}  # fmt: skip
_ARMS = {
    "undefended": "undefended", "denoise_frozen": "denoiser before it",
    "denoise": "trained behind denoiser", "adversarial": "adversarial",
    "wbad": "WBAD", "lesion_map": "best: lesion map",
    "large": "wider, 4,000 patients",
}  # fmt: skip
_BEST = "lesion_map"
_SHORT = (
    ("clean", "none", None), ("graybox", "fgsm", "linf"), ("graybox", "pgd", "linf"),
    ("graybox", "cw", "l2"), ("adaptive", "pgd", "linf"), ("adaptive", "cw", "l2"),
    ("graybox", "worst_case", "linf"), ("adaptive", "worst_case", "linf"),
)  # fmt: skip


def page_tables() -> dict[str, str]:
    """The tables of the page by the name of their mark."""
    report, bracket = read_results("headline"), read_results("headline_bracket")
    trained = read_results("training_cost")["rows"]
    real = read_results("dmr_ir_transfer")["sets"]
    return {
        "all": accuracy_table(report["rows"], conditions_of(report["rows"])),
        "targets": targets_table(report, bracket),
        "scan": scan_sentence(certified_of(bracket)),
        "radii": radii_section(report, bracket["rows"]),
        "trained": trained_table(networks_of(report), bracket["rows"], _BEST),
        "cohort": cohort_table(read_results("cohort_size")["rows"]),
        "cost": cost_table(trained, report["attack_minutes"], _ARMS),
        "hours": hours_sentence(trained, report["attack_minutes"]),
        "equal": equal_cost_sentence(report["equal_cost"]),
        "sides": sides_table(report["rows"]),
        "endpoints": endpoints_table(report),
        "full": full_section(read_results("full_suite")),
        "tried": tried_table(read_results("defences")["rows"]),
        **{f"real_{each['name']}": real_table(each["rows"]) for each in real},
        "tuned": tuned_table(real),
    }


def readme_tables() -> dict[str, str]:
    """Those in the README."""
    report = read_results("headline")
    return {
        "headline": accuracy_table(report["rows"], _SHORT),
        "verdict": verdict(report),
    }


def conditions_of(rows: Rows) -> list[tuple]:
    """Protocol, attack and norm of all rows: clean first, worst cases last."""
    found = dict.fromkeys((r["protocol"], r["attack"], r["norm"]) for r in rows)

    def place(condition):
        protocol, attack, norm = condition
        return (
            _PROTOCOLS.index(protocol), norm == "l2", attack == "worst_case",
            list(_NAMES).index(attack) if attack in _NAMES else 99,
        )  # fmt: skip

    return sorted(found, key=place)


def accuracy_table(rows: Rows, conditions: Sequence[tuple]) -> str:
    """One line a condition, one column an arm: accuracy in % with its interval."""
    arms = [arm for arm in _ARMS if any(row["arm"] == arm for row in rows)]
    cells = []
    for condition in conditions:
        own = {
            row["arm"]: row
            for row in rows
            if (row["protocol"], row["attack"], row["norm"]) == condition
        }
        line = [_called(condition)]
        line += [_accuracy(own[arm]) if arm in own else "-" for arm in arms]
        cells.append(line)
    return table(["accuracy in % [95 %]", *_heads(rows, arms)], cells)


def _heads(rows: Rows, arms: Sequence[str]) -> list[str]:
    """Names of the arms, with the number of seeds where one has fewer."""
    seeds = {row["arm"]: row["seeds"] for row in rows}
    most = max(seeds.values())
    return [
        _ARMS[arm] + (f" ({seeds[arm]} of {most} seeds)" if seeds[arm] < most else "")
        for arm in arms
    ]


def certified_of(bracket: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the linear scan is certified for at the headline's radius."""
    (row,) = (row for row in bracket["rows"] if row["multiple"] == 1)
    return row["certified"]


def networks_of(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Networks of the better defence by their radius, those for several radii last."""
    trained = report["config"]["attack"]["epsilon_celsius"]
    own = {"trained_celsius": [trained] * 2, "rows": report["radii"]["rows"]}
    networks = [own, *read_results("radii")["networks"]]
    return sorted(
        networks, key=lambda n: (len({*n["trained_celsius"]}), n["trained_celsius"])
    )


def radii_section(report: Mapping[str, Any], bracket: Rows) -> str:
    """Accuracy at other radii, where it was measured."""
    radii = report.get("radii")
    if not radii:
        return "Other radii have not been measured yet.\n"
    return radii_table(radii["rows"], bracket, _ARMS, (_BEST, "large"))


def scan_sentence(row: Mapping[str, Any]) -> str:
    """What the linear scan is certified for."""
    sides = [100 * row[name] for name in ("sensitivity", "specificity")]
    return (
        f"A linear scan of the same images, fitted to the same training patients, is "
        f"certified for {with_interval(row)} %\n(sensitivity {sides[0]:.1f}, "
        f"specificity {sides[1]:.1f}), whatever the attack.\n"
    )


def sides_table(rows: Rows) -> str:
    """Sensitivity and specificity, clean and in the worst case."""
    cells = []
    for arm, name in _ARMS.items():
        for row in rows:
            where = (row["protocol"], row["attack"], row["norm"])
            if row["arm"] == arm and where in (_SHORT[0], *_SHORT[-2:]):
                sides = (row["sensitivity"], row["specificity"])
                cells.append([name, _called(where), *(f"{100 * s:.1f}" for s in sides)])
    return table(["arm", "images", "sensitivity, %", "specificity, %"], cells)


def endpoints_table(report: Mapping[str, Any]) -> str:
    """The registered differences, in points."""
    primary = [("primary", report["primary"])] if report["primary"] else []
    secondary = [("secondary", each) for each in report["secondary"]]
    cells = []
    for kind, each in (*primary, *secondary):
        condition = (each["protocol"], each["attack"], each["norm"])
        p_value = each["p_value"] if kind == "primary" else each["p_holm"]
        cells.append(
            [
                kind,
                f"{_ARMS[each['arm']]} - {_ARMS[each['reference']]}",
                _called(condition),
                points(each),
                f"{p_value:.4f}",
            ]
        )
    head = ["endpoint", "difference", "images", "points [95 %]", "p"]
    return table(head, cells)


def full_section(full: Mapping[str, Any]) -> str:
    """What the full suite leaves of each arm, and the registered differences."""
    lines = accuracy_table(full["rows"], conditions_of(full["rows"]))
    return f"{lines}\n{endpoints_table(full)}"


def _called(condition: tuple) -> str:
    protocol, attack, norm = condition
    name = _NAMES.get(attack, attack.replace("_", " "))
    if protocol == "clean":
        return "clean"
    inside = " in L2" if norm == "l2" else ""
    text = f"{name}{inside}, {protocol}"
    return f"**{text}**" if attack == "worst_case" else text


def _accuracy(row: Mapping[str, Any]) -> str:
    low, high = ends(row, "")
    return f"{100 * row['accuracy']:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def main() -> None:
    """Writes the tables into both pages, and draws the figure."""
    write(PAGE, page_tables())
    write(README, readme_tables())
    report, bracket = read_results("headline"), read_results("headline_bracket")
    certified = certified_of(bracket)["accuracy"]
    draw_headline(report["rows"], _ARMS, certified, DOCS / "images")
    if "radii" in report:
        draw_radii(report["radii"]["rows"], bracket["rows"], _ARMS, DOCS / "images")


if __name__ == "__main__":
    main()
