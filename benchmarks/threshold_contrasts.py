"""Gathers the contrasts of thresholds that are repeated on the headline's cohort.

    python -m experiments.ablate --config=configs/sweeps/headline.py
    python -m benchmarks.threshold_contrasts --sweep=runs/headline

WBAD behind learned thresholds and behind none, against WBAD of the four arms, whose
rule is the universal one; of the seeds, and on the graybox images, that all have.
Writes `benchmarks/results/threshold_contrasts.json`: of each clean, graybox and
adaptive accuracy with paired differences, from which undefended network it started,
and where thresholds stand. `python -m docs.figures.threshold_tables` then writes the
page.
"""

import json
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import thresholds
from benchmarks.measure import write_sweep_report
from benchmarks.threshold_bands import ARM, SURROGATE, thresholds_of
from experiments import sweep_scores
from experiments.run_folder import load_config
from experiments.trained_run import open_run
from wbad_jax import evaluation
from wbad_jax.evaluation import Outcome

RESULTS = pathlib.Path(__file__).parent / "results" / "threshold_contrasts.json"
# Run of the sweep by what it is called in the ablation.
RUNS = {"universal": "arms", "learned": "learned", "no_threshold": "no_threshold"}
LOCATED = ("universal", "learned")  # of which it is asked where thresholds stand
# APGD and not the worst case: the arms met more attacks than the other two.
CONDITIONS = {
    "clean": ("clean", "none", None),
    "graybox": ("graybox", "worst_case", "linf"),
    "adaptive": ("adaptive", "apgd", "linf"),
}
Folders = Mapping[str, Sequence[pathlib.Path]]


def of_common_seeds(folders: Folders) -> dict[str, list[pathlib.Path]]:
    """Folders of the seeds that all runs have."""
    common = set.intersection(*({f.name for f in own} for own in folders.values()))
    return {
        name: [folder for folder in own if folder.name in common]
        for name, own in folders.items()
    }


def under_common_images(
    runs: Mapping[str, Sequence[list[Outcome]]],
) -> dict[str, list[list[Outcome]]]:
    """Outcomes without the graybox images that not all runs of a seed have met.

    A run is spared those of its own undefended network.

    Args:
        runs: Outcomes by run and seed, the same seeds each.
    """
    kept: dict[str, list[list[Outcome]]] = {name: [] for name in runs}
    for of_seed in zip(*runs.values(), strict=True):
        common = set.intersection(
            *({each.condition.surrogate for each in own} for own in of_seed)
        )
        for name, own in zip(runs, of_seed, strict=True):
            kept[name].append([o for o in own if o.condition.surrogate in common])
    return kept


def report_of(sweep: pathlib.Path) -> dict[str, Any]:
    """The results file.

    Raises:
        FileNotFoundError: If one of the runs is not finished.
    """
    finished = sweep_scores.finished_runs(sweep)
    missing = [run for run in RUNS.values() if run not in finished]
    if missing:
        raise FileNotFoundError(f"{sweep} has no finished run {', '.join(missing)}.")
    folders = of_common_seeds({name: finished[run] for name, run in RUNS.items()})
    outcomes = under_common_images(
        {
            name: [evaluation.read_parquet(f / "predictions.parquet") for f in own]
            for name, own in folders.items()
        }
    )
    scores = {
        name: sweep_scores.named(seeds, ARM, CONDITIONS)
        for name, seeds in outcomes.items()
    }
    rows = []
    for name, own in folders.items():
        row = thresholds.run_row(name, scores[name], scores)
        row["seeds"] = list(scores[name]["clean"].seeds)
        row["commits"] = [thresholds.commit_of(folder) for folder in own]
        row["started_from"] = [_start_of(folder) for folder in own]
        if name in LOCATED:
            row["collapsed"] = [thresholds.collapsed_of(folder) for folder in own]
            row["thresholds"] = [
                thresholds_of(open_run(load_config(folder), folder)) for folder in own
            ]
        rows.append(row)
    return {
        "command": "python -m experiments.ablate --config=configs/sweeps/headline.py",
        "rows": rows,
    }


def _start_of(workdir: pathlib.Path) -> str:
    """SHA-256 of the undefended network that training started from."""
    meta = json.loads((workdir / "results.json").read_text("utf-8"))["meta"]
    return meta["parameters_sha256"][SURROGATE]


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the JSON file."""
    return write_sweep_report(__doc__ or "", report_of, "runs/headline", RESULTS, argv)


if __name__ == "__main__":
    sys.exit(main())
