"""What was wanted of the headline experiment, beside what was measured."""

from collections.abc import Mapping
from typing import Any

from docs.figures.page_tables import table

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
    ("best, worst case, adaptive", "lesion_map", _WORST, 1, 0.90),
)  # fmt: skip
_SKILL, _AHEAD = 0.9, 0.05


def targets_table(report: Mapping[str, Any]) -> str:
    """One line a target."""
    accuracy = {
        (row["arm"], row["protocol"], row["attack"], row["norm"]): row["accuracy"]
        for row in report["rows"]
    }
    lines = [
        _line(f"{name}, %", accuracy[arm, *condition], side, wanted)
        for name, arm, condition, side, wanted in _ACCURACIES
    ]
    best = accuracy["lesion_map", *_WORST]
    certified = report["certified"]["accuracy"]
    lines.append(
        _line("best, at least what a scan is certified for, %", best, 1, certified)
    )
    # The ceiling is 1 at this radius, see docs/ceiling.md.
    lines.append(
        _line("skill of best, (accuracy - 1/2) / (1 - 1/2), %", 2 * best - 1, 1, _SKILL)
    )
    ahead = best - accuracy["adversarial", *_WORST]
    lines.append(_line("best minus adversarial, points", ahead, 1, _AHEAD))
    return table(["", "wanted", "measured", "reached"], lines)


def _line(name: str, value: float, side: int, wanted: float) -> list[str]:
    bound = f"{'at least' if side > 0 else 'at most'} {100 * wanted:.1f}"
    return [
        name,
        bound,
        f"{100 * value:.1f}",
        "yes" if side * value >= side * wanted else "no",
    ]
