"""What was wanted of the headline experiment, beside what was measured."""

from collections.abc import Mapping
from typing import Any

from docs.figures.page_tables import table
from docs.figures.results_radii import accuracy_at, skills
from docs.figures.results_verdict import same

_CLEAN = ("clean", "none", None)
_WORST = ("adaptive", "worst_case", "linf")
# Name, arm, condition, at least (1) or at most (-1), wanted.
_ACCURACIES = (
    ("undefended, clean", "undefended", _CLEAN, 1, 0.92),
    ("undefended, PGD", "undefended", ("adaptive", "pgd", "linf"), -1, 0.05),
    ("undefended, C&W in L2", "undefended", ("adaptive", "cw", "l2"), -1, 0.05),
    ("WBAD, clean", "wbad", _CLEAN, 1, 0.92),
    ("WBAD, FGSM in graybox", "wbad", ("graybox", "fgsm", "linf"), 1, 0.98),
    ("WBAD, PGD in graybox", "wbad", ("graybox", "pgd", "linf"), 1, 0.93),
    ("WBAD, C&W in graybox", "wbad", ("graybox", "cw", "l2"), 1, 0.90),
)  # fmt: skip
_BEST = "lesion_map"
_SKILLED = {_BEST: "best", "large": "best with more patients"}
_RESOLVED, _SKILL, _SMALLEST_SKILL, _AHEAD = 0.9, 0.8, 0.9, 0.05


def targets_table(report: Mapping[str, Any], bracket: Mapping[str, Any]) -> str:
    """One line a target.

    Args:
        report: Of `benchmarks.headline`.
        bracket: Of `benchmarks.headline_bracket`.
    """
    accuracy = {
        (row["arm"], row["protocol"], row["attack"], row["norm"]): row["accuracy"]
        for row in report["rows"]
    }
    lines = [
        _line(f"{name}, %", accuracy[arm, *condition], side, wanted)
        for name, arm, condition, side, wanted in _ACCURACIES
    ]
    best = accuracy[_BEST, *_WORST]
    lines += _resolved(best, bracket)
    radii = report.get("radii", {})
    lines += _over_radii(radii.get("rows", ()), bracket["rows"])
    # Paired where seeds are missing: of those that both have.
    paired = [e["difference"] for e in report.get("secondary", ()) if e["arm"] == _BEST]
    ahead = paired[0] if paired else best - accuracy["adversarial", *_WORST]
    lines.append(_line("best minus adversarial, points", ahead, 1, _AHEAD))
    lines += _more_patients(radii.get("large_minus", ()), bracket["rows"])
    return table(["", "wanted", "measured", "reached"], lines)


def _resolved(best: float, bracket: Mapping[str, Any]) -> list[list[str]]:
    """The better defence on resolvable patients, where those are all."""
    (headline,) = (row for row in bracket["rows"] if row["multiple"] == 1)
    certified, informed = headline["certified"]["accuracy"], headline["informed"]
    lines = [_line("best, adaptive, no less than certified A, %", best, 1, certified)]
    if informed["resolvable"] == informed["patients"]:
        name = "best, adaptive, on resolvable patients (here all), %"
        lines.append(_line(name, best, 1, _RESOLVED))
    return lines


def _more_patients(differences, bracket) -> list[list[str]]:
    """What it is ahead of adversarial training, at the headline's radius."""
    (epsilon,) = (row["epsilon"] for row in bracket if row["multiple"] == 1)
    return [
        _line(f"{_SKILLED['large']} minus adversarial, points",
              each["difference"], 1, _AHEAD)
        for each in differences
        if each["reference"] == "adversarial"
        and same(each["epsilon"], epsilon)
    ]  # fmt: skip


def _over_radii(rows, bracket) -> list[list[str]]:
    lines = []
    for arm, name in _SKILLED.items():
        known = list(skills(rows, bracket, arm).values())
        margins = [
            row["accuracy"] - each["certified"]["accuracy"]
            for each in bracket
            if (row := accuracy_at(rows, arm, each["epsilon"])) is not None
        ]
        if not margins:
            continue
        mean = sum(known) / len(known)
        lines += [
            _line(f"skill of {name}, smallest radius, %", known[0], 1, _SMALLEST_SKILL),
            _line(f"skill of {name}, mean of {len(known)} radii, %", mean, 1, _SKILL),
            _line(f"{name} minus certified A, least of all radii, points",
                  min(margins), 1, 0.0),
        ]  # fmt: skip
    return lines


def _line(name: str, value: float, side: int, wanted: float) -> list[str]:
    bound = f"{'at least' if side > 0 else 'at most'} {100 * wanted:.1f}"
    return [
        name,
        bound,
        f"{100 * value:.1f}",
        "yes" if side * value >= side * wanted else "no",
    ]
