"""Gathers the headline sweep into one results file, with the registered endpoints.

    python -m experiments.ablate --config=configs/sweeps/headline.py
    python -m benchmarks.headline --sweep=runs/headline

Writes `benchmarks/results/headline.json`: accuracy, sensitivity and specificity of
every arm under every attack, mean over seeds, with intervals over seeds and patients
crossed; and the paired differences that `docs/preregistration.md` names, secondary ones
corrected by Holm. `python -m docs.figures.results_tables` then writes the tables.
"""

import argparse
import json
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.measure import write_report
from experiments import sweep_scores
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
_NAMED = ("protocol", "attack", "norm")
Seeds = Mapping[int, Sequence[Outcome]]


def gather(sweep: pathlib.Path) -> dict[int, list[Outcome]]:
    """Outcomes of the arms and of the better defence, by seed.

    Raises:
        FileNotFoundError: If nothing is finished.
    """
    found: dict[int, list[Outcome]] = {}
    for run in ("arms", "best"):
        for path in sorted(sweep.glob(f"{run}/seed*/predictions.parquet")):
            seed = int(path.parent.name.removeprefix("seed"))
            found.setdefault(seed, []).extend(evaluation.read_parquet(path))
    if not found:
        raise FileNotFoundError(f"{sweep} has no finished run.")
    return dict(sorted(found.items()))


def arm_rows(outcomes: Seeds) -> list[dict[str, Any]]:
    """One row an arm and condition, of the seeds that have the arm."""
    rows = []
    arms = [outcome.condition.arm for own in outcomes.values() for outcome in own]
    for arm in dict.fromkeys(arms):
        seeds = _of_arm(outcomes, arm)
        labels = _labels(seeds)
        by_condition = sweep_scores.by_condition(list(seeds.values()))
        for condition, scores in by_condition.items():
            mean = scores.correct.mean(axis=0)
            rows.append(
                dict(zip(sweep_scores.CONDITION, condition, strict=True))
                | sweep_scores.accuracy_of(scores)
                | {
                    "sensitivity": float(mean[labels == 1].mean()),
                    "specificity": float(mean[labels == 0].mean()),
                }
            )
    return rows


def endpoint(outcomes: Seeds, wanted: Mapping[str, str]) -> dict[str, Any] | None:
    """A paired difference of two arms; None where it was not measured."""
    sides = []
    for arm in (wanted["arm"], wanted["reference"]):
        seeds = list(_of_arm(outcomes, arm).values())
        chosen = [
            scores
            for condition, scores in sweep_scores.by_condition(seeds).items()
            if condition[1:5] == ("test", *(wanted[name] for name in _NAMED))
        ]
        sides += chosen[:1]  # the headline radius is evaluated first
    if len(sides) < 2:
        return None
    return {**wanted} | sweep_scores.difference_of(sides[0], sides[1])


def _of_arm(outcomes: Seeds, arm: str) -> dict[int, list[Outcome]]:
    chosen = {
        seed: [outcome for outcome in own if outcome.condition.arm == arm]
        for seed, own in outcomes.items()
    }
    return {seed: own for seed, own in chosen.items() if own}


def _labels(seeds: Seeds) -> np.ndarray:
    return next(
        outcome.labels
        for outcome in next(iter(seeds.values()))
        if outcome.condition.set == "test"
    )


def report_of(sweep: pathlib.Path) -> dict[str, Any]:
    """The results file."""
    outcomes = gather(sweep)
    first = next(iter(sorted(sweep.glob("arms/seed*"))))
    record = json.loads((first / "config.json").read_text("utf-8"))
    secondary = [endpoint(outcomes, wanted) for wanted in SECONDARY]
    measured = [found for found in secondary if found is not None]
    for found, p in zip(
        measured, evaluation.holm([f["p_value"] for f in measured]), strict=True
    ):
        found["p_holm"] = p
    return {
        "command": "python -m experiments.ablate --config=configs/sweeps/headline.py",
        "commit": record["commit"],
        "config": record["config"],
        "seeds": list(outcomes),
        "rows": arm_rows(outcomes),
        "primary": endpoint(outcomes, PRIMARY),
        "secondary": measured,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the JSON file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sweep", type=pathlib.Path, default="runs/headline")
    parser.add_argument("--output", type=pathlib.Path, default=RESULTS)
    options = parser.parse_args(argv)
    write_report(report_of(options.sweep), options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
