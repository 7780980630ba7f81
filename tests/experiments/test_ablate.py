"""A sweep goes on after failures, stops when asked, resumes and skips."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from configs import default
from experiments import ablate, sweep
from experiments.config_errors import ConfigError
from experiments.run_folder import locked, to_plain
from tests.hand_made import outcome
from wbad_jax import evaluation
from wbad_jax.training import StopRequestedError, read_metrics

RUNS = {"deep": {"denoiser.level": 2}, "flat": {"denoiser.level": 1}}
TIMEOUT = 180


def levels(runs=RUNS, seeds=(0, 1)):
    base = default.get_config("smoke")
    return default.make_sweep("levels", base, runs, seeds=seeds)


class FakeRuns:
    """In place of processes: `failing` fail, `stopping` are interrupted."""

    def __init__(self):
        self.failing, self.stopping, self.started = set(), set(), []

    def __call__(self, variant, workdir, arguments, stop):
        self.started.append(str(variant.path))
        if variant.name in self.stopping:
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.requested
            return None
        if variant.name in self.failing:
            return "one line\nOutOfMemory: too large"
        folder = workdir / variant.path
        right = [variant.config.denoiser.level == 1, True, True]
        path = folder / "predictions.parquet"
        evaluation.write_parquet([outcome(right, seed=variant.seed)], path)
        record = {"config": to_plain(variant.config)}
        (folder / "config.json").write_text(json.dumps(record))
        (folder / "results.json").write_text("{}")
        return None


@pytest.fixture
def fake_runs(monkeypatch):
    runs = FakeRuns()
    monkeypatch.setattr(ablate, "_run_apart", runs)
    return runs


def read(workdir):
    return json.loads((workdir / "ablation.json").read_text())


@pytest.mark.fast
def test_a_run_that_fails_stops_no_other_and_is_tried_again(
    fake_runs, tmp_path, capsys
):
    fake_runs.failing.add("deep")
    assert not ablate.run_sweep(levels(), tmp_path, [])
    all_runs = ["deep/seed0", "deep/seed1", "flat/seed0", "flat/seed1"]
    assert fake_runs.started == all_runs
    assert {row["run"] for row in read(tmp_path)["rows"]} == {"flat"}
    assert "OutOfMemory" in read(tmp_path)["failed"]["deep/seed1"]
    output = capsys.readouterr().out
    assert "[2/4] deep/seed1" in output
    assert "failed: deep/seed1: OutOfMemory: too large" in output

    fake_runs.failing.clear()
    fake_runs.started.clear()
    assert ablate.run_sweep(levels(), tmp_path, [])
    assert fake_runs.started == all_runs[:2]
    record = read(tmp_path)
    assert (record["failed"], record["waiting"]) == ({}, [])
    (row,) = (row for row in record["rows"] if row["run"] == "flat")
    assert row["difference"] == pytest.approx(1 / 3)
    with (tmp_path / "ablation.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 2
    assert "2 finished before" in capsys.readouterr().out


@pytest.mark.fast
def test_a_signal_ends_the_sweep_after_the_current_run(fake_runs, tmp_path, capsys):
    fake_runs.failing.add("deep")
    fake_runs.stopping.add("flat")
    handlers = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    with pytest.raises(StopRequestedError, match="4 runs to go"):
        ablate.run_sweep(levels(), tmp_path, [])
    assert fake_runs.started == ["deep/seed0", "deep/seed1", "flat/seed0"]
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == handlers
    # What failed before is still known, what was stopped is no failure.
    assert set(read(tmp_path)["failed"]) == {"deep/seed0", "deep/seed1"}
    assert read(tmp_path)["waiting"] == ["flat/seed0", "flat/seed1"]
    assert "not tried: flat/seed0, flat/seed1" in capsys.readouterr().out


@pytest.mark.fast
def test_finished_runs_of_another_config_are_not_taken_for_these(fake_runs, tmp_path):
    assert ablate.run_sweep(levels(), tmp_path, [])
    fake_runs.started.clear()
    more = RUNS | {"deeper": {"denoiser.level": 3}}
    assert ablate.run_sweep(levels(more), tmp_path, [])
    assert fake_runs.started == ["deeper/seed0", "deeper/seed1"]
    other = RUNS | {"flat": {"denoiser.level": 1, "denoiser.wavelet": "haar"}}
    with pytest.raises(ConfigError, match=r"(?s)flat/seed0.*denoiser.wavelet: 'db2'"):
        ablate.run_sweep(levels(other), tmp_path, [])
    assert len(fake_runs.started) == 2


@pytest.mark.fast
def test_a_run_is_chosen_by_its_folder_or_by_a_name_that_is_enough():
    variants = sweep.expand(levels())
    assert ablate.choose(variants, "flat/seed1") is variants[3]
    assert ablate.choose(variants[:3], "flat") is variants[2]
    with pytest.raises(ConfigError, match="one of deep/seed0, deep/seed1; got 'deep'"):
        ablate.choose(variants, "deep")
    with pytest.raises(ConfigError, match="flat/seed0, flat/seed1; got 'seed0'"):
        ablate.choose(variants, "seed0")


@pytest.mark.fast
def test_help():
    command = [sys.executable, "-m", "experiments.ablate", "--help"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "Run a sweep" in done.stdout


SWEEP = """
from configs import default, standard

