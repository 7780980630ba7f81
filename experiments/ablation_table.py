"""Accuracy of the runs of a sweep, with intervals and differences to a reference.

Of each example the mean over seeds is taken first. Intervals resample patients, since
images of one patient fall together, and hold for these seeds: the spread over seeds
stands beside them. The `crossed` intervals hold for other seeds too, see
`evaluation.crossed_variance`; with few seeds they are wide. Differences are paired: the
same patients and the same seeds in both runs. Their p-values flip the signs of the
patients' differences, and `p_holm` corrects for the number of runs compared under one
condition (Holm 1979).
"""

import csv
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.whole_files import write_json
from wbad_jax import evaluation
from wbad_jax.evaluation import Outcome

Row = dict[str, Any]
_CONDITION = ("arm", "set", "protocol", "attack", "norm", "epsilon")
COLUMNS: tuple[str, ...] = (
    "run", "seeds", *_CONDITION, "n", "patients", "accuracy", "ci_low", "ci_high",
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


class Scores(NamedTuple):
    """Whether the decisions under one condition are right, in all seeds of a run.

    Attributes:
        correct: `[seeds, n]`.
        seeds: Of the rows of `correct`.
        patients: `[n]`, to whom the examples belong.
        examples: `[n]`, their names.
    """

    correct: np.ndarray
    seeds: tuple[int, ...]
    patients: np.ndarray
    examples: np.ndarray

    def of(self, seeds: Sequence[int]) -> np.ndarray:
        """Some of the seeds, `[seeds, n]`."""
        return self.correct[[self.seeds.index(seed) for seed in seeds]]


def table(runs: Mapping[str, Sequence[list[Outcome]]], reference: str) -> list[Row]:
    """One row for each run and condition.

    Args:
        runs: Outcomes of each seed, by run.
        reference: Run that the others are compared with; it may be missing.

    Returns:
        Rows with the fields `COLUMNS`; differences are None for the reference, and
        where it has no such condition, other examples or no seed in common.
    """
    scores = {name: _by_condition(seeds) for name, seeds in runs.items()}
    known = scores.get(reference, {})
    rows = [
        dict.fromkeys(COLUMNS)
        | {"run": name, **dict(zip(_CONDITION, condition, strict=True))}
        | _accuracy(own)
        | ({} if name == reference else _difference(own, known.get(condition)))
        for name, conditions in scores.items()
        for condition, own in conditions.items()
    ]
    for condition in {_condition(row): None for row in rows}:
        compared = [r for r in rows if _condition(r) == condition]
        _correct_for_multiplicity([r for r in compared if r["p_value"] is not None])
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
    return tuple(row[field] for field in _CONDITION)


def _by_condition(seeds: Sequence[list[Outcome]]) -> dict[tuple, Scores]:
    """Scores of the conditions that all seeds have, worst cases among them.

    Where a seed has several surrogates, each example gets its mean over them.
    """
    found: dict[tuple, list[list[Outcome]]] = {}
    for number, outcomes in enumerate(seeds):
        for outcome in evaluation.add_worst_cases(outcomes):
            c = outcome.condition
            if c.set == evaluation.VALIDATION:
                continue
            # Twice 0.1 and once 0.2 are one radius.
            epsilon = None if c.epsilon is None else float(f"{c.epsilon:.9g}")
            key = (c.arm, c.set, c.protocol, c.attack, c.norm, epsilon)
            of_seeds = found.setdefault(key, [[] for _ in seeds])
            of_seeds[number].append(outcome)
    return {
        key: Scores(
            np.stack([np.mean([o.correct for o in of], axis=0) for of in own]),
            tuple(of[0].condition.seed for of in own),
            own[0][0].patient_ids,
            own[0][0].example_ids,
        )
        for key, own in found.items()
        if all(own) and _same_examples([outcome for of in own for outcome in of])
    }


def _same_examples(outcomes: Sequence[Outcome]) -> bool:
    first = outcomes[0].example_ids
    return all(np.array_equal(other.example_ids, first) for other in outcomes)


def _accuracy(own: Scores) -> Row:
    low, high = evaluation.bootstrap_interval(own.correct.mean(axis=0), own.patients)
    patients = len(np.unique(own.patients))
    accuracies = own.correct.mean(axis=1)
    if own.correct.min() == own.correct.max():  # drawn anew, they are the same
        successes = patients if own.correct.all() else 0
        low, high = evaluation.wilson_interval(successes, patients)
    return {
        "seeds": len(accuracies),
        "n": own.correct.shape[1],
        "patients": patients,
        "accuracy": float(accuracies.mean()),
        "ci_low": low,
        "ci_high": high,
        "seed_std": float(accuracies.std(ddof=1)) if len(accuracies) > 1 else None,
        **_crossed("", own.correct, own.patients),
    }


def _difference(own: Scores, reference: Scores | None) -> Row:
    """Mean difference with its interval; nothing where the two do not pair."""
    if reference is None or not np.array_equal(own.examples, reference.examples):
        return {}
    seeds = [seed for seed in own.seeds if seed in reference.seeds]
    if not seeds:
        return {}
    change = own.of(seeds) - reference.of(seeds)
    mean = change.mean(axis=0)
    low, high = evaluation.paired_interval(mean, own.patients)
    sums, _ = evaluation.sums_by_patient(mean, own.patients)
    return {
        "difference": float(mean.mean()),
        "difference_low": low,
        "difference_high": high,
        "difference_seeds": len(seeds),
        "p_value": evaluation.sign_flip(sums),
        **_crossed("difference_", change, own.patients),
    }


def _crossed(prefix: str, scores: np.ndarray, patients: np.ndarray) -> Row:
    """Interval for new seeds as well, and the parts of the variance."""
    if len(scores) < 2 or len(np.unique(patients)) < 2:
        return {}
    crossed = evaluation.crossed_variance(scores, patients)
    return {
        f"{prefix}crossed_low": crossed.low,
        f"{prefix}crossed_high": crossed.high,
        f"{prefix}variance_seed": crossed.seed,
        f"{prefix}variance_patient": crossed.patient,
        f"{prefix}variance_rest": crossed.rest,
    }


def _correct_for_multiplicity(rows: Sequence[Row]) -> None:
    """Fill in `p_holm` of the runs compared under one condition."""
    corrected = evaluation.holm([row["p_value"] for row in rows])
    for row, p_value in zip(rows, corrected, strict=True):
        row["p_holm"] = p_value
