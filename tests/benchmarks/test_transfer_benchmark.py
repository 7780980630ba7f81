"""The transfer to real thermograms: which rows of a run's results are gathered."""

import json

import numpy as np
import pytest

from benchmarks import dmr_ir_transfer
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
    right = {
        ("wbad", "clean"): [1, 1], ("wbad_tuned", "clean"): [1, 1],
        ("wbad", "adaptive"): [0, 0], ("wbad_tuned", "adaptive"): [0, 1],
    }  # fmt: skip
    for (arm, protocol), correct in right.items():
        attacked = protocol == "adaptive"
        logits = np.where(correct, 1.0, -1.0)
        yield evaluation.Outcome(
            condition=evaluation.Condition(
                arm=arm, set="test", protocol=protocol, seed=0,
                attack="pgd" if attacked else "none",
                norm="linf" if attacked else None, epsilon=0.01 if attacked else None,
            ),
            example_ids=np.array(["a", "b"]),
            patient_ids=np.arange(2),
            labels=np.ones(2, np.int32),
            logits=np.stack([-logits, logits], axis=-1),
            distance=np.zeros(2),
            seconds=0.0,
        )  # fmt: skip


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
