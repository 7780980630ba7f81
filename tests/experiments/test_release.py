"""A released folder is small, holds no code, and evaluates to the same numbers."""

import json
import shutil

import jax
import numpy as np
import pytest

from configs import default
from experiments.config_errors import ConfigError
from experiments.evaluate import evaluate_run
from experiments.parameter_files import FILE, read_parameters, write_parameters
from experiments.release import release
from experiments.released_results import of_arms, with_surrogates
from experiments.run_folder import load_config
from experiments.settings import build_arms
from experiments.threshold_log import universal_multiple
from experiments.train import train_and_evaluate
from experiments.train_arm import restore_arm


@pytest.fixture(scope="module")
def tree():
    return {"a": {"kernel": np.ones((2, 3), np.float32)}, "b": np.float32(2)}


@pytest.fixture
def finished(fast_run, tmp_path):
    return shutil.copytree(fast_run, tmp_path / "run")


def read_results(folder):
    return json.loads((folder / "results.json").read_text("utf-8"))


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
    """Also where the run was evaluated with other settings than it was trained with."""
    config = load_config(finished)
    config.evaluation.attacks = ("fgsm",)
    config.evaluation.epsilon_multiples = (0.5, 1.0)
    evaluate_run(config, finished)
    assert read_results(finished)["meta"]["overrides"] == {
        "evaluation.attacks": ["fgsm"], "evaluation.epsilon_multiples": [0.5, 1.0],
    }  # fmt: skip
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


def test_an_arm_is_evaluated_without_the_one_it_started_from(finished):
    config = load_config(finished)
    config.arms = (config.evaluation.reference_arm,) = ("wbad",)
    config.evaluation.protocols = ("clean",)
    evaluate_run(config, finished)
    rows = read_results(finished)["rows"]
    assert {(row["arm"], row["attack"]) for row in rows} == {("wbad", "none")}


def test_training_starts_from_a_released_arm(finished, tmp_path):
    folder = tmp_path / "small"
    release(finished, folder)
    config = load_config(finished)
    config.arms = ("undefended",)
    config.arm.undefended.init_from = str(folder / "undefended")
    config.arm.undefended.num_steps = 0
    config.evaluation.protocols = ("clean",)
    train_and_evaluate(config, tmp_path / "taken")
    before, after = read_results(finished)["rows"], read_results(tmp_path / "taken")
    (clean,) = [r for r in after["rows"] if r["set"] == "test"]
    (same,) = [
        r for r in before if r["arm"] == "undefended" and r["set"] == "test"
        and r["protocol"] == "clean"
    ]  # fmt: skip
    assert {**clean, "seconds": 0} == {**same, "seconds": 0}
    config.arm.undefended.init_from = str(folder / "wbat")
    with pytest.raises(ConfigError, match=r"no folder of a released arm"):
        train_and_evaluate(config, tmp_path / "missing")


def test_a_network_released_without_denoiser_starts_behind_a_learned_one(tmp_path):
    config = default.get_config("smoke")
    config.arms = ("wbad",)
    config.denoiser.threshold_rule = "learned"
    config.arm.wbad.num_steps = 0
    config.arm.wbad.init_from = str(tmp_path / "undefended")
    (tmp_path / "undefended").mkdir()
    write_parameters({}, tmp_path / "undefended" / FILE)  # for it to be found
    (arm,) = build_arms(config, (32, 32, 1))
    drawn = jax.jit(arm.classifier.init)(jax.random.key(3))
    released = {"network": drawn["network"]}
    write_parameters(released, tmp_path / "undefended" / FILE)
    params = restore_arm(arm, workdir=tmp_path, run="wbad", earlier={})
    jax.tree.map(np.testing.assert_array_equal, params["network"], drawn["network"])
    start = universal_multiple(arm)
    np.testing.assert_allclose(arm.classifier.thresholds(params), start, rtol=1e-5)


def test_some_arms_alone(finished, tmp_path):
    release(finished, tmp_path / "one", arms=["undefended"])
    config, results = load_config(tmp_path / "one"), read_results(tmp_path / "one")
    assert config.arms == ("undefended",)
    assert {row["arm"] for row in results["rows"]} == {"undefended"}
    assert [*results["meta"]["num_parameters"]] == ["undefended"]
    assert not (tmp_path / "one" / "wbad").exists()
    with pytest.raises(ConfigError, match=r"--arms names \['other'\]; known"):
        release(finished, tmp_path / "two", arms=["other"])
    with pytest.raises(ConfigError, match="started from 'undefended'; name that too"):
        release(finished, tmp_path / "two", arms=["wbad"])


@pytest.mark.fast
def test_rows_follow_arms_and_surrogates():
    def row(arm, surrogate=None, **more):
        return {"arm": arm, "surrogate": surrogate, **more}

    results = {
        "meta": {
            "graybox": [{"surrogate": "runs/a"}],
            "num_parameters": {"x": 1, "y": 2},
        },
        "rows": [row("x"), row("y", "runs/a")],
        "comparisons": [row("y", reference="x"), row("y", "runs/a", reference="y")],
    }
    found = with_surrogates(of_arms(results, ["y"]), ["checkpoints/a"])
    assert found["rows"] == [row("y", "checkpoints/a")]
    assert found["comparisons"] == [row("y", "checkpoints/a", reference="y")]
    assert found["meta"]["graybox"] == [{"surrogate": "checkpoints/a"}]
    assert found["meta"]["num_parameters"] == {"y": 2}
    with pytest.raises(ConfigError, match="must name 1 folders"):
        with_surrogates(results, ["a", "b"])


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
