"""Checks of a run: their file, what is printed, resumption, exit status."""

import json
import shutil
import types

import pytest

from configs import quickstart
from experiments import checks
from experiments.config_checks import check_values
from experiments.config_errors import ConfigError
from experiments.evaluate import evaluate_run
from experiments.run_folder import load_config
from experiments.train import train_and_evaluate
from tests.hand_made import outcome
from wbad_jax import evaluation, training
from wbad_jax.evaluation import masking

ARMS = ("undefended", "denoise_frozen")
# One of each kind: gradients, attacks, other backward passes, features.
SOME = ("C4", "C15", "C20", "C21")


def read_checks(workdir):
    def refuse(constant):
        raise AssertionError(constant)

    text = (workdir / "checks.json").read_text()
    found = json.loads(text, parse_constant=refuse)
    by_name = {(c["id"], c["arm"]): c for c in found["checks"]}
    assert len(by_name) == len(found["checks"])
    return found["meta"], by_name


@pytest.fixture(scope="module")
def trained(data_dir, tmp_path_factory):
    """A finished run, and what it printed last."""
    workdir = tmp_path_factory.mktemp("checked")
    config = quickstart.get_config("smoke")
    config.data.data_dir = str(data_dir)
    config.arms = ARMS
    config.evaluation.attacks = ("fgsm", "pgd")
    train_and_evaluate(config.lock(), workdir)
    return workdir


@pytest.fixture
def finished(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def test_a_run_checks_what_it_recorded(trained):
    meta, found = read_checks(trained)
    assert meta["mode"] == "outcomes"
    for arm in ARMS:
        names = {name for name, whose in found if whose == arm}
        assert names == set(masking.TITLES) - set(masking.SHARED)
        for name in ("C7", "C10", "C14", "C17", "C21", "C23", "attack_above_clean"):
            assert found[name, arm]["status"] == "pass", found[name, arm]
        assert found["C13", arm]["status"] == "not_run"
        assert "checks=full" in found["C13", arm]["sentence"]
        assert found["C2", arm]["evidence"]["test"]["n"] == 9
    assert found["C1", None]["status"] == "pass"
    assert found["C1", None]["evidence"]["epsilon_celsius"] == pytest.approx(0.125)
    assert meta["num_failed"] == sum(c["status"] == "fail" for c in found.values())
    fields = {"id", "title", "arm", "status", "sentence", "evidence"}
    assert all(set(check) == fields for check in found.values())


def test_the_threat_model_has_the_norm_of_a_curve_alone():
    config = quickstart.get_config("smoke")
    config.evaluation.attacks = ()
    image = types.SimpleNamespace(window=(22.0, 38.0))
    fold = types.SimpleNamespace(test=image, budgets={"linf": 0.01, "l2": 0.1})
    outcomes = [outcome([1, 1]), outcome([1, 0], attack="apgd", norm="linf")]
    found = checks._threat_model(config, fold, outcomes)
    assert found["norms"] == ["linf"]
    assert found["epsilon"] == {"linf": 0.01}


@pytest.mark.slow
def test_a_stopped_full_check_goes_on(finished, monkeypatch, capsys):
    made, stop = [], True

    def counted(name, function):
        def check(subject, settings):
            if stop and len(made) == 2:
                raise training.StopRequestedError
            made.append((name, subject.arm))
            return function(subject, settings)

        return check

    some = {name: counted(name, masking.SUBJECT_CHECKS[name]) for name in SOME}
    monkeypatch.setattr(evaluation, "SUBJECT_CHECKS", some)
    config = load_config(finished)
    config.evaluation.checks = "full"
    with pytest.raises(training.StopRequestedError):
        evaluate_run(config, finished)
    stop = False
    evaluate_run(config, finished)
    assert made == [(name, arm) for arm in ARMS for name in SOME]
    assert not (finished / "checks").exists()
    meta, found = read_checks(finished)
    assert meta["mode"] == "full"
    assert found["C19", None]["status"] == "pass"
    for arm in ARMS:
        assert found["C21", arm]["status"] == "pass", found["C21", arm]
        assert found["C4", arm]["evidence"]["n"] == 8
    assert found["C15", "undefended"]["status"] == "not_run"
    reach = found["C15", "denoise_frozen"]["evidence"]["dead_but_reachable"]
    assert 0 < reach < 1
    printed = capsys.readouterr().out
    assert f"{meta['num_failed']} failed" in printed
    for check in found.values():
        assert (check["sentence"] in printed) == (check["status"] == "fail")


def test_without_checks_there_is_no_file(finished):
    config = load_config(finished)
    config.evaluation.checks = "none"
    config.evaluation.attacks = ("fgsm",)
    evaluate_run(config, finished)
    assert not (finished / "checks.json").exists()
    with pytest.raises(ConfigError, match="must not be 'none' with --strict"):
        checks.demand_checks(config)


@pytest.mark.slow
def test_strict_is_an_exit_status(finished, command):
    """Four steps of training: scores do not tell the classes apart."""
    arguments = (f"--workdir={finished}", "--config.evaluation.checks=outcomes")
    more = "--config.evaluation.attacks=('fgsm',)"
    process = command("evaluate", *arguments, more, "--strict")
    output, errors = process.communicate(timeout=300)
    assert checks.has_failures(finished)
    assert process.returncode == 1, errors
    assert "C2 Clean accuracy" in output


@pytest.mark.slow
def test_all_checks_run(finished):
    config = load_config(finished)
    checks.demand_checks(config)
    evaluate_run(config, finished)
    _, found = read_checks(finished)
    ran = {check for check, result in found.items() if result["status"] != "not_run"}
    assert {(name, ARMS[1]) for name in masking.SUBJECT_CHECKS} - ran <= {
        ("C11", ARMS[1]), ("C12", ARMS[1]), ("C13", ARMS[1]), ("C20", ARMS[1])
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arm", "objective", "expected"),
    [
        ("undefended", "standard", ()),
        ("wbad", "wbad", ("fgsm", "pgd", "cw")),
        ("wbad", "trades", ("pgd",)),
        ("wbad", "fast", ("fgsm", "fgsm_rs")),
    ],
)
def test_attacks_of_the_training(arm, objective, expected, smoke_config):
    config = smoke_config("quickstart")
    config.arm[arm].objective = objective
    assert set(checks.trained_on(config, arm)) == set(expected)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("checks", "all", "evaluation.checks must be one of"),
        ("check_sizes.noise_samples", 0, "noise_samples must be at least 1, got 0"),
    ],
)
def test_wrong_settings_are_refused(field, value, message, smoke_config):
    config = smoke_config("quickstart", **{f"evaluation.{field}": value})
    with pytest.raises(ConfigError, match=message):
        check_values(config)
