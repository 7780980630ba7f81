"""Contrasts of thresholds on the headline's cohort, from outcomes made by hand."""

import pathlib

import pytest

from benchmarks import threshold_contrasts
from experiments import sweep_scores
from tests.hand_made import outcome

pytestmark = pytest.mark.fast


def graybox(correct, surrogate, seed=0):
    known = {"attack": "pgd", "protocol": "graybox", "seed": seed}
    return outcome(correct, surrogate=surrogate, **known)


def test_only_seeds_that_all_runs_have():
    def folders(*seeds):
        return [pathlib.Path(f"run/seed{seed}") for seed in seeds]

    found = threshold_contrasts.of_common_seeds(
        {"universal": folders(0, 1, 2), "learned": folders(2, 0)}
    )
    assert [f.name for f in found["universal"]] == ["seed0", "seed2"]
    assert {f.name for f in found["learned"]} == {"seed0", "seed2"}


def test_only_graybox_images_that_all_runs_of_a_seed_met():
    clean = outcome([1, 1])
    runs = {
        "universal": [[clean, graybox([1, 0], "b")], [clean, graybox([1, 1], "a")]],
        "learned": [
            [clean, graybox([0, 0], "a"), graybox([1, 1], "b")],
            [clean, graybox([0, 1], "a"), graybox([0, 0], "b")],
        ],
    }
    kept = threshold_contrasts.under_common_images(runs)
    assert [len(seed) for seed in kept["learned"]] == [2, 2]
    conditions = {"graybox": ("graybox", "worst_case", "linf")}
    scores = sweep_scores.named(kept["learned"], "wbad", conditions)["graybox"]
    assert scores.correct.tolist() == [[1, 1], [0, 1]]


def test_a_missing_run_is_named(tmp_path):
    for run in ("arms", "learned"):
        folder = tmp_path / run / "seed0"
        folder.mkdir(parents=True)
        (folder / "results.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match="no finished run no_threshold"):
        threshold_contrasts.report_of(tmp_path)
