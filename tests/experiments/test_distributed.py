"""The commands as one of several processes."""

import json
import os
import signal
import subprocess
import sys

import pytest

from experiments import distributed
from experiments.config_errors import ConfigError
from experiments.train_arm import training_mesh
from tests import pairs
from tests.experiments.test_interruption import ARGUMENTS, digests, wait_for_step
from wbad_jax import devices
from wbad_jax.training import read_metrics

TIMEOUT = 900
TRAIN = (*ARGUMENTS, "--config.evaluation.protocols=('adaptive',)")


@pytest.mark.parametrize(
    ("address", "parsed"),
    [
        ("10.0.0.1:1234,2,0", ("10.0.0.1:1234", 2, 0)),
        ("node-7:80,16,15", ("node-7:80", 16, 15)),
        ("[::1]:9,1,0", ("[::1]:9", 1, 0)),
    ],
)
def test_an_address_is_parsed(address, parsed):
    assert distributed.parse(address) == parsed


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("automatic", "must be 'auto' or HOST:PORT,NUM_PROCESSES,PROCESS_ID"),
        ("host:1,2", "got 'host:1,2'"),
        ("host:1,2,0,0", "HOST:PORT"),
        (":1,2,0", "HOST:PORT"),
        ("host,2,0", "HOST:PORT"),
        ("host:x,2,0", "HOST:PORT"),
        ("host:1,two,0", "HOST:PORT"),
        ("host:1,2,-1", "HOST:PORT"),
        ("host:0,2,0", "port must be between 1 and 65535, got 0"),
        ("host:65536,2,0", "port must be between 1 and 65535, got 65536"),
        ("host:1,2,2", "below NUM_PROCESSES, got 2 of 2"),
        ("host:1,0,0", "below NUM_PROCESSES, got 0 of 0"),
    ],
)
def test_a_malformed_address_is_refused(address, message):
    with pytest.raises(ConfigError, match="--distributed") as error:
        distributed.connect(address)
    assert message in str(error.value)


def test_one_process_connects_to_nothing():
    distributed.connect("")
    distributed.connect(None)


def test_a_batch_that_processes_cannot_share_is_refused(smoke_config, monkeypatch):
    config = smoke_config("quickstart")

    def refuse(batch_size):
        raise ValueError(f"batch_size must be a multiple of 3, got {batch_size}.")

    monkeypatch.setattr(devices, "data_mesh", refuse)
    with pytest.raises(ConfigError, match=r"^training.batch_size must be .* got 8"):
        training_mesh(config)


@pytest.fixture
def start_pair(cache_home):
    """Start two processes of a command, one device each, in the background."""
    started = []

    def start(name, *arguments):
        def start_one(address, number):
            flag = f"--distributed={address},{pairs.COUNT},{number}"
            return subprocess.Popen(
                [sys.executable, "-m", f"experiments.{name}", flag, *arguments],
                env={
                    **os.environ,
                    "XDG_CACHE_HOME": str(cache_home),
                    "JAX_NUM_CPU_DEVICES": "1",
                },
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )

        started.extend(pairs.start_both(start_one))
        return started[-pairs.COUNT :]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def finish(processes):
    """The output of both, which must have ended well."""
    ended = [process.communicate(timeout=TIMEOUT) for process in processes]
    for process, (_, errors) in zip(processes, ended, strict=True):
        assert process.returncode == 0, errors
        assert "Traceback" not in errors
    return [output for output, _ in ended]


@pytest.mark.slow
def test_a_signal_to_one_of_two_stops_both_and_they_resume(start_pair, tmp_path):
    whole, halved = tmp_path / "whole", tmp_path / "halved"
    said, others = finish(start_pair("train", *TRAIN, f"--workdir={whole}"))
    # The first alone speaks and writes.
    assert "Research only" in said
    assert "Research only" not in others
    results = json.loads((whole / "results.json").read_text())
    assert results["meta"]["processes"] == pairs.COUNT
    assert results["meta"]["device"].endswith(f"x {pairs.COUNT}")
    steps = [
        (line["run"], line["step"])
        for line in read_metrics(whole / "metrics.jsonl")
        if "loss" in line
    ]
    assert len(steps) == len(set(steps))

    arguments = (*TRAIN, f"--workdir={halved}")
    processes = start_pair("train", *arguments)
    wait_for_step(processes[0], halved, "undefended", 2)
    processes[1].send_signal(signal.SIGTERM)
    said, _ = finish(processes)
    assert "stopped and saved at step" in said
    assert not (halved / "results.json").exists()
    last = read_metrics(halved / "metrics.jsonl")[-1]
    assert (halved / last["run"] / "checkpoints" / str(last["step"])).is_dir()

    said, _ = finish(start_pair("train", *arguments))
    assert "resuming from step" in said or "finished earlier" in said
    assert digests(halved) == digests(whole)

    # Evaluated again.
    (whole / "results.json").unlink()
    finish(start_pair("evaluate", f"--workdir={whole}"))
    assert digests(whole) == digests(halved)


@pytest.mark.slow
@pytest.mark.parametrize("killed", range(pairs.COUNT))
def test_when_one_is_killed_the_other_ends_too(killed, start_pair, tmp_path):
    processes = start_pair("train", *TRAIN, f"--workdir={tmp_path}")
    wait_for_step(processes[0], tmp_path, "undefended", 1)
    processes[killed].send_signal(signal.SIGKILL)
    other = processes[1 - killed]
    other.communicate(timeout=TIMEOUT)
    assert other.returncode != 0
    assert not (tmp_path / "results.json").exists()
