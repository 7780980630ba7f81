"""Accuracy of the runs of a sweep, with intervals and differences to a reference.

What the numbers mean is in `sweep_scores.py`. P-values of differences flip the signs of
the patients' differences, and `p_holm` corrects for the number of runs compared under
one condition (Holm 1979).
"""

import csv
import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from experiments.sweep_scores import (
    CONDITION,
    Row,
    accuracy_of,
    by_condition,
    correct_for_multiplicity,
    difference_of,
)
from experiments.whole_files import write_json
from wbad_jax import evaluation
from wbad_jax.evaluation import Outcome

COLUMNS: tuple[str, ...] = (
    "run", "seeds", *CONDITION, "n", "patients", "accuracy", "ci_low", "ci_high",
    "seed_std", "difference", "difference_low", "difference_high", "difference_seeds",
    "p_value", "p_holm",
    *(
        f"{prefix}{name}"
        for prefix in ("", "difference_")
        for name in (
            "crossed_low", "crossed_high", "variance_seed", "variance_patient",
            "variance_rest",
        )
    ),
)  # fmt: skip


class Shown(NamedTuple):
    """What the terminal and the figure show, of what the files hold.

    Attributes:
        arms: All if empty.
        attacks: Beside the clean images.
    """

    arms: Sequence[str] = ()
    attacks: Sequence[str] = ("worst_case",)

    def of(self, rows: Sequence[Row]) -> list[Row]:
        """Those rows, of the test set."""
        return [
            row
            for row in rows
            if row["set"] == "test"
            and (not self.arms or row["arm"] in self.arms)
            and row["attack"] in ("none", *self.attacks)
        ]


def table(runs: Mapping[str, Sequence[list[Outcome]]], reference: str) -> list[Row]:
    """One row for each run and condition.

    Args:
        runs: Outcomes of each seed, by run.
        reference: Run that the others are compared with; it may be missing.

    Returns:
        Rows with the fields `COLUMNS`; differences are None for the reference, and
        where it has no such condition, other examples or no seed in common.
    """
    scores = {name: by_condition(seeds) for name, seeds in runs.items()}
    known = scores.get(reference, {})
    rows = [
        dict.fromkeys(COLUMNS)
        | {"run": name, **dict(zip(CONDITION, condition, strict=True))}
        | accuracy_of(own)
        | ({} if name == reference else difference_of(own, known.get(condition)))
        for name, conditions in scores.items()
        for condition, own in conditions.items()
    ]
    for condition in {_condition(row): None for row in rows}:
        compared = [r for r in rows if _condition(r) == condition]
        correct_for_multiplicity([r for r in compared if r["p_value"] is not None])
    return rows


def write(
    runs: Mapping[str, Sequence[pathlib.Path]],
    *,
    reference: str,
    failed: Mapping[str, str],
    waiting: Sequence[str],
    workdir: pathlib.Path,
) -> list[Row]:
    """Write `ablation.json` and `.csv`.

    Args:
        runs: Folders of the finished seeds of each run.
        reference: Run that the others are compared with.
        failed: Why, by run.
        waiting: Runs that have not been tried.
        workdir: Where to write.

    Returns:
        The rows of both.
    """
    outcomes = {
        name: [evaluation.read_parquet(f / "predictions.parquet") for f in folders]
        for name, folders in runs.items()
    }
    rows = table(outcomes, reference)
    record = {
        "reference": reference,
        "rows": rows,
        "failed": dict(failed),
        "waiting": list(waiting),
    }
    write_json(record, workdir / "ablation.json")
    _write_csv(rows, workdir / "ablation.csv")
    return rows


def describe(
    rows: Sequence[Row],
    reference: str,
    failed: Mapping[str, str],
    waiting: Sequence[str] = (),
) -> str:
    """A table for the terminal, accuracies in percent, and the runs not in it."""
    header = (
        "run", "arm", "under", "seeds", "accuracy [95 %]", f"minus {reference} [95 %]",
        "p (Holm)",
    )  # fmt: skip
    lines = [header, *map(_line, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    text = [
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    text += [f"failed: {name}: {last_line(error)}" for name, error in failed.items()]
    if waiting:
        text.append(f"not tried: {', '.join(waiting)}")
    return "\n".join(text)


def last_line(error: str) -> str:
    """The line of a traceback or a log that tells most."""
    lines = error.strip().splitlines()
    return lines[-1].strip() if lines else "unknown"


def condition_name(row: Row) -> str:
    """Such as "adaptive pgd linf 0.0078", or without attack for the worst case."""
    if row["protocol"] == "clean":
        return "clean"
    attack = "" if row["attack"] == "worst_case" else f" {row['attack']}"
    return f"{row['protocol']}{attack} {row['norm']} {row['epsilon']:.4g}"


def _line(row: Row) -> tuple[str, ...]:
    low, high = 100 * row["ci_low"], 100 * row["ci_high"]
    accuracy = f"{100 * row['accuracy']:5.1f} [{low:.1f}, {high:.1f}]"
    difference = p_value = ""
    if row["difference"] is not None:
        low, high = (100 * row[f"difference_{end}"] for end in ("low", "high"))
        difference = f"{100 * row['difference']:+.1f} [{low:+.1f}, {high:+.1f}]"
        p_value = f"{row['p_holm']:.3f}"
    name = condition_name(row)
    return (
        row["run"],
        row["arm"],
        name,
        str(row["seeds"]),
        accuracy,
        difference,
        p_value,
    )


def _write_csv(rows: Sequence[Row], path: pathlib.Path) -> None:
    temporary = path.with_suffix(".csv.tmp")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(path)


def _condition(row: Row) -> tuple:
    return tuple(row[field] for field in CONDITION)
