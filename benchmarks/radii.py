"""Gathers the better defence trained for several radii.

    python -m experiments.ablate --config=configs/sweeps/radii.py
    python -m benchmarks.radii --sweep=runs/radii

Writes `benchmarks/results/radii.json`: for each network the radii that it was trained
for, and its accuracy on the sealed test patients, clean and in the adaptive worst case
at all radii of its evaluation.
"""

import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.arm_outcomes import arm_rows, gather, labels_of, scores_of_arms
from benchmarks.measure import write_sweep_report
from experiments import sweep_scores
from experiments.run_folder import load_config

COMMAND = "python -m experiments.ablate --config=configs/sweeps/radii.py"
RESULTS = pathlib.Path(__file__).parent / "results" / "radii.json"


def network_row(sweep: pathlib.Path, run: str) -> dict[str, Any]:
    """What a network was trained for, and its rows."""
    seeds = gather(sweep, (run,))
    config = load_config(sweep / run / f"seed{next(iter(seeds))}")
    celsius = config.attack.epsilon_celsius
    drawn_from = config.arm[config.arms[-1]].epsilon_range
    return {
        "run": run,
        # From this radius to that: one and the same where it was trained for one.
        "trained_celsius": [celsius * multiple for multiple in drawn_from],
        "seeds": list(seeds),
        "rows": arm_rows(scores_of_arms(seeds), labels_of(seeds)),
    }


def report_of(sweep: pathlib.Path) -> dict[str, Any]:
    """The results file, small radii first, networks for several radii last.

    Raises:
        FileNotFoundError: If nothing is finished.
    """
    rows = [network_row(sweep, run) for run in sweep_scores.finished_runs(sweep)]
    rows.sort(key=lambda row: (len({*row["trained_celsius"]}), row["trained_celsius"]))
    return {"command": COMMAND, "networks": rows}


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the JSON file."""
    return write_sweep_report(__doc__ or "", report_of, "runs/radii", RESULTS, argv)


if __name__ == "__main__":
    sys.exit(main())
