"""Detectors beside a tiny run, and its gallery of pictures."""

import json
import shutil

import jax
import numpy as np
import pytest

from experiments import settings
from experiments.config_errors import ConfigError
from experiments.detect import detect_run
from experiments.detection_table import holds, verdicts
from experiments.gallery import choose_rows
from experiments.run_folder import load_config
from experiments.train_arm import restore_arm
from wbad_jax import training
from wbad_jax.evaluation import Evaluator, read_parquet

ARMS = ("undefended", "wbad")


@pytest.fixture
def finished(fast_run, tmp_path):
    return shutil.copytree(fast_run, tmp_path / "run")


def read(workdir):
    def refuse(word):
        raise AssertionError(word)

    text = (workdir / "detection.json").read_text("utf-8")
    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize(
    "names",
    [
        ("prediction_change",),  # compiling the attack on each takes the time
        pytest.param(("removed_energy", "prediction_change"), marks=pytest.mark.slow),
    ],
)
def test_every_detector_is_measured_under_both_attackers(names, finished, capsys):
    config = load_config(finished)
    config.detection.scores = names
    rows = detect_run(config, finished)
    record = read(finished)
    assert record["detectors"] == rows
    assert [(row["arm"], row["score"], row["aware"]) for row in rows] == [
        (arm, name, aware) for arm in ARMS for name in names for aware in (False, True)
    ]
    output = capsys.readouterr().out
    assert output.count("against an attacker who knows it") + output.count(
        "nothing to detect"
    ) == 2 * len(names)
    results = json.loads((finished / "results.json").read_text("utf-8"))
    for plain, aware in zip(rows[::2], rows[1::2], strict=True):
        assert aware["broken_and_undetected"] >= plain["broken_and_undetected"]
        assert aware["false_alarm_rate"] == plain["false_alarm_rate"]
        assert plain["epsilon"] == results["meta"]["headline_epsilon"]
        (row,) = (
            row
            for row in results["rows"]
            if (row["arm"], row["attack"]) == (plain["arm"], "pgd")
        )
        # The plain attack is the run's own.
        assert plain["accuracy"] == pytest.approx(row["accuracy"])
        assert plain["n"] == row["n"]
    assert not (finished / "detection" / "outcomes").exists()


@pytest.mark.slow
def test_a_stopped_detection_goes_on(finished, monkeypatch):
    config, attack = load_config(finished), Evaluator.attack
    config.detection.scores = ("prediction_change",)
    made, most = [], 3

    def counted(*arguments, **named):
        if len(made) == most:
            raise training.StopRequestedError
        made.append(named["description"])
        return attack(*arguments, **named)

    monkeypatch.setattr(Evaluator, "attack", counted)
    with pytest.raises(training.StopRequestedError):
        detect_run(config, finished)
    assert not (finished / "detection.json").exists()
    most = 100
    rows = detect_run(config, finished)
    each = ("pgd", "hiding_from_prediction_change", "hiding_from_prediction_change")
    assert made == [f"{arm} {name}" for arm in ARMS for name in each]
    made.clear()
    assert detect_run(config, finished) == rows
    assert len(made) == 6


def test_what_cannot_be_detected_with_is_refused(finished, tmp_path):
    config = load_config(finished)
    config.detection.scores = ("magic",)
    with pytest.raises(ConfigError, match=r"detection.scores .* got \('magic',\)"):
        detect_run(config, finished)
    config = load_config(finished)
    config.detection.aware_pgd.num_steps = 0
    with pytest.raises(ConfigError, match=r"detection.aware_pgd: .*num_steps"):
        detect_run(config, finished)
    for builder in ("dmr_ir/frontal", "simulated_thermograms/paper"):
        config = load_config(finished)
        config.detection.physics_examples = 2
        config.data.builder = builder
        with pytest.raises(ConfigError, match="detection.physics_examples needs"):
            detect_run(config, finished)
    shutil.rmtree(finished / "undefended" / "checkpoints")
    config = load_config(finished)
    config.arms = ("undefended",)
    with pytest.raises(ConfigError, match=r"Run experiments.train first"):
        detect_run(config, finished)


