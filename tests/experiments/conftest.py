"""Runs of the real commands on tiny data, shared by the tests of this folder."""

import importlib
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="session")
def cache_home(tmp_path_factory):
    """Cache folder of the commands of this session."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def data_dir(cache_home):
    """Where prepared data sets are kept: once for functions and commands."""
    return cache_home / "wbad_jax" / "data"


@pytest.fixture
def smoke_config(data_dir, monkeypatch):
    """From the name of a config to its smoke variant."""
    monkeypatch.chdir(ROOT)

    def load(name: str, **overrides):
        config = importlib.import_module(f"configs.{name}").get_config("smoke")
        config.data.data_dir = str(data_dir)
        config.update_from_flattened_dict(overrides)
        return config.lock()

    return load


@pytest.fixture(scope="session")
def fast_run(data_dir, tmp_path_factory):
    """A finished run of two arms whose attacks compile fast; tests work on copies."""
    from experiments.train import train_and_evaluate

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        config = importlib.import_module("configs.quickstart").get_config("smoke")
    config.data.data_dir = str(data_dir)
    config.evaluation.attacks = ("fgsm", "pgd")
    config.evaluation.protocols = ("clean", "adaptive")
    config.evaluation.backward_modes = ()
    workdir = tmp_path_factory.mktemp("fast_run")
    train_and_evaluate(config.lock(), workdir)
    return workdir


@pytest.fixture(scope="module")
def command(cache_home):
    """Start `python -m experiments.NAME` with arguments, in the background."""
    started = []

    def start(name: str, *arguments: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-m", f"experiments.{name}", *arguments],
            cwd=ROOT,
            env={**os.environ, "XDG_CACHE_HOME": str(cache_home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            stream.close()


@pytest.fixture(scope="session")
def dmr_ir_folder(tmp_path_factory):
    """A raw folder in the format of DMR-IR: 16 patients, both text dialects."""
    folder = tmp_path_factory.mktemp("dmr_ir")
    (folder / "matrices").mkdir()
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[-1:1:480j, -1:1:640j]
    lines = ["ID,Diagnosis"]
    for patient in range(1, 17):
        sick = patient > 8
        celsius = np.where(np.abs(columns) < 0.7 - 0.1 * rows, 31.0, 22.5)
        if sick:
            celsius += 2 * np.exp(-((columns - 0.3) ** 2 + rows**2) / 0.02)
        celsius += rng.normal(0, 0.05, celsius.shape)
        # Numbers of one width, written by whole rows: savetxt takes a second a file.
        dialect = ("{:8.5f}", ";") if patient % 2 else ("{:5.2f}", " ")
        text = "\n".join(dialect[1].join(map(dialect[0].format, r)) for r in celsius)
        (folder / "matrices" / f"T{patient:04d}.txt").write_text(text + "\n")
        lines.append(f"{patient},{'Sick' if sick else 'Healthy'}")
    (folder / "diagnosis.csv").write_text("\n".join(lines) + "\n")
    return folder
