"""A few steps are traced, once; programs are kept where the user says."""

import os
import subprocess
import sys

import jax
import pytest

from experiments.step_trace import StepTrace

pytestmark = pytest.mark.fast


@pytest.fixture
def events(monkeypatch):
    noted = []
    monkeypatch.setattr(
        jax.profiler, "start_trace", lambda folder: noted.append(folder)
    )
    monkeypatch.setattr(jax.profiler, "stop_trace", lambda: noted.append("stop"))
    return noted


@pytest.mark.parametrize(
    ("steps", "expected"),
    [(2, []), (3, []), (4, [3, "end"]), (5, [3, "end"]), (6, [3, 5]), (9, [3, 5])],
)
def test_two_steps_after_the_first_three(steps, expected, events, tmp_path):
    trace = StepTrace(tmp_path, skip=3, count=2)
    seen = []
    for step in range(steps):
        before = len(events)
        trace(step)
        seen += [step] * (len(events) - before)
    before = len(events)
    trace.close()
    seen += ["end"] * (len(events) - before)
    assert seen == expected
    assert events == ([str(tmp_path), "stop"] if expected else [])


@pytest.mark.parametrize("chosen", [None, "elsewhere"])
def test_compiled_programs_are_kept(chosen, tmp_path):
    script = (
        "import jax; from experiments.command_line import prepare_jax; prepare_jax();"
        "print(jax.config.jax_compilation_cache_dir)"
    )
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    if chosen:
        environment["JAX_COMPILATION_CACHE_DIR"] = chosen
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=True, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    folder = done.stdout.strip()
    assert folder == chosen or folder.startswith(str(tmp_path / "wbad_jax/compiled"))
    assert bool(chosen) == (folder == chosen)