@pytest.mark.slow
def test_physics_is_one_more_detector(finished):
    config = load_config(finished)
    config.detection.scores = ("prediction_change",)
    config.detection.physics_examples = 2
    config.arms = ("undefended",)
    rows = detect_run(config, finished)
    plain, aware = rows[2:]
    assert plain["score"] == aware["score"] == "physics_consistency"
    assert (plain["n"], plain["aware"], aware["aware"]) == (2, False, True)
    assert aware["broken_and_undetected"] >= plain["broken_and_undetected"]


@pytest.mark.fast
def test_verdicts_compare_with_no_detector_at_all():
    def row(aware, accuracy, left):
        return {"arm": "a", "score": "s", "aware": aware, "accuracy": accuracy,
                "broken_and_undetected": left}  # fmt: skip

    plain = row(False, 0.2, 0.01)
    assert holds(plain, row(True, 0.3, 0.4)) is True
    assert holds(plain, row(True, 0.3, 0.41)) is False
    assert holds(row(False, 1.0, 0.0), row(True, 1.0, 0.0)) is None
    (sentence,) = verdicts([plain, row(True, 0.3, 0.41)])
    assert sentence.startswith("s (a) does not hold against an attacker")
    for number in ("80.0 %", "1.0 %", "41.0 %"):
        assert number in sentence


@pytest.mark.fast
def test_the_gallery_shows_broken_and_robust_of_both_labels():
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    robust = np.array([1, 1, 1, 0, 1, 0, 0, 1], bool)
    np.testing.assert_array_equal(choose_rows(labels, robust, 4), [0, 3, 4, 5])
    np.testing.assert_array_equal(choose_rows(labels, robust, 2), [3, 5])
    np.testing.assert_array_equal(choose_rows(labels, robust, 6), [0, 1, 3, 4, 5, 6])
    np.testing.assert_array_equal(choose_rows(labels, robust, 99), np.arange(8))
    np.testing.assert_array_equal(choose_rows(labels, robust | True, 2), [0, 4])


def test_a_run_leaves_a_gallery_of_each_arm(fast_run):
    config = load_config(fast_run)
    arms = settings.build_arms(config, (32, 32, 1))
    outcomes = {
        (o.condition.arm, o.condition.attack): o
        for o in read_parquet(fast_run / "predictions.parquet")
    }
    meta = json.loads((fast_run / "results.json").read_text("utf-8"))["meta"]
    for arm in arms:
        with np.load(fast_run / f"gallery-{arm.name}.npz", allow_pickle=False) as file:
            shown = dict(file)
        names = ("images", "adversarial", "denoised", "denoised_adversarial")
        assert all(shown[name].shape == (2, 32, 32, 1) for name in names)
        assert all(shown[name].dtype == np.float32 for name in names)
        epsilon = meta["headline_epsilon"]
        moved = np.abs(shown["adversarial"] - shown["images"]).max(axis=(1, 2, 3))
        assert np.all(moved <= epsilon * 1.0001)
        params = restore_arm(arm, workdir=fast_run, run=arm.name, earlier={})
        for images, logits in (
            (shown["images"], shown["logits"]),
            (shown["adversarial"], shown["logits_adversarial"]),
        ):
            expected = jax.jit(arm.evaluated.apply)(params, images)
            np.testing.assert_allclose(logits, expected, atol=1e-4)
        same = np.array_equal(shown["denoised"], shown["images"])
        assert same == (arm.name == "undefended")
        # The most harmful attack, and the outcome that the evaluation had.
        found = outcomes[arm.name, str(shown["attack"])]
        assert found.correct.mean() == min(
            outcomes[arm.name, name].correct.mean() for name in ("fgsm", "pgd")
        )
        rows = [list(found.example_ids).index(name) for name in shown["example_ids"]]
        np.testing.assert_array_equal(shown["labels"], found.labels[rows])
        np.testing.assert_allclose(
            shown["logits_adversarial"], found.logits[rows], atol=0.05
        )
