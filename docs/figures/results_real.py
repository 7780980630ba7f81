"""Networks on real thermograms: from scratch, as released and tuned, and baselines."""

from collections.abc import Mapping, Sequence
from typing import Any

from docs.figures.page_tables import table, with_interval
from docs.figures.results_verdict import points

_SUFFIXES = {
    "": "from scratch",
    "_as_released": "trained on simulated patients alone",
    "_tuned": "tuned from there",
}
_BASELINE = "baseline:"


def real_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """One line an arm or trivial baseline.

    Args:
        rows: Of one set in `benchmarks/results/dmr_ir_transfer.json`.
    """
    cells = [
        [
            called(row["arm"]),
            with_interval(row["clean"]),
            _area(row["clean"]),
            with_interval(row["adaptive"]) if "adaptive" in row else "-",
        ]
        for row in rows
    ]
    head = ["", "clean, % [95 %]", "area under the curve [95 %]", "adaptive, % [95 %]"]
    return table(head, cells)


def tuned_table(sets: Sequence[Mapping[str, Any]]) -> str:
    """Paired differences of tuned arms to those from scratch, in points.

    Args:
        sets: Of `benchmarks/results/dmr_ir_transfer.json`.
    """
    cells = [
        [
            row["arm"].removesuffix("_tuned"),
            {"all": "all women", "era": "within the era"}[each["name"]],
            row["protocol"],
            points(row),
            f"{row['p_value']:.4f}",
        ]
        for each in sets
        for row in each["tuned_minus_scratch"]
    ]
    head = ["tuned minus from scratch", "", "images", "points [95 %]", "p"]
    return table(head, cells)


def called(arm: str) -> str:
    """The name of an arm in words."""
    if arm.startswith(_BASELINE):
        return f"from {arm.removeprefix(_BASELINE).replace('_', ' ')} alone"
    for suffix, words in sorted(_SUFFIXES.items(), reverse=True):
        if suffix and arm.endswith(suffix):
            return f"{arm.removesuffix(suffix)}, {words}"
    return f"{arm}, {_SUFFIXES['']}"


def _area(row: Mapping[str, Any]) -> str:
    if row["auc"] is None:
        return "-"
    return f"{row['auc']:.2f} [{row['auc_low']:.2f}, {row['auc_high']:.2f}]"
