"""Gathers the ablation of thresholds: what a rule buys, and why.

    python -m experiments.ablate --config=configs/sweeps/thresholds.py
    python -m benchmarks.thresholds --sweep=runs/thresholds

Writes `benchmarks/results/thresholds.json`: for each run clean, graybox and adaptive
accuracy, with paired differences to the three runs that learned thresholds must beat;
thresholds on clean images; in which subbands lesions and perturbations lie, and what
the denoiser leaves of them. `python -m docs.figures.threshold_tables` writes the page.
"""

import json
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.measure import write_sweep_report
from benchmarks.threshold_bands import (
    ARM,
    SURROGATE,
    lesion_ratios,
    perturbation,
    thresholds_of,
    what_is_left,
)
from experiments import sweep_scores
from experiments.run_folder import load_config
from experiments.sweep_scores import Scores
from experiments.trained_run import TrainedRun, open_run
from wbad_jax import training

RESULTS = pathlib.Path(__file__).parent / "results" / "thresholds.json"
SURROGATES = "surrogate"
# What trained thresholds must beat: registered.
REFERENCES = ("universal", "no_threshold", "no_details")
# Runs whose thresholds and perturbations are looked at.
INSPECTED = (*REFERENCES, "learned", "learned_from_0.1", "learned_from_3", "predicted")
# Name in the results: protocol, attack, norm.
CONDITIONS = {
    "clean": ("clean", "none", None),
    "graybox": ("graybox", "worst_case", "linf"),
    "adaptive": ("adaptive", "worst_case", "linf"),
    "approximation": ("adaptive", "subband", "linf"),
}
_LEVELS = 4

Conditions = Mapping[str, Scores]


def run_row(
    name: str, own: Conditions, references: Mapping[str, Conditions]
) -> dict[str, Any]:
    """Accuracies of a run, and differences to the runs it is compared with.

    Args:
        name: Of the run.
        own: Its scores.
        references: Those of the runs compared with, by name.
    """
    accuracies = {
        condition: sweep_scores.accuracy_of(scores) for condition, scores in own.items()
    }
    differences = {
        reference: {
            condition: sweep_scores.difference_of(scores, theirs.get(condition))
            for condition, scores in own.items()
        }
        for reference, theirs in references.items()
        if reference != name
    }
    return {"run": name, "accuracy": accuracies, "minus": differences}


def collapsed_of(workdir: pathlib.Path) -> float | None:
    """Share of trained thresholds that had collapsed at the end; None without any."""
    shares = [
        line["threshold/collapsed"]
        for line in training.read_metrics(workdir / "metrics.jsonl")
        if line["run"] == ARM and "threshold/collapsed" in line
    ]
    return shares[-1] if shares else None


def report_of(sweep: pathlib.Path) -> dict[str, Any]:
    """The results file.

    Raises:
        FileNotFoundError: If the reference run is not finished.
    """
    folders = sweep_scores.finished_runs(sweep)
    surrogates = folders.pop(SURROGATES, [])
    if not surrogates or REFERENCES[0] not in folders:
        raise FileNotFoundError(f"{sweep} has no finished run of {REFERENCES[0]!r}.")
    scores = {
        name: sweep_scores.of_arm(own, ARM, CONDITIONS) for name, own in folders.items()
    }
    references = {name: scores[name] for name in REFERENCES if name in scores}
    surrogate = _open(surrogates[-1])
    graybox = perturbation(surrogate, SURROGATE)  # all runs have its test images
    rows = []
    for name, own in folders.items():
        row = run_row(name, scores[name], references)
        row["seeds"] = list(scores[name]["clean"].seeds)
        row["collapsed"] = [collapsed_of(folder) for folder in own]
        if name in INSPECTED:
            opened = [_open(folder) for folder in own]
            row["thresholds"] = [thresholds_of(run) for run in opened]
            row["left"] = what_is_left(opened[0], graybox)
        rows.append(row)
    return {
        "command": "python -m experiments.ablate --config=configs/sweeps/thresholds.py",
        "commit": commit_of(folders[REFERENCES[0]][0]),
        # What the graybox images leave of an undefended network of another seed.
        "control": sweep_scores.accuracy_of(
            sweep_scores.of_arm(surrogates[-1:], SURROGATE, CONDITIONS)["graybox"]
        ),
        "ratios": _ratios(surrogate),
        "rows": rows,
    }


def _ratios(run: TrainedRun) -> list[dict[str, float]]:
    """Of the lesions of the test patients."""
    pairs = run.fold.test_pairs
    order = np.lexsort((pairs.labels, pairs.patient_ids))
    lesions = pairs.images[order[1::2]] - pairs.images[order[::2]]
    budget = run.fold.budgets["linf"]
    return lesion_ratios(lesions, budget, run.config.denoiser.wavelet, _LEVELS)


def commit_of(workdir: pathlib.Path) -> str:
    """Commit that trained a run."""
    return json.loads((workdir / "config.json").read_text("utf-8"))["commit"]


def _open(workdir: pathlib.Path) -> TrainedRun:
    return open_run(load_config(workdir), workdir)


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the JSON file."""
    return write_sweep_report(
        __doc__ or "", report_of, "runs/thresholds", RESULTS, argv
    )


if __name__ == "__main__":
    sys.exit(main())
