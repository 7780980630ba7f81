"""The headline's results file, from outcomes made by hand."""

import json

import numpy as np
import pytest

from benchmarks import headline
from wbad_jax import evaluation

pytestmark = pytest.mark.fast
LABELS = np.array([0, 0, 1, 1], np.int32)


def outcome(arm, seed, correct, protocol="clean", attack="none", norm=None, name=None):
    right = np.where(LABELS == 1, 1.0, -1.0) * np.where(correct, 1, -1)
    condition = evaluation.Condition(
        arm=arm, set="test", protocol=protocol, attack=attack, seed=seed, norm=norm,
        epsilon=None if norm is None else 0.01, surrogate=name,
    )  # fmt: skip
    return evaluation.Outcome(
        condition=condition,
        example_ids=np.arange(4).astype(str),
        patient_ids=np.arange(4),
        labels=LABELS,
        logits=np.stack([-right, right], axis=-1),
        distance=np.zeros(4),
        seconds=0.0,
    )


@pytest.fixture
def sweep(tmp_path):
    """Two seeds; under attack WBAD keeps one image more than adversarial training."""
    for seed in (0, 1):
        outcomes = []
        for arm, left in (("adversarial", [1, 0, 0, seed]), ("wbad", [1, 1, 0, seed])):
            outcomes += [
                outcome(arm, seed, [1, 1, 1, 1]),
                outcome(arm, seed, [1, 1, 1, seed], "adaptive", "fgsm", "linf"),
                outcome(arm, seed, left, "adaptive", "pgd", "linf"),
            ]
        for arm, left in (("undefended", [1, 0, 1, 0]), ("wbad", [1, 1, 1, 0])):
            for name in ("a", "b"):
                made = outcome(arm, seed, left, "graybox", "pgd", "linf", name)
                outcomes.append(made)
        outcomes.append(outcome("undefended", seed, [1, 1, 1, 1]))
        folder = tmp_path / "arms" / f"seed{seed}"
        folder.mkdir(parents=True)
        evaluation.write_parquet(outcomes, folder / "predictions.parquet")
        record = {"config": {"name": "headline-arms"}, "commit": "abc"}
        (folder / "config.json").write_text(json.dumps(record))
    return tmp_path


def test_endpoints_by_hand(sweep):
    report = headline.report_of(sweep)
    assert report["seeds"] == [0, 1]
    assert report["primary"]["difference"] == pytest.approx(1 / 4)
    assert report["primary"]["difference_seeds"] == 2
    (graybox,) = report["secondary"]  # of PGD; the others were not run
    assert (graybox["attack"], graybox["difference"]) == ("pgd", pytest.approx(1 / 4))
    assert graybox["p_holm"] == graybox["p_value"]


def test_rows_are_means_over_seeds(sweep):
    rows = headline.report_of(sweep)["rows"]
    (worst,) = [
        row
        for row in rows
        if row["arm"] == "wbad"
        and (row["protocol"], row["attack"]) == ("adaptive", "worst_case")
    ]
    assert worst["seeds"] == 2
    assert worst["accuracy"] == pytest.approx((2 + 3) / 8)
    assert worst["specificity"] == 1
    assert worst["sensitivity"] == pytest.approx(1 / 4)


def test_nothing_finished_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no finished run"):
        headline.gather(tmp_path)
