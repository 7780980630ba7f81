"""Accuracy of the runs of a sweep, with intervals and differences to a reference.

Of each example the mean over seeds is taken first. Intervals resample patients, since
images of one patient fall together, and hold for these seeds: the spread over seeds
stands beside them. Differences are paired: the same patients in both runs.
"""

import csv
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from wbad_jax import evaluation
from wbad_jax.evaluation import Outcome

Row = dict[str, Any]
COLUMNS: tuple[str, ...] = (
    "run", "seeds", "arm", "set", "protocol", "attack", "norm", "epsilon", "n",
    "patients", "accuracy", "ci_low", "ci_high", "seed_std", "difference",
    "difference_low", "difference_high",
)  # fmt: skip
_DRAWS = 2000
_LEVELS = (0.025, 0.975)


class Scores(NamedTuple):
    """Whether the decisions under one condition are right, in all seeds of a run.

    Attributes:
        correct: `[seeds, n]`.
        patients: `[n]`, to whom the examples belong.
        examples: `[n]`, their names.
    """

    correct: np.ndarray
    patients: np.ndarray
    examples: np.ndarray

    @property
    def per_patient(self) -> np.ndarray:
        """Right decisions and examples of each patient, `[patients, 2]`."""
        _, index = np.unique(self.patients, return_inverse=True)
        right = np.bincount(index, self.correct.mean(axis=0))
        return np.stack([right, np.bincount(index)], axis=-1)


def table(runs: Mapping[str, Sequence[list[Outcome]]], reference: str) -> list[Row]:
    """One row for each run and condition.

    Args:
        runs: Outcomes of each seed, by run.
        reference: Run that the others are compared with; it may be missing.

    Returns:
        Rows with the fields `COLUMNS`; differences are None for the reference, and
        where it has no such condition or other examples.
    """
    scores = {name: _by_condition(seeds) for name, seeds in runs.items()}
    known = scores.get(reference, {})
    return [
        _row(name, condition, own, None if name == reference else known.get(condition))
        for name, conditions in scores.items()
        for condition, own in conditions.items()
    ]


