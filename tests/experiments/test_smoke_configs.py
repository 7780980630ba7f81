"""Every config runs end to end in its smoke variant, and its results are complete."""

import csv
import json
import shutil

import jax
import numpy as np
import pyarrow.parquet as pq
import pytest

from configs import quickstart
from experiments import cohort, settings
from experiments.evaluate import evaluate_run
from experiments.looks import read_looks
from experiments.run_folder import load_config
from experiments.train import train_and_evaluate
from wbad_jax import training
from wbad_jax.data import BASELINE_FEATURES
from wbad_jax.evaluation import Evaluator, read_parquet
from wbad_jax.evaluation.report import COLUMNS
from wbad_jax.training import read_metrics

CONFIGS = {
    "standard": ["undefended"],
    "denoise_only": ["undefended", "denoise_frozen", "denoise"],
    "adversarial": ["undefended", "adversarial"],
    "wbad": ["undefended", "denoise", "adversarial", "wbad"],
    "wbad_learned": ["undefended", "wbad"],
}


def read_results(workdir):
    text = (workdir / "results.json").read_text()
    results = json.loads(text)
    return results["meta"], results["rows"]


# The arms of the others are among those of "wbad".
_ALSO = ("standard", "adversarial", "denoise_only")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in _ALSO else [])
        for name in CONFIGS
    ],
)
def test_config_runs(name, smoke_config, tmp_path, capsys):
    # All attacks and backward passes are run once, in the quickstart: compiling them
    # takes the time.
    few = {"evaluation.attacks": ("fgsm",), "evaluation.backward_modes": ()}
    config = smoke_config(name, **few)
    train_and_evaluate(config, tmp_path)
    output = capsys.readouterr().out
    assert "accuracy [95 % interval]" in output
    check_results(tmp_path, CONFIGS[name], ("fgsm",))
    if name == "wbad_learned":
        check_thresholds(config, tmp_path, output)


def check_thresholds(config, workdir, output):
    """Values in the log are those of the checkpoints, and there is a picture."""
    picture = workdir / "wbad" / "thresholds.png"
    assert f"thresholds over time in {picture}" in output
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert not (workdir / "undefended" / "thresholds.png").exists()
    lines = read_metrics(workdir / "metrics.jsonl")
    logged = {line["step"]: line for line in lines if "threshold/collapsed" in line}
    assert sorted(logged) == [2, 4]
    assert all(line["run"] == "wbad" for line in logged.values())
    arm = settings.build_arms(config, (32, 32, 1))[1]
    params = jax.jit(arm.classifier.init)(jax.random.key(0))
    like = training.init_state(params, arm.optimizer)
    with training.Checkpoints(workdir / "wbad" / "checkpoints") as checkpoints:
        for step, line in logged.items():
            denoiser = checkpoints.restore(like, step).params["denoiser"]
            raw = np.asarray(denoiser["raw_thresholds"], np.float64)
            for (row, column), value in np.ndenumerate(np.log1p(np.exp(raw))):
                orientation = ("horizontal", "vertical", "diagonal")[column]
                # The array has the coarsest of the two levels first.
                found = line[f"threshold/level{2 - row}/{orientation}"]
                assert found == pytest.approx(value, rel=1e-5)
    start = 0.33 * np.sqrt(2 * np.log(32 * 32))
    assert logged[4]["threshold/level1/diagonal"] != pytest.approx(start, rel=1e-3)


def test_quickstart_runs(trained):
    attacks = ("fgsm", "pgd", "apgd", "cw")
    check_results(trained[1], ["undefended", "wbad"], attacks)
    assert (trained[1] / "report.html").exists()
    record = json.loads((trained[1] / "config.json").read_text())
    assert record["command"].startswith("python ")


