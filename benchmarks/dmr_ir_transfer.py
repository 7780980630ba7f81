r"""Gathers what networks trained on simulated patients are worth on real thermograms.

    python -m experiments.train --config=configs/dmr_ir_transfer.py \
        --config.data.manual_dir=FOLDER
    python -m experiments.train --config=configs/dmr_ir_transfer.py \
        --config.data.manual_dir=FOLDER --config.data.patients="(135, 300)" \
        --workdir=runs/dmr_ir_transfer_era
    python -m benchmarks.dmr_ir_transfer

Writes aggregates alone to `benchmarks/results/dmr_ir_transfer.json`: of every arm and
trivial baseline, accuracy on clean images, area under the curve, and accuracy in the
adaptive worst case, pooled over patient-disjoint folds; and paired differences of tuned
arms to those from scratch.
"""

import argparse
import json
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.measure import write_report
from experiments import sweep_scores
from wbad_jax import evaluation
from wbad_jax.evaluation import Outcome

RESULTS = pathlib.Path(__file__).parent / "results" / "dmr_ir_transfer.json"
SETS = {"all": "runs/dmr_ir_transfer", "era": "runs/dmr_ir_transfer_era"}
_CLEAN = ("clean", "none", None)
_WORST = ("adaptive", "worst_case", "linf")
_TUNED = "_tuned"
_KEPT = (
    "n", "accuracy", "ci_low", "ci_high", "sensitivity", "specificity", "auc",
    "auc_low", "auc_high",
)  # fmt: skip


def arm_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row an arm: what it does on clean and on attacked images.

    Args:
        rows: Of a run's results.json.
    """
    found = {
        (row["arm"], row["protocol"], row["attack"], row["norm"]): row
        for row in rows
        if row["set"] == "test"
    }
    arms = dict.fromkeys(arm for arm, *_ in found)
    return [
        {"arm": arm}
        | {
            name: {key: found[arm, *condition][key] for key in _KEPT}
            for name, condition in (("clean", _CLEAN), ("adaptive", _WORST))
            if (arm, *condition) in found
        }
        for arm in arms
    ]


def tuned_minus_scratch(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Paired differences, clean and in the adaptive worst case, of each arm with both.

    Args:
        outcomes: Of a run.
    """
    scores = {
        condition[:5]: own
        for condition, own in sweep_scores.by_condition([list(outcomes)]).items()
    }
    rows = []
    for (arm, *condition), own in scores.items():
        scratch = scores.get((arm.removesuffix(_TUNED), *condition))
        if arm.endswith(_TUNED) and tuple(condition[1:]) in (_CLEAN, _WORST):
            difference = sweep_scores.difference_of(own, scratch)
            rows.append({"arm": arm, "protocol": condition[1], **difference})
    return rows


def set_of(workdir: pathlib.Path, name: str) -> dict[str, Any]:
    """The results of one run."""
    results = json.loads((workdir / "results.json").read_text("utf-8"))
    rows = arm_rows(results["rows"])
    return {
        "name": name,
        "epsilon_celsius": results["meta"]["headline_epsilon_celsius"],
        "commit": results["meta"]["commit"],
        "seed": results["meta"]["seed"],
        "rows": rows,
        "tuned_minus_scratch": tuned_minus_scratch(
            evaluation.read_parquet(workdir / "predictions.parquet")
        ),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the JSON file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name, folder in SETS.items():
        parser.add_argument(f"--{name}", type=pathlib.Path, default=folder)
    parser.add_argument("--output", type=pathlib.Path, default=RESULTS)
    options = parser.parse_args(argv)
    sets = [set_of(getattr(options, name), name) for name in SETS]
    write_report({"sets": sets}, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
