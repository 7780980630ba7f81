"""The command that simulates a cohort ahead of its use."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

from experiments import preview, simulate
from experiments.config_errors import ConfigError
from tests.data import fake_patients
from tests.experiments.conftest import ROOT
from wbad_jax import bioheat, data
from wbad_jax.data import DataError

# Runs the command on fake patients; the signal comes before the 71st.
FAKE_COMMAND = """
import os, signal, sys
from experiments import command_line, simulate
from tests.data import fake_patients
from wbad_jax import bioheat

def simulate_fakes(seeds, settings, *, workers=2):
    for number, seed in enumerate(seeds):
        if number == 70:
            os.kill(os.getpid(), getattr(signal, os.environ["STOP"]))
        yield fake_patients.simulate_patient(seed, settings)

signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a job in the background
bioheat.simulate = simulate_fakes
sys.argv = ["simulate", *sys.argv[1:]]
command_line.run_command(simulate.main, simulate.define_flags)
"""


@pytest.fixture
def fake_command(tmp_path):
    """Run the command on fake patients; STOP is a signal that it gets, or SIGCHLD."""

    def run(*arguments, stop="SIGCHLD"):  # which does nothing
        return subprocess.run(
            [sys.executable, "-c", FAKE_COMMAND, f"--data_dir={tmp_path}", *arguments],
            cwd=ROOT,
            env={**os.environ, "STOP": stop},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def test_stopped_and_resumed(fake_command, tmp_path):
    arguments = ("--cohort=tiny", "--num_patients=120", "--first_seed=0")
    stopped = fake_command(*arguments, stop="SIGTERM")
    assert stopped.returncode == 0, stopped.stderr
    assert "The same command resumes it." in stopped.stdout
    assert "Traceback" not in stopped.stderr
    assert len(list(tmp_path.glob("simulation/*/shard-*.npz"))) == 1
    finished = fake_command(*arguments)
    assert finished.returncode == 0, finished.stderr
    assert "50 of 120 patients are there" in finished.stdout
    assert "holds 120 patients, " in finished.stdout
    assert "Using custom" not in finished.stderr
    assert not (tmp_path / "simulation").exists()


def test_stopped_by_ctrl_c(fake_command, tmp_path):
    stopped = fake_command("--cohort=tiny", "--num_patients=120", stop="SIGINT")
    assert stopped.returncode == 0, stopped.stderr
    assert "The same command resumes it." in stopped.stdout
    assert "Traceback" not in stopped.stderr
    assert len(list(tmp_path.glob("simulation/*/shard-*.npz"))) == 1


@pytest.fixture
def run_in_process(tmp_path, monkeypatch):
    """The command without its flags, on fake patients."""
    monkeypatch.setattr(bioheat, "simulate", fake_patients.simulate)

    def run(cohort="tiny", data_dir=tmp_path, preview=None, **settings):
        simulate.simulate(
            cohort, data_dir, settings=settings, workers=2, preview=preview
        )

    return run


def test_tells_what_is_there(run_in_process, capsys, tmp_path):
    run_in_process(num_patients=15)
    run_in_process(num_patients=15)
    out = capsys.readouterr().out
    assert out.count("Preparing") == 1
    told = re.findall(r"(\S+) holds 15 patients, ([0-9.]+)% of them with a tumour", out)
    assert len(told) == 2
    assert told[0] == told[1]
    assert told[0][0].startswith(str(tmp_path / "simulated_thermograms" / "tiny-"))
    assert 0 < float(told[0][1]) < 100


def test_preview(run_in_process, tmp_path, capsys):
    image = pytest.importorskip("matplotlib.image")
    path = tmp_path / "preview.png"
    run_in_process(num_patients=15, preview=path)
    assert str(path) in capsys.readouterr().out
    picture = image.imread(path)
    assert min(picture.shape[:2]) > 500
    assert picture[..., :3].std() > 0.1


def test_preview_of_a_series(tmp_path, monkeypatch):
    """Of fewer than twelve patients, at their first frame."""
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(bioheat, "simulate", fake_patients.simulate)
    builder = data.prepare(
        "simulated_thermograms/dynamic",
        tmp_path,
        settings={"num_patients": 4, "shape": (16, 16), "spacing_mm": 6.0},
    )
    index = data.read_index(builder)
    preview.write_preview(builder, index, tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cohort": "papr"}, "'papr' of simulated_thermograms. Known: paper"),
        ({"num_patients": 0}, "num_patients must be .* got 0"),
        ({"preview": pathlib.Path("absent/x.png")}, "folder that exists, .*absent"),
        ({"preview": pathlib.Path("x.doc")}, "end in one of .*png.* got x.doc"),
        ({"data_dir": pathlib.Path("/dev/null/x")}, "/dev/null/x.*Not a directory"),
    ],
)
def test_mistakes_are_named(run_in_process, arguments, message):
    with pytest.raises((ConfigError, DataError), match=message):
        run_in_process(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--cohort=tiny", "--num_patients=0"), "num_patients must be .* got 0"),
        (("--cohort=tiny", "--workers=0"), "workers=0"),
        ((), "--cohort is required"),
    ],
)
def test_mistakes_get_one_line(fake_command, arguments, message):
    done = fake_command(*arguments)
    assert done.returncode == 2
    assert re.search(message, done.stderr), done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1


def test_preview_without_matplotlib(monkeypatch, tmp_path):
    monkeypatch.setattr(preview.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="Matplotlib, which is not installed.*docs"):
        preview.check_preview(tmp_path / "x.png")


def test_help(command):
    output, _ = command("simulate", "--help").communicate(timeout=120)
    for flag in ("cohort", "num_patients", "first_seed", "data_dir", "preview"):
        assert f"--{flag}" in output
    assert "quickstart" in output
