"""What came out of the headline experiment, in words made from its results file."""

import math
from collections.abc import Mapping
from typing import Any

# From so many on the spread between seeds is known well enough for an interval.
_SEEDS = 3


def verdict(report: Mapping[str, Any]) -> str:
    """A few lines of Markdown.

    Args:
        report: What `benchmarks.headline` wrote.
    """
    worst = {
        (row["arm"], row["protocol"]): f"{100 * row['accuracy']:.1f} %"
        for row in report["rows"]
        if (row["attack"], row["norm"]) == ("worst_case", "linf")
    }

    def both(arm: str) -> str:
        return f"{worst[arm, 'graybox']} in graybox, {worst[arm, 'adaptive']} adaptive"

    lines = [
        f"- A denoiser before the undefended network: {both('denoise_frozen')}.",
        f"- WBAD: {both('wbad')}.",
        f"- Plain adversarial training: {both('adversarial')}.",
        f"- WBAD minus adversarial training, adaptive: {told(report['primary'])}.",
    ]
    for each in report["secondary"]:
        if each["arm"] == "lesion_map":
            lines += [
                "- A network that predicts the lesion, taught by twins: "
                f"{both('lesion_map')}.",
                f"- That minus adversarial training, adaptive: {told(each)}.",
            ]
    lines += _with_more_patients(report)
    patients = report["rows"][0]["patients"]
    lines.append(
        f"\nWorst case over the Linf attacks of the protocol; {patients:,} patients, "
        f"{_seeds(report)}."
    )
    return "\n".join(lines) + "\n"


def _with_more_patients(report: Mapping[str, Any]) -> list[str]:
    """The wider network at the headline's radius, where it was measured."""
    radii = report.get("radii")
    if not radii:
        return []
    (epsilon,) = {row["epsilon"] for row in report["rows"] if row["norm"] == "linf"}
    accuracy = {
        row["arm"]: row["accuracy"]
        for row in radii["rows"]
        if row["attack"] == "worst_case" and same(row["epsilon"], epsilon)
    }
    return [
        "- That network, twice as wide and with 4,000 patients (one seed, two "
        f"attacks): {100 * accuracy['large']:.1f} % adaptive; minus adversarial "
        f"training: {told(each)}."
        for each in radii["large_minus"]
        if each["reference"] == "adversarial" and same(each["epsilon"], epsilon)
    ]


def same(first: float, second: float) -> bool:
    """Whether two radii are one."""
    return math.isclose(first, second, rel_tol=1e-6)


def _seeds(report: Mapping[str, Any]) -> str:
    """How many trainings the numbers are means of."""
    of_arm = {row["arm"]: row["seeds"] for row in report["rows"]}
    most, best = max(of_arm.values()), of_arm.get("lesion_map")
    text = f"{most} training seed{'s' * (most > 1)}"
    if best is not None and best < most:
        text += f", {best} of the network that predicts the lesion"
    return text


def told(each: Mapping[str, Any]) -> str:
    """A difference in points, and whether its interval excludes 0."""
    low, high = ends(each, "difference_")
    side = "more" if low > 0 else "less" if high < 0 else "no difference shown"
    return f"{points(each)} points, {side}"


def points(each: Mapping[str, Any]) -> str:
    """A difference and its interval, in points."""
    values = (each["difference"], *ends(each, "difference_"))
    difference, low, high = (f"{100 * value:+.1f}" for value in values)
    return f"{difference} [{low}, {high}]"


def ends(row: Mapping[str, Any], prefix: str) -> tuple[float, float]:
    """The interval over seeds and patients, or over patients where seeds are few.

    Args:
        row: Of accuracies or differences.
        prefix: "" or "difference_".
    """
    if row[f"{prefix}seeds"] >= _SEEDS:
        low, high = row[f"{prefix}crossed_low"], row[f"{prefix}crossed_high"]
    else:
        plain = prefix or "ci_"
        low, high = row[f"{plain}low"], row[f"{plain}high"]
    return (low, high) if prefix else (max(low, 0.0), min(high, 1.0))
