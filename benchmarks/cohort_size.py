"""Gathers the sweep over numbers of patients to train on.

    python -m experiments.ablate --config=configs/sweeps/cohort_size.py
    python -m benchmarks.cohort_size --sweep=runs/cohort_size

Writes `benchmarks/results/cohort_size.json`: for each run how many patients trained it
and chose its checkpoint, how large the network is, and its accuracy on the sealed test
patients, clean and in the adaptive worst case, with the paired difference to the run of
fewest patients.
"""

import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.measure import write_sweep_report
from experiments import sweep_scores
from experiments.run_folder import load_config

COMMAND = "python -m experiments.ablate --config=configs/sweeps/cohort_size.py"
RESULTS = pathlib.Path(__file__).parent / "results" / "cohort_size.json"
CONDITIONS = {
    "clean": ("clean", "none", None),
    "adaptive": ("adaptive", "worst_case", "linf"),
}


def run_row(folders: Sequence[pathlib.Path], arm: str) -> dict[str, Any]:
    """What a run is, without its scores."""
    config = load_config(folders[0])
    first, last = config.data.patients
    meta = json.loads((folders[0] / "results.json").read_text("utf-8"))["meta"]
    return {
        "patients": last - first + 1,
        "seeds": [load_config(folder).seed for folder in folders],
        "widths": list(config.model.widths),
        "steps": config.arm[arm].num_steps,
        "parameters": meta["num_parameters"][arm],
        "commit": meta["commit"],
    }


def report_of(sweep: pathlib.Path) -> dict[str, Any]:
    """The results file, runs of few patients first.

    Raises:
        FileNotFoundError: If nothing is finished.
    """
    runs = sweep_scores.finished_runs(sweep)
    arm = load_config(next(iter(runs.values()))[0]).arms[-1]
    rows = {name: run_row(folders, arm) for name, folders in runs.items()}
    scores = {
        name: sweep_scores.of_arm(folders, arm, CONDITIONS)
        for name, folders in runs.items()
    }
    order = sorted(rows, key=lambda name: (rows[name]["patients"], rows[name]["steps"]))
    reference = scores[order[0]]
    return {
        "command": COMMAND,
        "arm": arm,
        "rows": [
            {
                "run": name,
                **rows[name],
                **{
                    condition: sweep_scores.accuracy_of(own)
                    | sweep_scores.difference_of(own, reference.get(condition))
                    for condition, own in scores[name].items()
                },
            }
            for name in order
        ],
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the JSON file."""
    return write_sweep_report(
        __doc__ or "", report_of, "runs/cohort_size", RESULTS, argv
    )


if __name__ == "__main__":
    sys.exit(main())
