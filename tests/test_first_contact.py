"""Nothing is computed at import, and what is slow to import waits until it is used."""

import json
import pkgutil
import subprocess
import sys

import pytest

import experiments
import wbad_jax
from benchmarks import first_contact

# Each costs a tenth of a second to some seconds, and most calls do without.
SLOW = (
    "grain",
    "matplotlib",
    "orbax",
    "pandas",
    "scipy.optimize",
    "scipy.stats",
    "skimage.filters",
    "sklearn",
    "tensorboardX",
    "tensorflow",
    "torch",
)
SCRIPT = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
from jax._src import xla_bridge
print(json.dumps([xla_bridge.backends_are_initialized(), sorted(sys.modules)]))
"""


def modules():
    """All of the library and of the commands."""
    for package in (wbad_jax, experiments):
        found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        yield from (m.name for m in found if not m.name.endswith("__main__"))


def after_import(*names):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *names],
        cwd=first_contact.REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def imported():
    names = list(modules())
    assert len(names) > 200
    return after_import(*names)


@pytest.mark.fast
def test_no_device_is_asked_for_at_import(imported):
    initialised, loaded = imported
    assert not initialised
    assert "wbad_jax.attacks.pgd" in loaded


@pytest.mark.fast
def test_slow_libraries_wait_until_they_are_used(imported):
    assert not set(SLOW) & set(imported[1])


@pytest.mark.slow
def test_the_probe_sees_what_it_forbids(tmp_path, monkeypatch):
    (tmp_path / "eager.py").write_text("import jax, scipy.stats\njax.devices()\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    initialised, loaded = after_import("eager")
    assert initialised
    assert "scipy.stats" in loaded


@pytest.mark.fast
def test_all_commands_are_measured():
    assert {"train", "evaluate", "report"} <= set(first_contact.commands())
    assert "cohort" not in first_contact.commands()
    assert first_contact.packages() == sorted(
        m.name for m in pkgutil.iter_modules(wbad_jax.__path__) if m.ispkg
    )


@pytest.mark.fast
def test_the_least_is_that_of_each_row():
    rounds = [{"help": {"train": x, "audit": 1.0}} for x in (3.0, 1.0, 2.0)]
    assert first_contact.least(rounds) == {"help": {"train": 1.0, "audit": 1.0}}


@pytest.mark.slow
def test_help_and_imports_keep_to_the_goals(tmp_path):
    assert first_contact.main(["--rounds=1", f"--output={tmp_path / 'r.json'}"]) == 0