def check_results(workdir, arms, attacks):
    meta, rows = read_results(workdir)
    assert {row["arm"] for row in rows} == set(arms)
    for arm in arms:
        own = [row for row in rows if row["arm"] == arm and row["set"] == "test"]
        seen = {(row["protocol"], row["attack"]) for row in own}
        protocols = ("graybox", "adaptive")
        expected = {(p, a) for p in protocols for a in (*attacks, "worst_case")}
        assert seen == expected | {("clean", "none")}
    for row in rows:
        assert tuple(row) == COLUMNS
        assert row["ci_low"] <= row["accuracy"] <= row["ci_high"]
        if row["protocol"] != "clean":
            assert row["epsilon_celsius"] == pytest.approx(16 * row["epsilon"])
    assert meta["headline_epsilon_celsius"] == pytest.approx(0.125)
    assert set(meta["parameters_sha256"]) == set(arms)
    assert meta["test_looks"] == len(read_looks(workdir)) == 1
    check_comparisons(workdir, arms, rows)
    with (workdir / "results.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(rows)
    runs = {line["run"] for line in read_metrics(workdir / "metrics.jsonl")}
    assert runs <= set(arms)


def check_comparisons(workdir, arms, rows):
    """All arms but the first, on clean images and under each worst case."""
    comparisons = json.loads((workdir / "results.json").read_text())["comparisons"]
    assert {(c["arm"], c["reference"]) for c in comparisons} == {
        (arm, arms[0]) for arm in arms[1:]
    }

    def find(arm, condition):
        names = "set", "protocol", "attack", "norm", "epsilon"
        wanted = {**{name: condition[name] for name in names}, "arm": arm}
        (row,) = (r for r in rows if all(r[k] == v for k, v in wanted.items()))
        return row["accuracy"]

    for found in comparisons:
        difference = find(found["arm"], found) - find(arms[0], found)
        assert found["difference"] == pytest.approx(difference)
        assert found["test"] == "mcnemar"
    assert sum(c["primary"] for c in comparisons) == (len(arms) > 1)


def test_thresholds_come_from_clean_validation_images(trained):
    config, workdir = trained
    fold = cohort.make_folds(config, cohort.load(config))[0]
    outcomes = {
        (o.condition.arm, o.condition.set, o.condition.attack): o
        for o in read_parquet(workdir / "predictions.parquet")
        if o.condition.protocol != "graybox"
    }
    _, rows = read_results(workdir)
    for arm in ("undefended", "wbad"):
        validation = outcomes[arm, "validation", "none"]
        assert validation.example_ids.tolist() == fold.validation.example_ids.tolist()
        healthy = validation.logits[validation.labels == 0]
        scores = np.sort(healthy[:, 1] - healthy[:, 0])
        threshold = scores[int(np.ceil(0.9 * len(scores))) - 1]
        attacked = outcomes[arm, "test", "fgsm"]
        detected = attacked.logits[:, 1] - attacked.logits[:, 0] > threshold
        (row,) = (
            row
            for row in rows
            if (row["arm"], row["protocol"], row["attack"]) == (arm, "adaptive", "fgsm")
        )
        for name, label in (
            ("sensitivity_at_90_specificity", 1),
            ("specificity_there", 0),
        ):
            share = np.mean(detected[attacked.labels == label] == label)
            assert row[name] == pytest.approx(share)


@pytest.fixture(scope="module")
def trained(data_dir, tmp_path_factory):
    """A finished quickstart; tests work on copies."""
    workdir = tmp_path_factory.mktemp("trained")
    config = quickstart.get_config("smoke")
    config.data.data_dir = str(data_dir)
    train_and_evaluate(config.lock(), workdir)
    return config, workdir


@pytest.fixture
def finished(trained, tmp_path):
    config, workdir = trained
    return config, shutil.copytree(workdir, tmp_path / "run")


def test_finished_run_is_left_alone(finished, capsys):
    config, workdir = finished
    before = (workdir / "results.json").stat().st_mtime_ns
    capsys.readouterr()
    train_and_evaluate(config, workdir)
    assert "finished run" in capsys.readouterr().out
    assert (workdir / "results.json").stat().st_mtime_ns == before


def test_worst_case_is_the_union_of_the_attacks(finished):
    _, workdir = finished
    outcomes = {
        (o.condition.arm, o.condition.protocol, o.condition.attack): o
        for o in read_parquet(workdir / "predictions.parquet")
        if o.condition.set == "test"
    }
    _, rows = read_results(workdir)
    for arm in ("undefended", "wbad"):
        union = np.logical_and.reduce(
            [
                outcomes[arm, "clean", "none"].correct,
                outcomes[arm, "adaptive", "fgsm"].correct,
                outcomes[arm, "adaptive", "pgd"].correct,
                outcomes[arm, "adaptive", "apgd"].correct,
            ]
        )
        (row,) = (
            row
            for row in rows
            if (row["arm"], row["protocol"], row["attack"], row["norm"])
            == (arm, "adaptive", "worst_case", "linf")
        )
        assert row["accuracy"] == pytest.approx(union.mean())


@pytest.mark.slow
def test_evaluate_again_gives_the_same_and_takes_overrides(finished, data_dir):
    _, workdir = finished
    meta, rows = read_results(workdir)
    config = load_config(workdir)
    evaluate_run(config, workdir)
    again, rows_again = read_results(workdir)
    drop = {"seconds"}
    assert [{k: v for k, v in r.items() if k not in drop} for r in rows_again] == [
        {k: v for k, v in r.items() if k not in drop} for r in rows
    ]
    assert again["parameters_sha256"] == meta["parameters_sha256"]
    assert again["test_looks"] == 2

    config = load_config(workdir)
    config.evaluation.attacks = ("fgsm",)
    config.evaluation.epsilon_multiples = (1.0, 2.0)
    evaluate_run(config, workdir)
    _, rows = read_results(workdir)
    assert {row["attack"] for row in rows} == {"none", "fgsm", "worst_case"}
    epsilons = {row["epsilon"] for row in rows if row["attack"] == "fgsm"}
    assert len(epsilons) == 2


def test_a_stopped_evaluation_goes_on(finished, monkeypatch):
    """What is finished is not done again, and what is made of it is the same."""
    _, workdir = finished
    config, attack = load_config(workdir), Evaluator.attack
    config.evaluation.attacks = ("fgsm",)
    config.evaluation.gallery_examples = 0
    made, most = [], 2

    def counted(*arguments, **named):
        if len(made) == most:
            raise training.StopRequestedError
        made.append(named["description"])
        return attack(*arguments, **named)

    monkeypatch.setattr(Evaluator, "attack", counted)
    before = pq.read_table(workdir / "predictions.parquet").to_pylist()
    with pytest.raises(training.StopRequestedError):
        evaluate_run(config, workdir)
    most = 100
    evaluate_run(config, workdir)
    assert len(read_looks(workdir)) == 2  # the training's, and this one in two parts
    arms = [f"test {arm} adaptive fgsm" for arm in ("undefended", "wbad")]
    assert made == ["test graybox fgsm", *arms]
    assert not (workdir / "outcomes").exists()
    after = pq.read_table(workdir / "predictions.parquet").to_pylist()
    for row in before + after:
        row.pop("seconds")
    assert after == [row for row in before if row["attack"] in ("none", "fgsm")]


@pytest.mark.slow
def test_surrogate_of_another_run(finished, smoke_config, tmp_path_factory):
    _, other = finished
    workdir = tmp_path_factory.mktemp("graybox")
    config = smoke_config("quickstart")
    with config.unlocked():
        config.seed = 5
        config.evaluation.surrogate = str(other)
        config.evaluation.attacks = ("pgd",)
    train_and_evaluate(config, workdir)
    meta, rows = read_results(workdir)
    assert meta["surrogate"] == str(other)
    # Images crafted on another network are not this network's own worst ones.
    own = {
        row["protocol"]: row["median_distance"]
        for row in rows
        if (row["arm"], row["attack"]) == ("undefended", "pgd")
    }
    assert own["graybox"] > 0


def test_any_network_with_augmentation_is_trained_and_restored(smoke_config, tmp_path):
    models = {
        "dwt": {"model.name": "resnet", "model.downsampling": "dwt"},
        "own": {"model.name": "tests.models.user_networks:Perceptron"},
    }
    overrides = {"evaluation.attacks": ("fgsm",)}
    overrides["training.augmentation.max_rotation_degrees"] = 5.0
    overrides["training.augmentation.max_offset_celsius"] = 0.5
    for name, model in models.items():
        config = smoke_config("standard", **overrides, **model)
        if name == "own":
            with config.unlocked():
                config.model.options = {"hidden": (6,)}
        workdir = tmp_path / name
        train_and_evaluate(config, workdir)
        meta, _ = read_results(workdir)
        evaluate_run(load_config(workdir), workdir)
        assert (
            read_results(workdir)[0]["parameters_sha256"] == meta["parameters_sha256"]
        )


@pytest.mark.slow
def test_cross_validation_on_a_dmr_ir_folder(smoke_config, dmr_ir_folder, tmp_path):
    overrides = {
        "data.manual_dir": str(dmr_ir_folder),
        "evaluation.attacks": ("fgsm",),
    }
    config = smoke_config("dmr_ir", **overrides)
    train_and_evaluate(config, tmp_path)
    meta, rows = read_results(tmp_path)
    clean = {row["arm"]: row for row in rows if row["protocol"] == "clean"}
    baselines = {f"baseline:{name}" for name in BASELINE_FEATURES}
    assert set(clean) == {"undefended", "wbad", *baselines}
    # Pooled over the folds: every patient once.
    assert all(row["n"] == 16 and row["unit"] == "patient" for row in clean.values())
    assert clean["baseline:patient_number"]["auc"] > 0.8
    assert set(meta["parameters_sha256"]) == {
        f"fold{i}/{arm}" for i in range(2) for arm in ("undefended", "wbad")
    }
    outcomes = read_parquet(tmp_path / "predictions.parquet")
    tested = [o for o in outcomes if o.condition.set == "test"]
    assert all(len(set(o.patient_ids)) == 16 for o in tested)
    # Each fold has its own threshold, from its own validation patients.
    validated = [o for o in outcomes if o.condition.set == "validation"]
    assert {o.condition.arm for o in validated} == {"undefended", "wbad"}
    assert all(set(o.folds) == {0, 1} for o in [*tested, *validated])
    assert clean["wbad"]["specificity_there"] is not None