def get_config():
    base = standard.get_config("smoke")
    base.data.data_dir = {data_dir!r}
    base.arm.undefended.num_steps = 400
    base.training.log_every = 1
    base.training.eval_every = base.training.checkpoint_every = 200
    base.evaluation.protocols = ("clean",)  # compiling attacks takes the time
    runs = {{"narrow": {{"model.widths": (4, 8)}}, "wide": {{}}}}
    return default.make_sweep("widths", base, runs, seeds=(0,))
"""


@pytest.mark.slow
def test_real_runs_stop_fail_resume_and_are_skipped(
    command, data_dir, tmp_path, monkeypatch
):
    file = tmp_path / "widths.py"
    file.write_text(SWEEP.format(data_dir=str(data_dir)))
    workdir = tmp_path / "sweep"
    arguments = [f"--config={file}", f"--workdir={workdir}"]
    narrow, wide = workdir / "narrow/seed0", workdir / "wide/seed0"

    process = command("ablate", *arguments)
    wait_for_a_step(process, narrow / "metrics.jsonl")
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, errors
    assert "Stopped with 2 runs to go. The same command resumes it." in output
    assert "stopped and saved at step" in (narrow / "log.txt").read_text()
    saved = max(line["step"] for line in read_metrics(narrow / "metrics.jsonl"))
    assert 0 < saved < 400

    # The folder of the second is in use: it fails, and the first goes on.
    monkeypatch.chdir(os.path.dirname(os.path.dirname(default.__file__)))
    config = load(file)
    with locked(wide):
        assert not ablate.run_sweep(config, workdir, arguments)
    steps = [line["step"] for line in read_metrics(narrow / "metrics.jsonl")
             if "loss" in line]  # fmt: skip
    assert sorted(steps) == list(range(1, 401))  # none twice: it was resumed
    assert "in use by another process" in read(workdir)["failed"]["wide/seed0"]
    assert {row["run"] for row in read(workdir)["rows"]} == {"narrow"}

    before = (narrow / "results.json").stat().st_mtime_ns
    assert ablate.run_sweep(config, workdir, arguments)
    assert (narrow / "results.json").stat().st_mtime_ns == before
    record = read(workdir)
    assert record["failed"] == {}
    (first, second) = record["rows"]
    for row, folder in ((first, narrow), (second, wide)):
        (own,) = json.loads((folder / "results.json").read_text())["rows"]
        assert row["accuracy"] == pytest.approx(own["accuracy"])
    change = second["accuracy"] - first["accuracy"]
    assert second["difference"] == pytest.approx(change)


def load(file):
    scope = {}
    exec(file.read_text(), scope)
    return scope["get_config"]()


def wait_for_a_step(process, path):
    """Block until a step is logged; fail if the process ends before."""
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        if path.exists() and path.read_text().count("\n") > 2:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    pytest.fail(f"{path} had no step in {TIMEOUT} s")