def write(
    runs: Mapping[str, Sequence[pathlib.Path]],
    reference: str,
    errors: Mapping[str, str],
    workdir: pathlib.Path,
) -> None:
    """Write `ablation.json` and `.csv` and a figure, and print the table.

    Args:
        runs: Folders of the finished seeds of each run.
        reference: Run that the others are compared with.
        errors: What the failed runs said last.
        workdir: Where to write.
    """
    outcomes = {
        name: [evaluation.read_parquet(f / "predictions.parquet") for f in folders]
        for name, folders in runs.items()
    }
    rows = table(outcomes, reference)
    record = {"reference": reference, "rows": rows, "failed": dict(errors)}
    text = json.dumps(record, indent=1, allow_nan=False) + "\n"
    (workdir / "ablation.json").write_text(text, encoding="utf-8")
    with (workdir / "ablation.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    print(describe(rows, errors))
    if draw(rows, workdir / "ablation.png"):
        print(f"Figure in {workdir / 'ablation.png'}.")


def describe(rows: Sequence[Row], errors: Mapping[str, str]) -> str:
    """A table for the terminal: clean accuracy and worst cases, in percent."""
    lines = [f"{'run':<24}{'arm':<12}{'under':<28}accuracy [95 %]     to the reference"]
    for row in headline(rows):
        low, high = (100 * row[field] for field in ("ci_low", "ci_high"))
        line = f"{row['run']:<24}{row['arm']:<12}{condition_name(row):<28}"
        line += f"{100 * row['accuracy']:5.1f} [{low:.1f}, {high:.1f}]"
        if row["difference"] is not None:
            low, high = (100 * row[f"difference_{end}"] for end in ("low", "high"))
            line += f"   {100 * row['difference']:+.1f} [{low:+.1f}, {high:+.1f}]"
        lines.append(line)
    lines += [f"failed: {name}" for name in errors]
    return "\n".join(lines)


def headline(rows: Sequence[Row]) -> list[Row]:
    """Clean accuracy and worst cases on the test set."""
    return [
        row
        for row in rows
        if row["set"] == "test" and row["attack"] in ("none", "worst_case")
    ]


def condition_name(row: Row) -> str:
    """Such as "adaptive linf 0.0078"."""
    if row["protocol"] == "clean":
        return "clean"
    return f"{row['protocol']} {row['norm']} {row['epsilon']:.4g}"


def draw(rows: Sequence[Row], path: pathlib.Path) -> bool:
    """Accuracies with intervals, one panel an arm; False without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    shown = headline(rows)
    arms = list(dict.fromkeys(row["arm"] for row in shown))
    runs = list(dict.fromkeys(row["run"] for row in shown))
    if not shown:
        return False
    figure = Figure((7, 1.2 + 0.5 * len(runs) * len(arms)), layout="constrained")
    for axes, arm in zip(figure.subplots(len(arms), squeeze=False)[:, 0], arms,
                         strict=True):  # fmt: skip
        own = [row for row in shown if row["arm"] == arm]
        names = list(dict.fromkeys(map(condition_name, own)))
        for number, name in enumerate(names):
            points = [row for row in own if condition_name(row) == name]
            places = [runs.index(r["run"]) + 0.6 * number / len(names) for r in points]
            middle = [row["accuracy"] for row in points]
            errors = [
                [row["accuracy"] - row["ci_low"] for row in points],
                [row["ci_high"] - row["accuracy"] for row in points],
            ]
            axes.errorbar(middle, places, xerr=errors, fmt="o", ms=4, label=name)
        axes.set_yticks(range(len(runs)), runs)
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.set_title(arm, loc="left")
        axes.legend(fontsize="x-small", bbox_to_anchor=(1.01, 1), loc="upper left")
    axes.set_xlabel("accuracy, 95 % over patients")
    figure.savefig(path, dpi=120)
    return True


def _by_condition(seeds: Sequence[list[Outcome]]) -> dict[tuple, Scores]:
    """Scores of the conditions that all seeds have, worst cases among them."""
    found: dict[tuple, list[Outcome]] = {}
    for outcomes in seeds:
        for outcome in evaluation.add_worst_cases(outcomes):
            c = outcome.condition
            key = (c.arm, c.set, c.protocol, c.attack, c.norm, c.epsilon)
            found.setdefault(key, []).append(outcome)
    return {
        key: Scores(
            np.stack([outcome.correct for outcome in own]).astype(float),
            own[0].patient_ids,
            own[0].example_ids,
        )
        for key, own in found.items()
        if len(own) == len(seeds) and _same_examples(own)
    }


def _same_examples(outcomes: Sequence[Outcome]) -> bool:
    first = outcomes[0].example_ids
    return all(np.array_equal(other.example_ids, first) for other in outcomes)


def _row(name: str, condition: tuple, own: Scores, reference: Scores | None) -> Row:
    counts = own.per_patient
    low, high = _interval(counts)
    accuracies = own.correct.mean(axis=1)
    if accuracies.mean() in (0.0, 1.0):  # drawn anew, they are the same
        low, high = evaluation.wilson_interval(
            int(accuracies.mean() * len(counts)), len(counts)
        )
    values = {
        "run": name,
        "seeds": len(accuracies),
        **dict(zip(COLUMNS[2:8], condition, strict=True)),
        "n": own.correct.shape[1],
        "patients": len(counts),
        "accuracy": float(accuracies.mean()),
        "ci_low": low,
        "ci_high": high,
        "seed_std": float(accuracies.std(ddof=1)) if len(accuracies) > 1 else None,
    }
    if reference is None or not np.array_equal(own.examples, reference.examples):
        return {**dict.fromkeys(COLUMNS), **values}
    change = own.correct.mean(axis=0) - reference.correct.mean(axis=0)
    paired = Scores(change[None], own.patients, own.examples).per_patient
    low, high = _interval(paired)
    return values | {
        "difference": float(change.mean()),
        "difference_low": low,
        "difference_high": high,
    }


def _interval(per_patient: np.ndarray) -> tuple[float, float]:
    """Percentiles of the mean over examples when patients are drawn anew."""
    patients = len(per_patient)
    rng = np.random.default_rng(0)
    draws = rng.multinomial(patients, np.full(patients, 1 / patients), size=_DRAWS)
    sums = draws @ per_patient
    low, high = np.quantile(sums[:, 0] / sums[:, 1], _LEVELS)
    return float(low), float(high)
