"""Export of an arm, its check, and the loader that needs none of the package."""

import json
import os
import pathlib
import re
import subprocess
import sys

import jax
import numpy as np
import pytest
from jax import export

from experiments import export_check
from experiments.config_errors import ConfigError
from experiments.export import MANIFEST, PROGRAM, export_arm
from experiments.export_check import ExportMismatchError, check_export
from experiments.run_folder import load_config
from experiments.train_arm import parameters_sha256
from experiments.trained_run import Reading, open_run, read_scores
from tests.experiments.conftest import ROOT
from tests.experiments.untrained_run import write_untrained_run
from wbad_jax import models

pytest.importorskip("flatbuffers", reason="flatbuffers is missing")
LOADER = ROOT / "docs" / "examples" / "load_exported.py"


@pytest.fixture(scope="module")
def run(data_dir, tmp_path_factory):
    workdir = write_untrained_run(tmp_path_factory.mktemp("export") / "run", data_dir)
    return open_run(load_config(workdir), workdir)


def test_a_missing_package_is_told_with_what_to_install(run, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "flatbuffers", None)
    monkeypatch.delitem(sys.modules, "jax._src.export.serialization", raising=False)
    with pytest.raises(ConfigError, match=r"flatbuffers.*: pip install .*\[export\]"):
        export_arm(run, "wbad", tmp_path)


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    output = tmp_path_factory.mktemp("exported") / "new" / "folder"
    return output, export_arm(run, "wbad", output)


def test_the_manifest_tells_what_goes_in_and_out(run, exported):
    output, manifest = exported
    assert json.loads((output / MANIFEST).read_text("utf-8")) == manifest
    assert manifest["parameters_sha256"] == parameters_sha256(run.arm("wbad")[1])
    assert manifest["input"]["shape"] == ["batch", 32, 32, 1]
    assert manifest["input"]["window"] == [22.0, 38.0]
    assert manifest["input"]["outside_of_body"] == 30.0
    assert manifest["threat_model"]["linf"] == {
        "epsilon": 0.0078125,
        "epsilon_celsius": 0.125,
    }
    assert manifest["classes"] == ["healthy", "tumour"]
    assert manifest["denoiser"]["threshold_rule"] == "universal"
    assert manifest["not_a_diagnostic_device"] is True
    assert manifest["checks"]["batch_sizes"] == [1, 3]
    assert manifest["checks"]["gradient_error"] <= 1e-3
    program = export.deserialize(bytearray((output / PROGRAM).read_bytes()))
    assert list(program.platforms) == manifest["platforms"] == ["cpu"]


# Blocks all that the package is made of; what is left is what a stranger has.
BLOCKED = """
import sys, importlib.abc, runpy
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"wbad_jax", "experiments", "flax", "optax", "orbax"}:
            raise ModuleNotFoundError(f"blocked: {name}")
sys.meta_path.insert(0, Refuse())
for module in ("wbad_jax", "flax"):
    try:
        __import__(module)
    except ModuleNotFoundError:
        continue
    raise SystemExit(f"{module} is not blocked")
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_the_loader_needs_jax_alone(run, exported, tmp_path):
    output, _ = exported
    low, high = run.window
    images = run.fold.validation.images[:2]
    files = []
    for number, separator in enumerate((",", ";")):
        path = tmp_path / f"patient{number}.csv"
        celsius = low + (high - low) * images[number, ..., 0]
        np.savetxt(path, celsius, "%.5f", delimiter=separator)
        files.append(str(path))
    result = subprocess.run(
        [sys.executable, "-c", BLOCKED, str(LOADER), str(output), *files],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "PYTHONPATH": ""},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "Not a diagnostic device" in result.stdout
    arm, params = run.arm("wbad")
    expected = jax.nn.softmax(jax.jit(arm.evaluated.apply)(params, images))
    for path, shares in zip(files, np.asarray(expected), strict=True):
        line = next(x for x in result.stdout.splitlines() if x.startswith(path))
        found = [float(x) for x in re.findall(r"(?:healthy|tumour) ([\d.]+)", line)]
        np.testing.assert_allclose(found, shares, atol=1e-4)
        norm = float(re.search(r"gradient (\S+)", line)[1])
        assert norm > 0
    assert "wbad_jax" not in LOADER.read_text("utf-8")
    assert len(LOADER.read_text("utf-8").splitlines()) <= 44


@pytest.mark.slow
def test_a_wrong_file_is_refused(run):
    arm, params = run.arm("wbad")
    _, other = run.arm("undefended")
    mixed = {**params, "network": other["network"]}
    fn = models.celsius_logits_fn(arm.evaluated, mixed, run.window)
    content = models.export_logits(fn, run.image_shape)
    with pytest.raises(ExportMismatchError, match="logits by .* Nothing was written"):
        check_export(content, run, arm, params)


@pytest.mark.slow
def test_a_wrong_gradient_is_refused(run, monkeypatch):
    arm, params = run.arm("wbad")

    def straight_through(celsius):
        pixels = (celsius - run.window[0]) / 16
        return arm.evaluated.apply(params, pixels.clip(0, 1), backward="identity")

    content = models.export_logits(straight_through, run.image_shape)
    monkeypatch.setattr(export_check, "BATCH_SIZES", (1,))
    with pytest.raises(ExportMismatchError, match="gradient by"):
        check_export(content, run, arm, params)


def test_mistakes_are_told(run, tmp_path):
    with pytest.raises(ConfigError, match=r"--arm .*'undefended', 'wbad'.*'best'"):
        export_arm(run, "best", tmp_path)
    with pytest.raises(ConfigError, match=r"export: platforms.*'gpu'"):
        export_arm(run, "wbad", tmp_path, platforms=("gpu",))
    workdir = pathlib.Path(tmp_path / "empty")
    with pytest.raises(ConfigError, match="--fold must be one of"):
        open_run(run.config, workdir, "fold7")
    assert not list(tmp_path.glob("*.jaxexport"))


@pytest.mark.fast
def test_calibrated_probabilities_are_those_of_logistic_regression():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 4000)
    # The truth follows sigmoid(0.5 + 2 s) of these scores.
    score = rng.normal(size=4000)
    labels = (rng.random(4000) < 1 / (1 + np.exp(-0.5 - 2 * score))).astype(int)
    logits = np.stack([np.zeros(4000), score], axis=-1)

    class Validation:
        example_ids = patient_ids = np.arange(4000)

    Validation.labels = labels
    reading = read_scores(logits, Validation)
    assert reading.slope == pytest.approx(2, abs=0.2)
    assert reading.intercept == pytest.approx(0.5, abs=0.15)
    at = reading.probability(np.array([[0.0, 1.0]]))
    assert at[0] == pytest.approx(1 / (1 + np.exp(-2.5)), abs=0.02)
    assert np.mean(score[labels == 0] > reading.threshold) <= 0.1
    nothing = Reading(threshold=None, slope=None, intercept=None, num_validation=0)
    assert nothing.probability(logits) is None
    # A score that points the wrong way is no probability.
    assert read_scores(-logits, Validation).slope is None
