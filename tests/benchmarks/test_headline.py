"""The headline's results file, from outcomes made by hand."""

import dataclasses
import functools
import json

import pytest

from benchmarks import headline
from tests.hand_made import outcome
from wbad_jax import evaluation

pytestmark = pytest.mark.fast
LABELS = (0, 0, 1, 1)


def write_run(folder, outcomes):
    folder.mkdir(parents=True)
    evaluation.write_parquet(outcomes, folder / "predictions.parquet")
    record = {"config": {"name": "headline-arms"}, "commit": "abc"}
    (folder / "config.json").write_text(json.dumps(record))


@pytest.fixture
def sweep(tmp_path):
    """Two seeds; under attack WBAD keeps one image more than adversarial training."""
    for seed in (0, 1):
        of_seed = functools.partial(outcome, seed=seed, labels=LABELS)
        outcomes = [of_seed([1, 1, 1, 1], arm="undefended")]
        for arm, left in (("adversarial", [1, 0, 0, seed]), ("wbad", [1, 1, 0, seed])):
            outcomes += [
                of_seed([1, 1, 1, 1], arm=arm),
                of_seed([1, 1, 1, seed], arm=arm, attack="fgsm"),
                of_seed(left, arm=arm, attack="pgd"),
            ]
        graybox = functools.partial(of_seed, protocol="graybox", attack="pgd")
        for arm, left in (("undefended", [1, 0, 1, 0]), ("wbad", [1, 1, 1, 0])):
            outcomes += [graybox(left, arm=arm, surrogate=name) for name in "ab"]
        write_run(tmp_path / "arms" / f"seed{seed}", outcomes)
    return tmp_path


def test_endpoints_by_hand(sweep):
    report = headline.report_of(sweep)
    assert report["seeds"] == [0, 1]
    assert report["primary"]["difference"] == pytest.approx(1 / 4)
    assert report["primary"]["difference_seeds"] == 2
    (graybox,) = report["secondary"]  # of PGD; the others were not run
    assert (graybox["attack"], graybox["difference"]) == ("pgd", pytest.approx(1 / 4))
    assert graybox["p_holm"] == graybox["p_value"]


def test_the_better_defence_is_compared_at_equal_cost_where_that_was_run(sweep):
    assert "equal_cost" not in headline.report_of(sweep)
    best = functools.partial(outcome, arm="lesion_map", labels=LABELS)
    long = functools.partial(outcome, arm="adversarial", labels=LABELS)
    for seed, left in ((0, [1, 1, 1, 0]), (1, [1, 1, 1, 1])):
        outcomes = [
            best([1, 1, 1, 1], seed=seed),
            best(left, attack="pgd", seed=seed),
        ]
        write_run(sweep / "best" / f"seed{seed}", outcomes)
    outcomes = [long([1, 1, 1, 1]), long([1, 1, 0, 0], attack="pgd")]
    write_run(sweep / "long" / "seed0", outcomes)
    found = headline.report_of(sweep)["equal_cost"]
    assert found["seeds"] == [0]
    worst = [r["accuracy"] for r in found["rows"] if r["attack"] == "worst_case"]
    assert worst == [0.5]
    # Of the seed that both have.
    assert found["best_minus_it"]["difference"] == pytest.approx(1 / 4)
    assert found["best_minus_it"]["difference_seeds"] == 1


def test_minutes_of_attacks_are_summed_by_arm_and_protocol():
    def attacked(seed, seconds, protocol="adaptive", attack="pgd"):
        known = {"seed": seed, "protocol": protocol, "attack": attack}
        return outcome([1, 0], arm="wbad", seconds=seconds, **known)

    seeds = {
        0: [attacked(0, 60), attacked(0, 30, attack="fgsm"), attacked(0, 6, "graybox")],
        1: [attacked(1, 120), outcome([1, 1], arm="undefended")],
    }
    assert headline.attack_minutes(seeds) == {
        "wbad": {"adaptive": [1.5, 2.0], "graybox": [0.1]}
    }


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


def test_copies_evaluated_again_stand_beside_the_others(sweep):
    """At each radius the rows are those of that radius."""
    assert "radii" not in headline.report_of(sweep)
    at = [(0.005, [1, 1, 1, 0]), (0.01, [1, 0, 1, 0]), (0.02, [0, 0, 1, 0])]
    outcomes = [
        outcome(left, attack="apgd", epsilon=epsilon, labels=LABELS)
        for epsilon, left in at
    ]
    outcomes.append(outcome([1, 1, 1, 1], labels=LABELS))
    write_run(sweep / "arms_radii" / "seed0", outcomes)
    radii = headline.report_of(sweep)["radii"]
    assert radii["seeds"] == [0]
    found = {
        row["epsilon"]: row["accuracy"]
        for row in radii["rows"]
        if row["attack"] == "worst_case"
    }
    assert found == {epsilon: sum(left) / 4 for epsilon, left in at}


def test_more_patients_are_compared_at_each_radius(sweep):
    def run(arm, *accuracies):
        known = {"arm": arm, "labels": LABELS}
        attacked = [
            outcome(right, attack="apgd", epsilon=epsilon, **known)
            for epsilon, right in zip((0.005, 0.01), accuracies, strict=True)
        ]
        return [outcome([1, 1, 1, 1], **known), *attacked]

    arms = run("adversarial", [1, 1, 0, 0], [1, 0, 0, 0])
    write_run(sweep / "arms_radii" / "seed0", arms)
    large = run("lesion_map", [1, 1, 1, 1], [1, 1, 0, 0])
    write_run(sweep / "large" / "seed0", large)
    radii = headline.report_of(sweep)["radii"]
    found = {
        (each["epsilon"], each["reference"]): each["difference"]
        for each in radii["large_minus"]
    }
    assert found == {(0.005, "adversarial"): 0.5, (0.01, "adversarial"): 0.25}
    assert {row["arm"] for row in radii["rows"]} == {"adversarial", "large"}
    others = [
        dataclasses.replace(each, example_ids=each.example_ids[::-1]) for each in large
    ]
    evaluation.write_parquet(others, sweep / "large" / "seed0" / "predictions.parquet")
    assert headline.report_of(sweep)["radii"]["large_minus"] == []


def test_nothing_finished_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no finished run"):
        headline.report_of(tmp_path)
