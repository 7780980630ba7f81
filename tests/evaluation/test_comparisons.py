"""Comparisons of arms against closed forms and all sign flips."""

import dataclasses
import itertools
import math

import numpy as np
import pytest

from wbad_jax import evaluation

pytestmark = pytest.mark.fast

CLEAN = evaluation.Condition(
    arm="undefended", set="test", protocol="clean", attack="none", norm=None,
    epsilon=None, seed=0,
)  # fmt: skip


def outcome(correct, arm, patients=None, **condition):
    n = len(correct)
    return evaluation.Outcome(
        condition=dataclasses.replace(CLEAN, arm=arm, **condition),
        example_ids=np.arange(n).astype(str),
        patient_ids=np.arange(n) if patients is None else np.asarray(patients),
        labels=np.zeros(n, np.int32),
        logits=np.stack([np.where(correct, 1.0, -1.0), np.zeros(n)], axis=-1),
        distance=np.zeros(n),
        seconds=0.0,
    )


def agreement(both, first, second, neither):
    """Whether each of two classifiers is right, from the table of counts."""
    counts = both, first, second, neither
    return (
        np.repeat([True, True, False, False], counts),
        np.repeat([True, False, True, False], counts),
    )


@pytest.mark.parametrize(("first", "second"), [(86, 150), (0, 5), (3, 9), (4, 4)])
def test_mcnemar_in_closed_form(first, second):
    """86 against 150: opinion polls in Agresti, Categorical Data Analysis, 10.1."""
    total, few = first + second, min(first, second)
    tail = sum(math.comb(total, k) for k in range(few + 1)) / 2**total
    expected = min(1.0, 2 * tail)
    found = evaluation.mcnemar(*agreement(794, first, second, 570))
    assert found == pytest.approx(expected)


def test_mcnemar_without_difference():
    assert evaluation.mcnemar(*agreement(5, 0, 0, 7)) == 1


def test_mcnemar_rejects_at_most_as_often_as_it_says():
    rng = np.random.default_rng(0)
    rejected = 0
    for _ in range(500):
        first, second = rng.random((2, 200)) < 0.7
        rejected += evaluation.mcnemar(first, second) < 0.05
    assert 0.02 < rejected / 500 < 0.06


def test_sign_flips_are_those_of_all_signs():
    sums = np.random.default_rng(1).normal(0.4, 1, 9)
    totals = np.array(list(itertools.product((-1, 1), repeat=9))) @ sums
    exact = np.mean(np.abs(totals) >= abs(sums.sum()) - 1e-9)
    assert evaluation.sign_flip(sums) == pytest.approx(exact, abs=0.03)
    assert evaluation.sign_flip(np.zeros(4)) == 1


def test_holm_by_hand():
    """Sorted 0.01, 0.02, 0.03, 0.6: times 4, 3, 2, 1, never falling."""
    found = evaluation.holm([0.03, 0.6, 0.01, 0.02])
    assert found == pytest.approx([0.06, 0.6, 0.04, 0.06])
    assert evaluation.holm([0.4, 0.9]) == pytest.approx([0.8, 0.9])
    assert evaluation.holm([]) == []


@pytest.mark.parametrize("images", [1, 4])
def test_intervals_of_differences_hold_the_truth(images):
    rng, held = np.random.default_rng(2), []
    ids = np.repeat(np.arange(120), images)
    for _ in range(400):
        hard = rng.random(120)[ids] / 2 + rng.random(len(ids)) / 2
        own = hard < np.quantile(rng.random(5000) / 2 + rng.random(5000) / 2, 0.6)
        change = own.astype(float) - (rng.random(len(ids)) < 0.5)
        low, high = evaluation.paired_interval(change, ids)
        held.append(low <= 0.1 <= high)
    assert 0.92 < np.mean(held) < 0.98


def test_comparison_of_two_arms():
    own, reference = agreement(10, 9, 1, 10)
    found = evaluation.compare(outcome(own, "wbad"), outcome(reference, "undefended"))
    assert found["difference"] == pytest.approx(8 / 30)
    assert found["p_value"] == pytest.approx(22 / 1024)
    assert (found["test"], found["n"]) == ("mcnemar", 30)
    assert 0 < found["ci_low"] < 8 / 30 < found["ci_high"]


def test_images_of_one_patient_are_one_observation():
    """Ten images of which a classifier gains all tell less than ten patients."""
    own, reference = np.ones(30, bool), np.arange(30) >= 10
    patients = np.repeat(np.arange(3), 10)
    found = evaluation.compare(
        outcome(own, "wbad", patients), outcome(reference, "undefended", patients)
    )
    assert found["test"] == "sign_flip"
    assert found["p_value"] == 1  # one patient differs, by either sign
    with pytest.raises(ValueError, match="same examples"):
        evaluation.compare(outcome(own, "wbad"), outcome(own[:9], "undefended"))


def test_arms_are_compared_where_both_have_the_condition():
    first, second = agreement(10, 12, 1, 10)
    worst = {"protocol": "adaptive", "attack": "worst_case", "norm": "linf"}
    near, far = worst | {"epsilon": 0.01}, worst | {"epsilon": 0.02}
    outcomes = [
        outcome(second, "undefended"),
        outcome(first, "wbad"),
        outcome(first, "denoise"),
        outcome(second, "undefended", **near),
        outcome(first, "wbad", **near),
        outcome(first, "wbad", **far),  # the reference has no such condition
        outcome(second, "undefended", **near | {"attack": "pgd"}),
        outcome(first, "wbad", **near | {"attack": "pgd"}),  # no worst case
    ]
    primary = outcomes[4].condition
    found = evaluation.compare_arms(outcomes, "undefended", primary)
    assert [(c["arm"], c["attack"], c["primary"]) for c in found] == [
        ("wbad", "none", False),
        ("denoise", "none", False),
        ("wbad", "worst_case", True),
    ]
    p = found[0]["p_value"]
    assert {c["p_value"] for c in found} == {p}
    assert [c["p_holm"] for c in found] == pytest.approx([2 * p, 2 * p, p])
    assert found[2]["epsilon"] == 0.01
    assert all(c["reference"] == "undefended" for c in found)
