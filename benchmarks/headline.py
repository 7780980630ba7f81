"""Gathers the headline sweep into one results file, with the registered endpoints.

    python -m experiments.ablate --config=configs/sweeps/headline.py
    python -m benchmarks.headline --sweep=runs/headline

Copies of runs of `arms` and `best` that were evaluated again at other radii, in
`arms_radii` and `best_radii`, are gathered beside them as `radii`. There the arm
`large` is the wider network of `configs/sweeps/cohort_size.py`, attacked on the same
patients, in `large`. Adversarial training at the cost of the better defence is in
`equal_cost`.

Writes `benchmarks/results/headline.json`: accuracy, sensitivity and specificity of
every arm under every attack, mean over seeds, with intervals over seeds and patients
crossed; and the paired differences that `docs/preregistration.md` names, secondary ones
corrected by Holm. `python -m docs.figures.results_tables` then writes the tables.
"""

import collections
import contextlib
import dataclasses
import json
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.arm_outcomes import Seeds, arm_rows, gather, labels_of, scores_of_arms
from benchmarks.measure import write_sweep_report
from experiments import sweep_scores
from experiments.sweep_scores import Scores

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
RUNS = ("arms", "best")
LONG_RUN, LARGE_RUN = "long", "large"
RADII_RUNS = ("arms_radii", "best_radii")
_NAMED = ("protocol", "attack", "norm")


def endpoint(
    scores: Mapping[str, Mapping[tuple, Scores]],
    wanted: Mapping[str, str],
    epsilon: float | None = None,
) -> dict[str, Any] | None:
    """A paired difference of two arms; None where they do not have the same patients.

    Args:
        scores: By arm and condition.
        wanted: Arm, reference, protocol, attack and norm.
        epsilon: Radius, pixel units; the first evaluated, the headline's, if None.
    """
    sides = []
    for arm in (wanted["arm"], wanted["reference"]):
        chosen = [
            own
            for condition, own in scores.get(arm, {}).items()
            if condition[1:5] == ("test", *(wanted[name] for name in _NAMED))
            and epsilon in (None, condition[5])
        ]
        sides += chosen[:1]
    if len(sides) < 2:
        return None
    difference = sweep_scores.difference_of(*sides)
    return {**wanted, **difference} if difference else None


def attack_minutes(seeds: Seeds) -> dict[str, dict[str, list[float]]]:
    """Wall minutes of the attacks by arm and protocol, one number a seed.

    Graybox images are made once for all arms of a run, so that each arm has the same.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for own in seeds.values():
        sums = collections.Counter()
        for outcome in own:
            sums[outcome.condition.arm, outcome.condition.protocol] += outcome.seconds
        for (arm, protocol), seconds in sums.items():
            if protocol != "clean":
                by_protocol = found.setdefault(arm, {})
                by_protocol.setdefault(protocol, []).append(round(seconds / 60, 1))
    return found


def report_of(sweep: pathlib.Path) -> dict[str, Any]:
    """The results file.

    Raises:
        FileNotFoundError: If nothing is finished.
    """
    outcomes = gather(sweep, RUNS)
    first = min(path for run in RUNS for path in sweep.glob(f"{run}/seed*/config.json"))
    record = json.loads(first.read_text("utf-8"))
    report = {
        "command": "python -m experiments.ablate --config=configs/sweeps/headline.py",
        "commit": record["commit"],
        "config": record["config"],
        **summary(outcomes),
    }
    with contextlib.suppress(FileNotFoundError):
        report["equal_cost"] = equal_cost(sweep)
    with contextlib.suppress(FileNotFoundError):
        report["radii"] = radii_of(sweep)
    return report


def radii_of(sweep: pathlib.Path) -> dict[str, Any]:
    """Rows at all radii, and what more patients bring the better defence at each.

    Raises:
        FileNotFoundError: If no copy was evaluated there.
    """
    outcomes = gather(sweep, RADII_RUNS)
    with contextlib.suppress(FileNotFoundError):
        for seed, own in gather(sweep, (LARGE_RUN,)).items():
            outcomes.setdefault(seed, []).extend(
                dataclasses.replace(
                    each, condition=dataclasses.replace(each.condition, arm=LARGE_RUN)
                )
                for each in own
            )
    scores = scores_of_arms(outcomes)
    radii = {c[5] for own in scores.values() for c in own if c[5] is not None}
    differences = [
        {"epsilon": epsilon} | found
        for epsilon in sorted(radii)
        for reference in ("adversarial", "lesion_map")
        if (found := endpoint(
            scores, {**PRIMARY, "arm": LARGE_RUN, "reference": reference}, epsilon
        ))
    ]  # fmt: skip
    return {**_rows(outcomes, scores), "large_minus": differences}


def equal_cost(sweep: pathlib.Path) -> dict[str, Any]:
    """Adversarial training for as long as the better defence takes, and what is ahead.

    Raises:
        FileNotFoundError: If it is not finished.
    """
    outcomes = gather(sweep, (LONG_RUN,))
    scores = scores_of_arms(outcomes)
    best = scores_of_arms(gather(sweep, ("best",)))
    rows = arm_rows(scores, labels_of(outcomes))
    return {
        "seeds": list(outcomes),
        "rows": [row for row in rows if row["arm"] == "adversarial"],
        "best_minus_it": endpoint(scores | best, SECONDARY[-1]),
    }


def _rows(outcomes: Seeds, scores: Mapping[str, Mapping[tuple, Scores]]):
    rows = arm_rows(scores, labels_of(outcomes))
    minutes = attack_minutes(outcomes)
    return {"seeds": list(outcomes), "attack_minutes": minutes, "rows": rows}


def summary(outcomes: Seeds) -> dict[str, Any]:
    """Rows, minutes of the attacks and registered endpoints of some runs, by seed."""
    scores = scores_of_arms(outcomes)
    secondary = [endpoint(scores, wanted) for wanted in SECONDARY]
    measured = [found for found in secondary if found is not None]
    sweep_scores.correct_for_multiplicity(measured)
    return {
        **_rows(outcomes, scores),
        "primary": endpoint(scores, PRIMARY),
        "secondary": measured,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the JSON file."""
    return write_sweep_report(__doc__ or "", report_of, "runs/headline", RESULTS, argv)


if __name__ == "__main__":
    sys.exit(main())
