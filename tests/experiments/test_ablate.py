"""A sweep expands, goes on after failures, resumes, and compares like with like."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest

from configs import default
from configs.sweeps import thresholds
from experiments import ablate, ablation_table
from experiments.settings import ConfigError
from wbad_jax import evaluation

pytestmark = pytest.mark.fast
RUNS = {"deep": {"denoiser.level": 2}, "flat": {"denoiser.level": 1}}


def sweep(runs=None, seeds=(0, 1), reference="deep"):
    base = default.get_config("smoke")
    return default.make_sweep("levels", base, runs or RUNS, seeds, reference=reference)


def test_runs_are_the_base_with_their_own_fields():
    variants = ablate.expand(sweep())
    paths = ["deep/seed0", "deep/seed1", "flat/seed0", "flat/seed1"]
    assert [str(variant.path) for variant in variants] == paths
    assert [variant.config.denoiser.level for variant in variants] == [2, 2, 1, 1]
    assert [variant.config.seed for variant in variants] == [0, 1, 0, 1]
    assert sweep().base.denoiser.level == default.get_config().denoiser.level


@pytest.mark.parametrize("mode", ["full", "smoke"])
def test_the_sweep_of_thresholds_expands(mode):
    variants = ablate.expand(thresholds.get_config(mode))
    rules = {variant.config.denoiser.threshold_rule for variant in variants}
    full = {"fixed", "universal", "bayes", "sure", "learned", "predicted"}
    assert rules == (full if mode == "full" else {"universal", "learned"})


def test_a_grid_has_all_combinations():
    runs = default.grid({"denoiser.level": (1, 2), "denoiser.wavelet": ("haar", "db2")})
    assert len(runs) == 4
    assert runs["level=2,wavelet=haar"] == {
        "denoiser.level": 2,
        "denoiser.wavelet": "haar",
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"runs": {"deep": {"denoiser.depth": 2}}}, "run 'deep'.*depth"),
        ({"runs": {"deep": {"denoiser.level": "two"}}}, "run 'deep'.*level"),
        ({"runs": {"deep/er": {}}, "reference": "deep/er"}, "names fit for a folder"),
        ({"reference": "none"}, r"reference must be one of .*got 'none'"),
        ({"seeds": ()}, "at least one of runs and one of seeds"),
        ({"runs": {"deep": {"evaluation.sets": ("train",)}}}, "evaluation.sets"),
    ],
)
def test_impossible_sweeps_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        ablate.expand(sweep(**changes))


def test_runs_of_one_name_are_refused():
    twice = sweep()
    twice.runs = (*twice.runs, twice.runs[0])
    with pytest.raises(ConfigError, match="names of their own, got .*deep"):
        ablate.expand(twice)


def outcome(arm, correct, *, protocol="clean", seed=0, patients=None, attack="none"):
    correct = np.asarray(correct)
    n = len(correct)
    clean = protocol == "clean"
    return evaluation.Outcome(
        condition=evaluation.Condition(
            arm=arm, set="test", protocol=protocol, attack=attack, seed=seed,
            norm=None if clean else "linf", epsilon=None if clean else 0.01,
        ),
        example_ids=np.arange(n).astype(str),
        patient_ids=np.arange(n) if patients is None else np.asarray(patients),
        labels=np.zeros(n, np.int32),
        logits=np.stack([np.where(correct, 1.0, -1.0), np.zeros(n)], axis=-1),
        distance=np.zeros(n),
        seconds=0.0,
    )  # fmt: skip


def find(rows, **wanted):
    (row,) = [r for r in rows if all(r[k] == v for k, v in wanted.items())]
    return row


def test_accuracies_and_paired_differences_by_hand():
    patients = [0, 0, 1, 2, 2, 2]
    clean = np.ones(6)
    deep = [[1, 1, 0, 1, 0, 1], [1, 0, 0, 1, 0, 1]]
    flat = [[1, 1, 1, 1, 1, 1], [0, 1, 1, 1, 1, 1]]
    runs = {
        name: [
            [
                outcome("wbad", clean, seed=seed, patients=patients),
                outcome("wbad", right, protocol="adaptive", attack="pgd", seed=seed,
                        patients=patients),
            ]
            for seed, right in enumerate(seeds)
        ]
        for name, seeds in (("deep", deep), ("flat", flat))
    }  # fmt: skip
    rows = ablation_table.table(runs, "deep")
    row = find(rows, run="flat", attack="pgd")
    assert (row["n"], row["patients"], row["seeds"]) == (6, 3, 2)
    assert row["accuracy"] == pytest.approx(11 / 12)
    assert row["seed_std"] == pytest.approx(np.std([1, 5 / 6], ddof=1))
    change = np.mean(flat, axis=0) - np.mean(deep, axis=0)
    assert row["difference"] == pytest.approx(change.mean())
    assert find(rows, run="deep", attack="pgd")["difference"] is None
    # Each patient drawn anew, in a plain loop.
    rng, means = np.random.default_rng(1), []
    members = [np.flatnonzero(np.equal(patients, p)) for p in range(3)]
    for _ in range(4000):
        drawn = np.concatenate([members[p] for p in rng.integers(3, size=3)])
        means.append(change[drawn].mean())
    low, high = np.quantile(means, [0.025, 0.975])
    assert row["difference_low"] == pytest.approx(low, abs=0.03)
    assert row["difference_high"] == pytest.approx(high, abs=0.03)
    # Clean images count in the worst case, and here never matter.
    worst = find(rows, run="flat", attack="worst_case")
    assert worst["accuracy"] == row["accuracy"]


def test_a_paired_difference_is_sharper_than_two_intervals():
    rng = np.random.default_rng(0)
    hard = rng.random(400) < 0.5
    better = hard | (np.arange(400) % 50 == 0)
    runs = {"deep": [[outcome("wbad", hard)]], "flat": [[outcome("wbad", better)]]}
    row = find(ablation_table.table(runs, "deep"), run="flat")
    assert row["difference"] > 0
    assert row["difference_low"] >= 0
    width = row["difference_high"] - row["difference_low"]
    assert width < 0.5 * (row["ci_high"] - row["ci_low"])


@pytest.mark.parametrize("right", [0, 1])
def test_no_variety_is_no_certainty(right):
    runs = {"deep": [[outcome("wbad", np.full(20, right))]]}
    (row,) = ablation_table.table(runs, "deep")
    expected = evaluation.wilson_interval(20 * right, 20)
    assert (row["ci_low"], row["ci_high"]) == expected


def test_other_examples_are_not_compared():
    runs = {
        "deep": [[outcome("wbad", np.ones(5))]],
        "flat": [[outcome("wbad", np.ones(4))]],
    }
    assert find(ablation_table.table(runs, "deep"), run="flat")["difference"] is None


@pytest.fixture
def fake_runs(monkeypatch):
    """Runs without training: those named in `failing` fail."""
    failing, started = set(), []

    def run(variant, workdir, arguments):
        started.append(str(variant.path))
        if variant.name in failing:
            return "one line\nOutOfMemory: too large"
        folder = workdir / variant.path
        folder.mkdir(parents=True)
        right = [variant.config.denoiser.level == 1, True, True]
        outcomes = [outcome("wbad", right, seed=variant.seed)]
        evaluation.write_parquet(outcomes, folder / "predictions.parquet")
        (folder / "results.json").write_text("{}")
        return None

    monkeypatch.setattr(ablate, "_run_apart", run)
    return failing, started


def test_a_run_that_fails_stops_no_other_and_is_tried_again(
    fake_runs, tmp_path, capsys
):
    failing, started = fake_runs
    failing.add("deep")
    assert not ablate.run_sweep(sweep(), tmp_path, [])
    assert started == ["deep/seed0", "deep/seed1", "flat/seed0", "flat/seed1"]
    record = json.loads((tmp_path / "ablation.json").read_text())
    assert {row["run"] for row in record["rows"]} == {"flat"}
    assert "OutOfMemory" in record["failed"]["deep/seed1"]
    assert "failed: OutOfMemory: too large" in capsys.readouterr().out

    failing.clear()
    started.clear()
    assert ablate.run_sweep(sweep(), tmp_path, [])
    assert started == ["deep/seed0", "deep/seed1"]
    record = json.loads((tmp_path / "ablation.json").read_text())
    assert not record["failed"]
    row = find(record["rows"], run="flat")
    assert row["difference"] == pytest.approx(1 / 3)
    with (tmp_path / "ablation.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 2
    assert "2 finished before" in capsys.readouterr().out


def test_a_real_process_that_fails_says_why(tmp_path):
    """Its sweep does not exist."""
    variant = ablate.expand(sweep())[0]
    said = ablate._run_apart(variant, tmp_path, ["--config=configs/none.py"])
    assert "none.py" in said


def test_help():
    command = [sys.executable, "-m", "experiments.ablate", "--help"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "Run a sweep" in done.stdout
