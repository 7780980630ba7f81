"""The files of a run and what is printed, from outcomes made by hand."""

import dataclasses
import json

import numpy as np
import pytest

from experiments import looks, settings
from experiments.config_checks import check_values
from experiments.config_errors import ConfigError
from experiments.results import summarise
from tests.experiments.test_pair_ceilings import (
    ADAPTIVE,
    fold_of,
    outcome,
    pairs_with_lesions,
)
from wbad_jax import evaluation

pytestmark = pytest.mark.fast

PGD = dataclasses.replace(ADAPTIVE, attack="pgd", epsilon=2 / 255)
CLEAN = dataclasses.replace(
    ADAPTIVE, protocol="clean", attack="none", norm=None, epsilon=None
)


def outcomes_of(arm, right):
    """Clean and attacked pairs of two patients, and three healthy for the threshold."""
    made = [
        outcome(correct, [0, 0, 1, 1], dataclasses.replace(condition, arm=arm))
        for condition, correct in ((CLEAN, [True] * 4), (PGD, right))
    ]
    validation = dataclasses.replace(
        outcome([True] * 3, [7, 8, 9], dataclasses.replace(made[0].condition)),
        labels=np.zeros(3, int),
    )
    condition = dataclasses.replace(validation.condition, set="validation")
    return [*made, dataclasses.replace(validation, condition=condition)]


@pytest.fixture
def summary(smoke_config, tmp_path):
    """Writes a run whose second arm is better than any classifier can be."""

    def write(**overrides):
        config = smoke_config(
            "quickstart", **{"evaluation.sets": ("test_pairs",), **overrides}
        )
        fold = fold_of(pairs_with_lesions([0.01, 0.3]))
        fold.budgets.update(linf=2 / 255, l2=0.2)
        weights = {"w": np.zeros(3, np.float32)}
        built = settings.build_arms(config, (32, 32, 1))
        arms = {arm.name: (arm, weights) for arm in built}
        made = outcomes_of("undefended", [False, False, True, False])
        made += outcomes_of("wbad", [True] * 4)
        looks.record_look(config, tmp_path)
        summarise(config, [fold], [arms], made, tmp_path)
        return json.loads((tmp_path / "results.json").read_text())

    return write


def test_a_run_above_the_pair_bound_is_told_loudly(summary, capsys, tmp_path):
    results = summary()
    printed = capsys.readouterr().out
    assert results["meta"]["pair_bound_violations"] == [
        {
            "arm": "wbad", "norm": "linf", "epsilon": 2 / 255, "accuracy": 1.0,
            "ceiling": 0.75,
        }
    ]  # fmt: skip
    assert "FAILED CHECK: wbad has 100.0 % under the linf worst case" in printed
    assert "no classifier can exceed 75.0 %" in printed
    assert results["meta"]["test_looks"] == 1
    assert "Looks at the test set with this run: 1." in printed
    assert {row["set"] for row in results["rows"]} == {"test_pairs"}
    stored = evaluation.read_parquet(tmp_path / "predictions.parquet")
    assert {o.condition.set for o in stored} == {"test_pairs", "validation"}


@pytest.mark.parametrize(
    ("reference", "arm", "sign"), [("", "wbad", 1), ("wbad", "undefended", -1)]
)
def test_comparisons_with_the_reference(summary, reference, arm, sign):
    results = summary(**{"evaluation.reference_arm": reference})
    clean, worst = results["comparisons"]
    assert (clean["attack"], worst["attack"]) == ("none", "worst_case")
    assert (worst["arm"], worst["difference"]) == (arm, sign * 0.75)
    # The last arm is the one to be shown better; as the reference it is not.
    assert worst["primary"] == (arm == "wbad")
    assert not clean["primary"]


def test_an_unknown_reference_is_refused(smoke_config):
    config = smoke_config("quickstart", **{"evaluation.reference_arm": "trades"})
    with pytest.raises(ConfigError, match=r"reference_arm must be one of .* 'trades'"):
        check_values(config)
