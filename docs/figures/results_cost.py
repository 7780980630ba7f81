"""What training each arm costs, and the attacks on it, as a table."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from docs.figures.page_tables import table, with_interval
from docs.figures.results_verdict import told

Rows = Sequence[Mapping[str, Any]]


def cost_table(
    rows: Rows,
    minutes: Mapping[str, Mapping[str, Sequence[float]]],
    names: Mapping[str, str],
) -> str:
    """One line an arm: what its training takes, and the attacks on it.

    Args:
        rows: Of `benchmarks/results/training_cost.json`.
        minutes: Of attacks, by arm and protocol, one number a seed.
        names: Of the arms.
    """
    (unit,) = (row["total_cpu_s"] for row in rows if row["arm"] == "adversarial")
    cells = []
    for row in rows:
        attacked = statistics.median(minutes[row["arm"]]["adaptive"])
        start = row["init_from"]
        cells.append(
            [
                names[row["arm"]],
                f"{row['parameters']:,}",
                f"{row['steps']:,}" + (f" after {names[start]}" if start else ""),
                f"{row['step']['cpu_ms']:.0f}",
                f"{row['total_cpu_s']:.0f}",
                f"{row['total_cpu_s'] / unit:.2f}",
                f"{attacked:.0f}",
            ]
        )
    head = ["arm", "parameters", "steps", "a step, CPU-ms", "all, CPU-s"]
    return table([*head, "of adversarial", "adaptive attacks, min"], cells)


def hours_sentence(
    rows: Rows, minutes: Mapping[str, Mapping[str, Sequence[float]]]
) -> str:
    """How long one seed of all arms takes on one core, and of what that is the sum.

    Args:
        rows: Of `benchmarks/results/training_cost.json`.
        minutes: Of attacks, by arm and protocol, one number a seed.
    """
    training = sum(row["steps"] * row["step"]["cpu_ms"] for row in rows) / 60_000
    adaptive = sum(statistics.median(own["adaptive"]) for own in minutes.values())
    # Arms of one run share their graybox images, and have the same minutes.
    runs = {tuple(own["graybox"]) for own in minutes.values()}
    graybox = sum(map(statistics.median, runs))
    hours = (training + adaptive + graybox) / 60
    return (
        f"All arms of one seed: {hours:.1f} hours on one core, of which training takes "
        f"{training:.0f} minutes,\nadaptive attacks {adaptive:.0f} and graybox "
        f"{graybox:.0f}; sums of medians over seeds.\n"
    )


def equal_cost_sentence(report: Mapping[str, Any]) -> str:
    """Adversarial training for as long as the better defence takes.

    Args:
        report: `equal_cost` of `benchmarks/results/headline.json`.
    """
    clean, worst = (
        next(row for row in report["rows"] if row["attack"] == attack)
        for attack in ("none", "worst_case")
    )
    seeds = ", ".join(map(str, report["seeds"]))
    return (
        f"Adversarial training for as long as `best` takes (seed {seeds}) is right on "
        f"{with_interval(clean)} %\nof clean images and keeps {with_interval(worst)} % "
        f"under PGD and APGD; `best`, under its whole suite, minus that:\n"
        f"{told(report['best_minus_it'])}.\n"
    )
