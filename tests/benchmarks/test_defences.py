"""The best validation score of each defence tried, from runs made by hand."""

import json

import pytest

from benchmarks import defences
from configs import default
from experiments.run_folder import to_plain

pytestmark = pytest.mark.fast


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch):
    """The results file; there is none yet."""
    path = tmp_path / "defences.json"
    monkeypatch.setattr(defences, "RESULTS", path)
    return path


def make_run(folder, scores):
    config = default.get_config("smoke")
    config.arms = ("undefended", "adversarial")
    folder.mkdir(parents=True)
    record = {"config": to_plain(config)}
    (folder / "config.json").write_text(json.dumps(record))
    meta = {"num_parameters": {"undefended": 9, "adversarial": 7}, "seed": 0,
            "num_examples": {"validation": [4]}, "commit": "abc"}  # fmt: skip
    (folder / "results.json").write_text(json.dumps({"meta": meta}))
    lines = [{"run": "undefended", "step": 1, "validation_robust_accuracy": 1.0}]
    for step, (robust, clean) in enumerate(scores):
        lines.append({"run": "adversarial", "step": step, "loss": 1.0})
        lines.append(
            {
                "run": "adversarial", "step": step,
                "validation_robust_accuracy": robust,
                "validation_clean_accuracy": clean,
            }
        )  # fmt: skip
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text)


def test_the_best_score_of_the_last_arm_counts(tmp_path):
    make_run(tmp_path / "trades" / "seed0", [(0.2, 0.5), (0.7, 0.8), (0.6, 0.9)])
    (row,) = defences.report_of(tmp_path)["rows"]
    assert (row["run"], row["arm"], row["parameters"]) == ("trades", "adversarial", 7)
    assert (row["robust"], row["clean"], row["best_step"]) == (0.7, 0.8, 1)


def test_runs_without_scores_are_refused(tmp_path):
    make_run(tmp_path / "trades" / "seed0", [])
    with pytest.raises(ValueError, match=r"trades.*validation_robust_accuracy"):
        defences.report_of(tmp_path)
    with pytest.raises(FileNotFoundError, match="no finished run"):
        defences.report_of(tmp_path / "nothing")


def test_a_run_is_added_to_those_of_before(tmp_path, results):
    earlier = [{"run": name, "robust": 0.1} for name in ("mart", "trades", "withdrawn")]
    results.write_text(json.dumps({"rows": earlier}))
    make_run(tmp_path / "trades" / "seed0", [(0.7, 0.8)])
    make_run(tmp_path / "adversarial" / "seed0", [(0.6, 0.8)])
    rows = defences.report_of(tmp_path)["rows"]
    assert [(row["run"], row["robust"]) for row in rows] == [
        ("adversarial", 0.6), ("trades", 0.7), ("mart", 0.1)
    ]  # fmt: skip
