"""The sweep over numbers of patients, from runs made by hand."""

import json

import pytest

from benchmarks import cohort_size
from configs import default
from experiments.run_folder import to_plain
from tests.hand_made import outcome
from wbad_jax import evaluation

pytestmark = pytest.mark.fast


def make_run(folder, patients, left, steps=9):
    """One seed, of which `left` withstand PGD."""
    config = default.get_config("smoke")
    config.arms = ("lesion_map",)
    config.arm.lesion_map.num_steps = steps
    config.data.patients = (0, patients - 1)
    folder.mkdir(parents=True)
    record = {"config": to_plain(config)}
    (folder / "config.json").write_text(json.dumps(record))
    meta = {"num_parameters": {"lesion_map": 7}, "commit": "abc"}
    (folder / "results.json").write_text(json.dumps({"meta": meta}))
    outcomes = [
        outcome([1, 1, 1, 0], arm="lesion_map"),
        outcome(left, arm="lesion_map", attack="pgd"),
    ]
    evaluation.write_parquet(outcomes, folder / "predictions.parquet")


def test_runs_stand_by_their_patients_and_are_compared_with_the_fewest(tmp_path):
    make_run(tmp_path / "patients_2000" / "seed0", 2000, [1, 1, 0, 0])
    make_run(tmp_path / "patients_500" / "seed0", 500, [1, 0, 0, 0])
    make_run(tmp_path / "wide_2000" / "seed0", 2000, [1, 1, 1, 0], steps=20)
    rows = cohort_size.report_of(tmp_path)["rows"]
    names = [row["run"] for row in rows]
    assert names == ["patients_500", "patients_2000", "wide_2000"]
    assert [row["patients"] for row in rows] == [500, 2000, 2000]
    assert [row["clean"]["accuracy"] for row in rows] == [0.75] * 3
    assert [row["adaptive"]["accuracy"] for row in rows] == [0.25, 0.5, 0.75]
    assert [row["adaptive"]["difference"] for row in rows] == [0, 0.25, 0.5]
    assert [row["seeds"] for row in rows] == [[0]] * 3


def test_nothing_finished_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no finished run"):
        cohort_size.report_of(tmp_path)
