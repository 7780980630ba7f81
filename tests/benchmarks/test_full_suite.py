"""The results file of the full suite, from outcomes made by hand."""

import json

import pytest

from benchmarks import full_suite
from tests.hand_made import outcome
from wbad_jax import evaluation

pytestmark = pytest.mark.fast


def write_evaluated(folder, suite, *, arm, left):
    """One network whose images are all right, and `left` so under one attack."""
    folder.mkdir(parents=True, exist_ok=True)
    known = {"arm": arm, "labels": (0, 0, 1, 1)}
    outcomes = [
        outcome([1, 1, 1, 1], **known),
        outcome(left, attack="fmn", **known),
    ]
    evaluation.write_parquet(outcomes, folder / "predictions.parquet")
    meta = {"suite": suite, "parameters_sha256": {arm: f"digest of {arm}"}}
    (folder / "results.json").write_text(json.dumps({"meta": meta}))


def test_a_copy_counts_once_the_full_suite_was_run_on_it(tmp_path):
    folder = tmp_path / "wbad" / "seed0"
    write_evaluated(folder, "short", arm="adversarial", left=[1, 0, 0, 0])
    with pytest.raises(FileNotFoundError, match="no finished run"):
        full_suite.report_of(tmp_path)
    write_evaluated(folder, "full", arm="adversarial", left=[1, 0, 0, 0])
    report = full_suite.report_of(tmp_path)
    worst = [row for row in report["rows"] if row["attack"] == "worst_case"]
    assert [row["accuracy"] for row in worst] == [0.25]
    assert report["parameters_sha256"] == {"adversarial": "digest of adversarial"}


def test_networks_of_two_folders_are_compared(tmp_path):
    for name, arm, left in (
        ("wbad", "adversarial", [1, 0, 0, 0]),
        ("best", "lesion_map", [1, 1, 1, 0]),
    ):
        write_evaluated(tmp_path / name / "seed0", "full", arm=arm, left=left)
    report = full_suite.report_of(tmp_path)
    (ahead,) = report["secondary"]
    assert (ahead["arm"], ahead["reference"]) == ("lesion_map", "adversarial")
    assert ahead["difference"] == pytest.approx(0.5)
    assert report["primary"] is None
    assert set(report["parameters_sha256"]) == {"adversarial", "lesion_map"}
