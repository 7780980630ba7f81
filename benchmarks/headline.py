"""Gathers the headline sweep into one results file, with the registered endpoints.

    python -m experiments.ablate --config=configs/sweeps/headline.py
    python -m benchmarks.headline --sweep=runs/headline

Runs in `arms_full` and `best_full`, copies of those in `arms` and `best` evaluated
again with the full suite, are gathered beside them as `full`.

Writes `benchmarks/results/headline.json`: accuracy, sensitivity and specificity of
every arm under every attack, mean over seeds, with intervals over seeds and patients
crossed; and the paired differences that `docs/preregistration.md` names, secondary ones
corrected by Holm; and what a linear scan, fitted to the same training patients, is
certified to keep on the same images. `python -m docs.figures.results_tables` then
writes the tables.
"""

import contextlib
import json
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.measure import write_sweep_report
from experiments import cohort, sweep_scores
from experiments.bracket import pairs_of
from experiments.run_folder import load_config
from experiments.sweep_scores import Scores
from wbad_jax import evaluation
from wbad_jax.evaluation import Outcome

RESULTS = pathlib.Path(__file__).parent / "results" / "headline.json"
PRIMARY = {
    "arm": "wbad", "reference": "adversarial", "protocol": "adaptive",
    "attack": "worst_case", "norm": "linf",
}  # fmt: skip
_GRAYBOX = {"arm": "wbad", "reference": "undefended", "protocol": "graybox"}
SECONDARY = (
    {**_GRAYBOX, "attack": "fgsm", "norm": "linf"},
    {**_GRAYBOX, "attack": "pgd", "norm": "linf"},
    {**_GRAYBOX, "attack": "cw", "norm": "l2"},
    {**PRIMARY, "arm": "lesion_map"},
)
RUNS, FULL_RUNS = ("arms", "best"), ("arms_full", "best_full")
_NAMED = ("protocol", "attack", "norm")
Seeds = Mapping[int, Sequence[Outcome]]


def gather(sweep: pathlib.Path, runs: Sequence[str] = RUNS) -> dict[int, list[Outcome]]:
    """Outcomes of the arms and of the better defence, by seed.

    Raises:
        FileNotFoundError: If nothing is finished.
    """
    found: dict[int, list[Outcome]] = {}
    for run in runs:
        for path in sorted(sweep.glob(f"{run}/seed*/predictions.parquet")):
            seed = int(path.parent.name.removeprefix("seed"))
            found.setdefault(seed, []).extend(evaluation.read_parquet(path))
    if not found:
        raise FileNotFoundError(f"{sweep} has no finished run.")
    return dict(sorted(found.items()))


def scores_of_arms(outcomes: Seeds) -> dict[str, dict[tuple, Scores]]:
    """Scores of each arm by condition, of the seeds that have the arm."""
    arms = [outcome.condition.arm for own in outcomes.values() for outcome in own]
    found = {}
    for arm in dict.fromkeys(arms):
        seeds = [
            [outcome for outcome in own if outcome.condition.arm == arm]
            for own in outcomes.values()
        ]
        found[arm] = sweep_scores.by_condition([own for own in seeds if own])
    return found


def arm_rows(
    scores: Mapping[str, Mapping[tuple, Scores]], labels: np.ndarray
) -> list[dict[str, Any]]:
    """One row an arm and condition; `labels` are those of the test images."""
    rows = []
    for by_condition in scores.values():
        for condition, own in by_condition.items():
            mean = own.correct.mean(axis=0)
            rows.append(
                dict(zip(sweep_scores.CONDITION, condition, strict=True))
                | sweep_scores.accuracy_of(own)
                | {
                    "sensitivity": float(mean[labels == 1].mean()),
                    "specificity": float(mean[labels == 0].mean()),
                }
            )
    return rows


def endpoint(
    scores: Mapping[str, Mapping[tuple, Scores]], wanted: Mapping[str, str]
) -> dict[str, Any] | None:
    """A paired difference of two arms; None where it was not measured."""
    sides = []
    for arm in (wanted["arm"], wanted["reference"]):
        chosen = [
            own
            for condition, own in scores.get(arm, {}).items()
            if condition[1:5] == ("test", *(wanted[name] for name in _NAMED))
        ]
        sides += chosen[:1]  # the headline radius is evaluated first
    if len(sides) < 2:
        return None
    return {**wanted} | sweep_scores.difference_of(sides[0], sides[1])


def _labels(seeds: Seeds) -> np.ndarray:
    return next(
        outcome.labels
        for outcome in next(iter(seeds.values()))
        if outcome.condition.set == "test"
    )


def linear_scan(workdir: pathlib.Path) -> dict[str, Any]:
    """What the scanning observer certifies on the test images of a run.

    Args:
        workdir: Of a run on simulated patients, for data and radius.
    """
    config = load_config(workdir)
    (fold,) = cohort.make_folds(config, cohort.load(config))
    pairs = pairs_of(fold.train, np.arange(len(fold.train)))
    epsilon = fold.budgets["linf"]
    (observer,) = evaluation.fit_scanning_observers(
        pairs.healthy, pairs.tumour, pairs.body, [epsilon]
    )
    test = fold.test
    right = observer.certify(test.images[..., 0], test.labels, epsilon)
    accuracy, low, high = evaluation.certified_accuracy(right)
    return {
        "epsilon": epsilon,
        "n": len(right),
        "accuracy": accuracy,
        "ci_low": low,
        "ci_high": high,
        "sensitivity": float(right[test.labels == 1].mean()),
        "specificity": float(right[test.labels == 0].mean()),
    }


def report_of(sweep: pathlib.Path) -> dict[str, Any]:
    """The results file, without the linear scan."""
    first = _first(sweep)
    record = json.loads((first / "config.json").read_text("utf-8"))
    report = {
        "command": "python -m experiments.ablate --config=configs/sweeps/headline.py",
        "commit": record["commit"],
        "config": record["config"],
        **_summary(gather(sweep)),
    }
    with contextlib.suppress(FileNotFoundError):  # not run yet
        report["full"] = _summary(gather(sweep, FULL_RUNS))
    return report


def _first(sweep: pathlib.Path) -> pathlib.Path:
    found = sorted(sweep.glob("arms/seed*"))
    if not found:
        raise FileNotFoundError(f"{sweep} has no finished run.")
    return found[0]


def _summary(outcomes: Seeds) -> dict[str, Any]:
    """Rows and endpoints of some runs."""
    scores = scores_of_arms(outcomes)
    secondary = [endpoint(scores, wanted) for wanted in SECONDARY]
    measured = [found for found in secondary if found is not None]
    sweep_scores.correct_for_multiplicity(measured)
    return {
        "seeds": list(outcomes),
        "rows": arm_rows(scores, _labels(outcomes)),
        "primary": endpoint(scores, PRIMARY),
        "secondary": measured,
    }


def whole_report(sweep: pathlib.Path) -> dict[str, Any]:
    """The results file, with the linear scan."""
    return {**report_of(sweep), "certified": linear_scan(_first(sweep))}


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the JSON file."""
    return write_sweep_report(
        __doc__ or "", whole_report, "runs/headline", RESULTS, argv
    )


if __name__ == "__main__":
    sys.exit(main())
