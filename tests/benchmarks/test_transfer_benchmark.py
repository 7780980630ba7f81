"""The transfer to real thermograms: which rows of a run's results are gathered."""

import json

import pytest

from benchmarks import dmr_ir_transfer
from tests.hand_made import outcome
from wbad_jax import evaluation

pytestmark = pytest.mark.fast


def row(arm, protocol, attack, accuracy, of="test"):
    kept = dict.fromkeys(
        ("n", "ci_low", "ci_high", "sensitivity", "specificity", "auc", "auc_low",
         "auc_high"), 0.5,
    )  # fmt: skip
    return kept | {
        "arm": arm, "protocol": protocol, "attack": attack, "accuracy": accuracy,
        "set": of, "norm": None if protocol == "clean" else "linf",
    }  # fmt: skip


def outcomes():
    """Two women; tuned, one of them is right under attack."""
    for arm, left in (("wbad", [0, 0]), ("wbad_tuned", [0, 1])):
        yield outcome([1, 1], arm=arm)
        yield outcome(left, arm=arm, attack="pgd")


def test_clean_and_worst_case_of_each_arm(tmp_path):
    rows = [
        row("wbad", "clean", "none", 0.8),
        row("wbad", "clean", "none", 0.1, of="test_pairs"),
        row("wbad", "adaptive", "pgd", 0.6),
        row("wbad", "adaptive", "worst_case", 0.5),
        row("baseline:dialect", "clean", "none", 0.7),
    ]
    meta = {"headline_epsilon_celsius": 0.125, "commit": "abc", "seed": 0}
    for name in ("all", "era"):
        folder = tmp_path / name
        folder.mkdir()
        results = json.dumps({"meta": meta, "rows": rows})
        (folder / "results.json").write_text(results)
        evaluation.write_parquet([*outcomes()], folder / "predictions.parquet")
    output = tmp_path / "out.json"
    folders = [f"--{name}={tmp_path / name}" for name in ("all", "era")]
    assert dmr_ir_transfer.main([*folders, f"--output={output}"]) == 0
    first, _ = json.loads(output.read_text())["sets"]
    wbad, baseline = first["rows"]
    assert wbad["clean"]["accuracy"] == 0.8
    assert wbad["adaptive"]["accuracy"] == 0.5
    assert "adaptive" not in baseline
    clean, attacked = first["tuned_minus_scratch"]
    assert (clean["arm"], clean["protocol"]) == ("wbad_tuned", "clean")
    assert clean["difference"] == 0
    assert (attacked["protocol"], attacked["difference"]) == ("adaptive", 0.5)
