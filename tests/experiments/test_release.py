"""A released folder is small, holds no code, and evaluates to the same numbers."""

import json
import shutil

import jax
import numpy as np
import pytest

from experiments.config_errors import ConfigError
from experiments.evaluate import evaluate_run
from experiments.parameter_files import FILE, read_parameters, write_parameters
from experiments.release import release
from experiments.run_folder import load_config


@pytest.fixture(scope="module")
def tree():
    return {"a": {"kernel": np.ones((2, 3), np.float32)}, "b": np.float32(2)}


@pytest.fixture
def finished(fast_run, tmp_path):
    return shutil.copytree(fast_run, tmp_path / "run")


@pytest.mark.fast
def test_parameters_survive_the_file(tree, tmp_path):
    write_parameters(tree, tmp_path / FILE)
    read = read_parameters(tmp_path / FILE, jax.tree.map(np.zeros_like, tree))
    jax.tree.map(np.testing.assert_array_equal, read, tree)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"a": {"kernel": np.ones((2, 3), np.float32)}}, "differs in b"),
        (
            {"a": {"kernel": np.ones((3, 3), np.float32)}, "b": np.float32(2)},
            r"a.kernel must be float32\[2, 3\], got float32\[3, 3\]",
        ),
        (
            {"a": {"kernel": np.array([[None] * 3] * 2)}, "b": np.float32(2)},
            "cannot be read as parameters",
        ),
    ],
)
def test_other_parameters_are_refused(other, message, tree, tmp_path):
    write_parameters(other, tmp_path / FILE)
    with pytest.raises(ConfigError, match=message):
        read_parameters(tmp_path / FILE, tree)


@pytest.mark.fast
def test_damaged_parameters_are_refused(tree, tmp_path):
    write_parameters(tree, tmp_path / FILE)
    whole = (tmp_path / FILE).read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"no archive"):
        (tmp_path / FILE).write_bytes(damaged)
        with pytest.raises(ConfigError, match="cannot be read as parameters"):
            read_parameters(tmp_path / FILE, tree)


def test_a_release_evaluates_to_the_same_rows(finished, tmp_path):
    folder = tmp_path / "small"
    release(finished, folder)
    files = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    assert files == [
        "README.md", "config.json", "results.json", f"undefended/{FILE}", f"wbad/{FILE}"
    ]  # fmt: skip
    card = (folder / "README.md").read_text("utf-8")
    before = json.loads((folder / "results.json").read_text())
    assert "Not a diagnostic device" in card
    for digest in before["meta"]["parameters_sha256"].values():
        assert digest in card
    config = load_config(folder)
    config.data.data_dir = load_config(finished).data.data_dir
    again = shutil.copytree(folder, tmp_path / "again")
    evaluate_run(config, again)
    after = json.loads((again / "results.json").read_text())
    assert after["meta"]["parameters_sha256"] == before["meta"]["parameters_sha256"]
    for row, same in zip(before["rows"], after["rows"], strict=True):
        assert {**row, "seconds": 0} == {**same, "seconds": 0}
    with pytest.raises(ConfigError, match="exists; choose another --output"):
        release(finished, folder)


def test_parameters_of_other_results_are_not_released(finished, tmp_path):
    workdir = finished
    results = json.loads((workdir / "results.json").read_text())
    results["meta"]["parameters_sha256"]["wbad"] = "0"
    (workdir / "results.json").write_text(json.dumps(results))
    with pytest.raises(ConfigError, match="not those that results.json is about"):
        release(workdir, tmp_path / "out")
    (workdir / "results.json").unlink()
    with pytest.raises(ConfigError, match="is missing: the run is not finished"):
        release(workdir, tmp_path / "out")
