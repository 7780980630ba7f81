"""The metric log: every step once, also after a kill."""

import json

import pytest

from wbad_jax import training


def steps(path, run):
    lines = training.read_metrics(path)
    return [line["step"] for line in lines if line["run"] == run]


def write(workdir, run, numbers, first_step=0):
    with training.MetricLog(workdir, run, first_step) as log:
        for step in numbers:
            log.write(step, {"loss": 1 / step})


def test_lines_hold_run_step_and_metrics(tmp_path):
    write(tmp_path, "a", [1, 2])
    lines = training.read_metrics(tmp_path / "metrics.jsonl")
    assert lines == [
        {"run": "a", "step": 1, "loss": 1.0},
        {"run": "a", "step": 2, "loss": 0.5},
    ]
    assert list((tmp_path / "tensorboard" / "a").glob("events*"))


def test_resuming_drops_later_lines_of_this_run_only(tmp_path):
    write(tmp_path, "a", range(1, 7))
    write(tmp_path, "b", range(1, 4))
    write(tmp_path, "a", [5, 6, 7], first_step=4)
    path = tmp_path / "metrics.jsonl"
    assert steps(path, "a") == [1, 2, 3, 4, 5, 6, 7]
    assert steps(path, "b") == [1, 2, 3]


@pytest.mark.parametrize("cut", [1, 10, 25])
def test_a_last_line_cut_short_is_left_out(cut, tmp_path):
    write(tmp_path, "a", [1, 2, 3])
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text()[: -1 - cut])
    assert steps(path, "a") == [1, 2]
    # And the next line is not glued to the torn one.
    write(tmp_path, "a", [3, 4], first_step=2)
    assert steps(path, "a") == [1, 2, 3, 4]
    for line in path.read_text().splitlines():
        json.loads(line)


def test_lines_are_on_disk_as_soon_as_they_are_written(tmp_path):
    with training.MetricLog(tmp_path, "a") as log:
        log.write(1, {"loss": 0.5})
        assert steps(tmp_path / "metrics.jsonl", "a") == [1]
