"""The command that certifies the arms of a finished run."""

import json
import shutil
import types

import numpy as np
import pyarrow.parquet as pq
import pytest

from configs import certified
from experiments import certificate_files, certify
from experiments.certify import certify_run
from experiments.config_errors import ConfigError
from experiments.run_folder import load_config
from experiments.train import train_and_evaluate
from wbad_jax.training import StopRequestedError, read_metrics

ARMS = ("undefended", "denoise")


@pytest.fixture(scope="module")
def trained(data_dir, tmp_path_factory):
    """A finished run; tests work on copies."""
    workdir = tmp_path_factory.mktemp("certified")
    config = certified.get_config("smoke")
    config.data.data_dir = str(data_dir)
    config.evaluation.protocols = ("clean",)
    train_and_evaluate(config.lock(), workdir)
    return workdir


@pytest.fixture
def workdir(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def read(workdir):
    text = (workdir / "certificates.json").read_text()
    return json.loads(text), pq.read_table(workdir / "certificates.parquet").to_pylist()


def test_noise_trained_arms_are_chosen_by_accuracy_under_noise(trained):
    lines = read_metrics(trained / "metrics.jsonl")
    scores = [line for line in lines if "validation_noisy_accuracy" in line]
    assert {line["run"] for line in scores} == set(ARMS)
    assert all(0 <= line["validation_noisy_accuracy"] <= 1 for line in scores)


def test_files_and_table(workdir, capsys):
    config = load_config(workdir)
    config.arms = ("denoise",)  # compiling the attack takes the time
    certify_run(config, workdir)
    record, lines = read(workdir)
    meta, curves = record["meta"], record["curves"]
    assert [(c["arm"], c["sigma"]) for c in curves] == [("denoise", 0.1)]
    assert meta["window_celsius"] == [22.0, 38.0]
    assert meta["radius_per_linf_epsilon"] == 32
    assert meta["num_samples"] == 40
    assert len(lines) == 8 * len(curves)
    for curve in curves:
        own = [
            line
            for line in lines
            if (line["arm"], line["sigma"]) == (curve["arm"], curve["sigma"])
        ]
        check_curve(curve, own)
    output = capsys.readouterr().out
    assert "R >= 0.1" in output
    assert "epsilon a radius of 32 epsilon is needed" in output
    assert "no diagnostic use" in output
    assert not (workdir / "certificates.parts").exists()


def check_curve(curve, lines):
    assert curve["noise_trained"]
    assert curve["n"] == len(lines) == 8
    assert curve["num_patients"] == 4  # both twins of each
    assert curve["radius"] == [0.0, 0.1]
    assert curve["radius_celsius"] == pytest.approx([0.0, 1.6])
    assert curve["sigma_celsius"] == pytest.approx(16 * curve["sigma"])
    for index, radius in enumerate(curve["radius"]):
        right = [
            line["predicted"] == line["label"]
            and not line["abstained"]
            and line["radius"] >= radius
            for line in lines
        ]
        accuracy = curve["certified_accuracy"][index]
        assert accuracy == pytest.approx(np.mean(right))
        assert curve["ci_low"][index] <= accuracy <= curve["ci_high"][index]
    assert curve["abstained"] == np.mean([line["abstained"] for line in lines])
    assert curve["empirical_accuracy"][1] <= curve["empirical_accuracy"][0]
    checks = curve["checks"]
    assert checks["certified"] == sum(not line["abstained"] for line in lines)
    assert checks["violations"] == 0
    assert checks["contradictory_twins"] == 0
    assert checks["radii_above_pair_bound"] == []


@pytest.fixture
def made(monkeypatch):
    """What was certified, without the work of it; stops before one too many."""
    done = types.SimpleNamespace(arms=[], most=100)

    def fake(config, arm, params, examples, sigma, check):
        if len(done.arms) == done.most:
            raise StopRequestedError
        done.arms.append((arm.name, sigma, config.certificates.num_samples))
        n, radii = len(examples.labels), config.certificates.radii
        return {
            "predicted": examples.labels,
            "abstained": np.arange(n) % 4 == 0,
            "radius": sigma * (np.arange(n) % 4),
            "violated": np.zeros(n, bool),
            "attacked": np.zeros((len(radii), n), int),
            "contradictory": np.zeros(n, bool),
            "above_bound": np.zeros(len(radii), bool),
        }

    monkeypatch.setattr(certify, "certify_arm", fake)
    return done


def test_stopped_it_goes_on_with_the_same_numbers(workdir, made):
    config = load_config(workdir)
    config.certificates.sigmas = (0.05, 0.1)
    every = [(arm, sigma, 40) for arm in ARMS for sigma in (0.05, 0.1)]
    certify_run(config, workdir)
    expected = read(workdir)
    assert made.arms == every
    (workdir / "certificates.json").unlink()
    made.arms, made.most = [], 3
    with pytest.raises(StopRequestedError):
        certify_run(config, workdir)
    assert not (workdir / "certificates.json").exists()
    made.most = 100
    certify_run(config, workdir)
    assert made.arms == every
    assert read(workdir) == expected


def test_other_settings_use_nothing_of_before(workdir, made):
    config = load_config(workdir)
    made.most = 1
    with pytest.raises(StopRequestedError):
        certify_run(config, workdir)
    config.certificates.num_samples = 64
    made.most = 100
    certify_run(config, workdir)
    assert [num_samples for _, _, num_samples in made.arms] == [40, 64, 64]


def test_an_unfinished_run_is_refused(workdir):
    shutil.rmtree(workdir / "undefended")
    with pytest.raises(ConfigError, match="undefended.*Run experiments.train first"):
        certify_run(load_config(workdir), workdir)


@pytest.mark.fast
def test_what_failed_is_said():
    checks = {
        "certified": 9,
        "violations": 2,
        "contradictory_twins": 0,
        "radii_certified_above_empirical": [0.1],
        "radii_above_pair_bound": [],
    }
    curve = {"arm": "wbad", "sigma": 0.25, "checks": checks}
    assert certificate_files.failures([curve]) == [
        "wbad at sigma 0.25: certificates refuted by an attack: 2.",
        "wbad at sigma 0.25: radii with more certified than left: [0.1].",
    ]
