"""Gathers the validation scores of the defences that were tried.

    python -m experiments.ablate --config=configs/sweeps/defences.py
    python -m benchmarks.defences --sweep=runs/defences

Writes `benchmarks/results/defences.json`: for each run the last arm's best score and
the step at which it stood, numbers of parameters and training steps. Runs of the sweep
that the folder does not have keep the rows that the file had of them, so that one can
be added without the others.
"""

import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.measure import write_sweep_report
from configs.sweeps.defences import MAPS, PLAIN
from experiments.run_folder import load_config
from experiments.sweep_scores import finished_runs
from wbad_jax.training import read_metrics

RESULTS = pathlib.Path(__file__).parent / "results" / "defences.json"
_SCORE = "validation_robust_accuracy"


def best_of(workdir: pathlib.Path) -> dict[str, Any]:
    """The last arm of a run: its best score and its size.

    Raises:
        ValueError: If no score was recorded.
    """
    config = load_config(workdir)
    arm = config.arms[-1]
    lines = [
        line
        for line in read_metrics(workdir / "metrics.jsonl")
        if line["run"] == arm and _SCORE in line
    ]
    if not lines:
        raise ValueError(f"{workdir} has no {_SCORE} of arm {arm!r}.")
    best = max(lines, key=lambda line: line[_SCORE])
    meta = json.loads((workdir / "results.json").read_text("utf-8"))["meta"]
    return {
        "arm": arm,
        "parameters": meta["num_parameters"][arm],
        "steps": config.arm[arm].num_steps,
        "best_step": best["step"],
        "robust": best[_SCORE],
        "clean": best["validation_clean_accuracy"],
        "patients": meta["num_examples"]["validation"][0],
        "seed": meta["seed"],
        "commit": meta["commit"],
    }


def report_of(sweep: pathlib.Path) -> dict[str, Any]:
    """The results file.

    Raises:
        FileNotFoundError: If nothing is finished.
    """
    runs = finished_runs(sweep)
    rows = [row for row in _earlier_rows() if row["run"] not in runs]
    rows += [
        {"run": name, **best_of(folder)}
        for name, folders in runs.items()
        for folder in folders
    ]
    order = [*PLAIN, *MAPS]
    rows.sort(key=lambda row: order.index(row["run"]))
    command = "python -m experiments.ablate --config=configs/sweeps/defences.py"
    return {"command": command, "rows": rows}


def _earlier_rows() -> list[dict[str, Any]]:
    """What the results file has of runs that are still in the sweep."""
    if not RESULTS.is_file():
        return []
    rows = json.loads(RESULTS.read_text("utf-8"))["rows"]
    return [row for row in rows if row["run"] in PLAIN | MAPS]


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the JSON file."""
    return write_sweep_report(__doc__ or "", report_of, "runs/defences", RESULTS, argv)


if __name__ == "__main__":
    sys.exit(main())
