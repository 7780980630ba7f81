"""Settings of throughput in real runs: what stays the same, and what is recorded."""

import json

import numpy as np
import pytest

from experiments.evaluate import evaluate_run
from experiments.run_folder import load_config
from experiments.train import train_and_evaluate
from wbad_jax.evaluation import read_parquet

OVERRIDES = {
    "training.compute_dtype": "bfloat16",
    "training.remat": True,
    "training.accumulation_steps": 2,
    "training.balance_classes": True,
    "evaluation.protocols": ("clean",),
}


def read(workdir):
    meta = json.loads((workdir / "results.json").read_text())["meta"]
    (outcome,) = read_parquet(workdir / "predictions.parquet")
    return meta, outcome.logits


@pytest.mark.slow
def test_together_and_with_either_feed(smoke_config, tmp_path):
    found = []
    for place in ("always", "never"):
        overrides = {**OVERRIDES, "training.data_on_device": place}
        config = smoke_config("standard", **overrides)
        train_and_evaluate(config, tmp_path / place)
        found.append(read(tmp_path / place))
    (meta, logits), (again, logits_again) = found
    assert meta["parameters_sha256"] == again["parameters_sha256"]
    np.testing.assert_array_equal(logits, logits_again)
    assert meta["compute_dtype"] == {"training": "bfloat16", "evaluation": "bfloat16"}

    config = load_config(tmp_path / "never")
    config.evaluation.compute_dtype = "float32"
    evaluate_run(config, tmp_path / "never")
    meta, exact = read(tmp_path / "never")
    assert meta["compute_dtype"] == {"training": "bfloat16", "evaluation": "float32"}
    difference = np.max(np.abs(exact - logits))
    assert 0 < difference < 0.1 * np.ptp(exact)
