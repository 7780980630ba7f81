"""Killed, terminated and resumed runs end as if nothing had happened."""

import json
import signal
import time

import numpy as np
import pyarrow.parquet as pq
import pytest

from wbad_jax.training import read_metrics

STEPS = 16
ARGUMENTS = (
    "--config=configs/quickstart.py:smoke",
    f"--config.arm.undefended.num_steps={STEPS}",
    f"--config.arm.wbad.num_steps={STEPS}",
    "--config.training.log_every=1",
    "--config.evaluation.attacks=('fgsm',)",
)
TIMEOUT = 900


@pytest.fixture(scope="module")
def uninterrupted(command, data_dir, tmp_path_factory):
    """Folder of a run that nothing disturbed."""
    workdir = tmp_path_factory.mktemp("uninterrupted")
    # A process of its own: with another number of devices, sums round otherwise.
    process = command("train", *ARGUMENTS, f"--workdir={workdir}")
    _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, errors
    return workdir


def digests(workdir):
    return json.loads((workdir / "results.json").read_text())["meta"][
        "parameters_sha256"
    ]


def predictions(workdir):
    rows = pq.read_table(workdir / "predictions.parquet").to_pylist()
    return [{name: row[name] for name in row if name != "seconds"} for row in rows]


def wait_for_part(process, workdir):
    """Block until a part of the evaluation is finished; fail if the run ends before."""
    deadline = time.monotonic() + TIMEOUT
    while not list((workdir / "outcomes").glob("*.npz")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_for_step(process, workdir, run, step):
    """Block until a run has logged a step; fail if it ends before."""
    deadline = time.monotonic() + TIMEOUT
    path = workdir / "metrics.jsonl"
    while time.monotonic() < deadline:
        if path.exists():
            lines = read_metrics(path)
            if any(line["run"] == run and line["step"] >= step for line in lines):
                return
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    pytest.fail(f"{run} did not reach step {step} in {TIMEOUT} s")


@pytest.mark.slow
def test_killed_twice_ends_with_the_same_bits(command, uninterrupted, tmp_path):
    rng = np.random.default_rng()
    arguments = (*ARGUMENTS, f"--workdir={tmp_path}")
    kills = sorted(rng.integers(1, STEPS, 2).tolist())
    for run, step in zip(("undefended", "wbad"), kills, strict=True):
        process = command("train", *arguments)
        wait_for_step(process, tmp_path, run, step)
        process.send_signal(signal.SIGKILL)
        process.wait(TIMEOUT)
        assert not (tmp_path / "results.json").exists()
    process = command("train", *arguments)
    _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, errors
    assert digests(tmp_path) == digests(uninterrupted), f"killed after steps {kills}"
    # Each step of each arm stands in the log once, though some were run twice.
    training = [
        (line["run"], line["step"])
        for line in read_metrics(tmp_path / "metrics.jsonl")
        if "loss" in line
    ]
    assert sorted(training) == sorted(set(training))
    assert len(training) == 2 * STEPS


@pytest.mark.slow
def test_sigterm_saves_and_exits_cleanly(command, uninterrupted, tmp_path):
    arguments = (*ARGUMENTS, f"--workdir={tmp_path}")
    process = command("train", *arguments)
    wait_for_step(process, tmp_path, "wbad", 3)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, errors
    assert "stopped and saved at step" in output
    assert "Traceback" not in errors
    # No step is lost: what was logged last is what was saved.
    steps = [
        line["step"]
        for line in read_metrics(tmp_path / "metrics.jsonl")
        if line["run"] == "wbad"
    ]
    assert (tmp_path / "wbad" / "checkpoints" / str(max(steps))).is_dir()

    # The second time it is in the evaluation: what is finished is kept.
    process = command("train", *arguments)
    wait_for_part(process, tmp_path)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, errors
    assert "Stopped in the evaluation. The same command resumes it." in output
    assert "Traceback" not in errors
    assert not (tmp_path / "results.json").exists()
    assert list((tmp_path / "outcomes").glob("*.npz"))
    process = command("train", *arguments)
    _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, errors
    assert digests(tmp_path) == digests(uninterrupted)
    assert predictions(tmp_path) == predictions(uninterrupted)
    assert not (tmp_path / "outcomes").exists()
