"""No file that is read can execute code, whatever somebody put into it."""

import contextlib
import json
import pathlib
import pickle

import numpy as np
import pytest

from benchmarks.file_readers import READERS
from configs import quickstart
from experiments import run_folder, settings
from experiments.config_checks import check_values

SHAPE = (32, 32, 1)


class Payload:
    """Touches a file when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return pathlib.Path.touch, (self.marker,)


@pytest.fixture
def marker(tmp_path):
    """A file that exists once code of ours was run."""
    return tmp_path / "executed"


def read(reader, path):
    """What becomes of it is the matter of another test."""
    try:
        reader.read(path, path.parent)
    except Exception as error:
        return str(error)
    return ""


def test_the_payload_works(marker):
    pickle.loads(pickle.dumps(Payload(marker)))
    assert marker.exists()


SLOW = ("checkpoint", "gallery", "predictions", "prepared", "report")
CASES = [
    pytest.param(name, marks=pytest.mark.slow) if name.startswith(SLOW) else name
    for name in READERS
]


# Orbax leaves readers that failed to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", CASES)
def test_pickles_in_place_of_a_file(name, tmp_path, marker):
    reader = READERS[name]
    folder = tmp_path / "files"
    folder.mkdir()
    for path in reader.make(folder):
        whole = path.read_bytes()
        for protocol in (0, 2, 5):
            path.write_bytes(pickle.dumps(Payload(marker), protocol))
            read(reader, path)
            assert not marker.exists(), path
        path.write_bytes(whole)


ARCHIVES = (
    "simulated shard",
    "part of an evaluation",
    pytest.param("gallery", marks=pytest.mark.slow),
)


@pytest.mark.parametrize("name", ARCHIVES)
def test_objects_in_archives_of_arrays(name, tmp_path, marker):
    reader = READERS[name]
    folder = tmp_path / "files"
    folder.mkdir()
    (path,) = reader.make(folder)
    with np.load(path) as file:
        names = file.files
    for poisoned in names:
        arrays = {n: np.zeros(3) for n in names}
        arrays[poisoned] = np.array([Payload(marker)], dtype=object)
        np.savez(path, **arrays)
        assert path.name in read(reader, path)
        assert not marker.exists()


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives_do_not_write_outside(name, tmp_path):
    reader = READERS[name]
    folder = tmp_path / "a" / "files"
    folder.mkdir(parents=True)
    (path,) = reader.make(folder)
    before = sorted(tmp_path.rglob("*"))
    np.savez(path, **{"../../outside": np.zeros(3), "/tmp/outside": np.zeros(3)})
    assert path.name in read(reader, path)
    assert sorted(tmp_path.rglob("*")) == before


HOSTILE = (
    "__import__('pathlib').Path({marker!r}).touch()",
    "$(touch {marker})",
    "x; touch {marker} #",
    "pathlib:Path",
    "../../../../../etc/passwd",
    "{{{{ cycler.__init__.__globals__.os.system('touch {marker}') }}}}",
)


@pytest.mark.parametrize("template", HOSTILE)
def test_hostile_strings_in_a_config(template, tmp_path, marker):
    """Each text field in turn, as far as it is looked at before a run."""
    run_folder.record_config(quickstart.get_config("smoke").lock(), tmp_path)
    path = tmp_path / "config.json"
    record = json.loads(path.read_text("utf-8"))
    text = template.format(marker=str(marker))
    for field, value in run_folder.flatten(record["config"]).items():
        if not isinstance(value, str):
            continue
        changed = json.loads(json.dumps(record))
        *parents, name = field.split(".")
        section = changed["config"]
        for parent in parents:
            section = section[parent]
        section[name] = text
        path.write_text(json.dumps(changed))
        with contextlib.suppress(ValueError):  # ConfigError and DataError among them
            config = run_folder.load_config(tmp_path)
            check_values(config)
            settings.build_arms(config, SHAPE)
        assert not marker.exists(), field
