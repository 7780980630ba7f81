"""The table of a sweep, on outcomes made by hand, against plain NumPy."""

import dataclasses
import itertools

import numpy as np
import pytest

from experiments import ablation_plot, ablation_table
from tests.hand_made import outcome
from wbad_jax import evaluation

pytestmark = pytest.mark.fast


def attacked(seeds, patients=None, **more):
    """Outcomes of each seed: all right when clean, as given under PGD."""
    return [
        [
            outcome(np.ones(len(right)), seed=seed, patients=patients),
            outcome(right, attack="pgd", seed=seed, patients=patients, **more),
        ]
        for seed, right in seeds.items()
    ]


def find(rows, **wanted):
    (row,) = [r for r in rows if all(r[k] == v for k, v in wanted.items())]
    return row


PATIENTS = [0, 0, 1, 2, 2, 2]
DEEP = {0: [1, 1, 0, 1, 0, 1], 1: [1, 0, 0, 1, 0, 1]}
FLAT = {0: [1, 1, 1, 1, 1, 1], 1: [0, 1, 1, 1, 1, 1]}


def resampled_means(values, patients):
    """Means of the values with each patient drawn anew, in a plain loop."""
    rng = np.random.default_rng(1)
    names = np.unique(patients)
    members = [np.flatnonzero(np.equal(patients, name)) for name in names]
    drawn = rng.integers(len(names), size=(6000, len(names)))
    return [values[np.concatenate([members[p] for p in row])].mean() for row in drawn]


def test_accuracies_and_paired_differences_by_hand():
    runs = {"deep": attacked(DEEP, PATIENTS), "flat": attacked(FLAT, PATIENTS)}
    rows = ablation_table.table(runs, "deep")
    row = find(rows, run="flat", attack="pgd")
    assert (row["n"], row["patients"], row["seeds"]) == (6, 3, 2)
    assert row["accuracy"] == pytest.approx(11 / 12)
    assert row["seed_std"] == pytest.approx(np.std([1, 5 / 6], ddof=1))
    # By hand: of the six, change 1, 1 and 2 in twelve decisions of patients 1, 2, 0.
    assert row["difference"] == pytest.approx(4 / 12)
    assert row["difference_seeds"] == 2
    crossed = evaluation.crossed_variance(np.array(list(FLAT.values())), PATIENTS)
    assert row["crossed_low"] == crossed.low
    assert row["variance_seed"] == crossed.seed
    change = np.array(list(FLAT.values())) - np.array(list(DEEP.values()))
    crossed = evaluation.crossed_variance(change, PATIENTS)
    assert row["difference_crossed_high"] == crossed.high
    assert row["difference_variance_patient"] == crossed.patient
    change = change.mean(axis=0)
    assert find(rows, run="deep", attack="pgd")["difference"] is None
    low, high = np.quantile(resampled_means(change, PATIENTS), [0.025, 0.975])
    assert row["difference_low"] == pytest.approx(low, abs=0.01)
    assert row["difference_high"] == pytest.approx(high, abs=0.01)
    # Clean images count in the worst case, and here never matter.
    worst = find(rows, run="flat", attack="worst_case")
    assert worst["accuracy"] == row["accuracy"]


def test_intervals_are_those_of_patients_not_of_images():
    rng = np.random.default_rng(0)
    of_patient = rng.random(60) < 0.7
    patients = np.repeat(np.arange(60), 5)
    right = of_patient[patients]
    (row,) = ablation_table.table({"deep": [[outcome(right, patients=patients)]]}, "")
    low, high = np.quantile(resampled_means(right, patients), [0.025, 0.975])
    assert row["ci_low"] == pytest.approx(low, abs=0.02)
    assert row["ci_high"] == pytest.approx(high, abs=0.02)
    of_images = evaluation.wilson_interval(int(right.sum()), len(right))
    assert row["ci_high"] - row["ci_low"] > 1.8 * (of_images[1] - of_images[0])


def test_a_paired_difference_is_sharper_than_two_intervals():
    rng = np.random.default_rng(0)
    hard = rng.random(400) < 0.5
    better = hard | (np.arange(400) % 50 == 0)
    runs = {"deep": [[outcome(hard)]], "flat": [[outcome(better)]]}
    row = find(ablation_table.table(runs, "deep"), run="flat")
    assert row["difference"] > 0
    assert row["difference_low"] >= 0
    width = row["difference_high"] - row["difference_low"]
    assert width < 0.5 * (row["ci_high"] - row["ci_low"])


def test_only_seeds_of_both_runs_are_compared():
    flat = FLAT | {7: [0, 0, 0, 0, 0, 0]}
    runs = {"deep": attacked(DEEP), "flat": attacked(flat)}
    row = find(ablation_table.table(runs, "deep"), run="flat", attack="pgd")
    assert row["accuracy"] == pytest.approx(11 / 18)
    assert row["difference"] == pytest.approx(4 / 12)
    assert (row["seeds"], row["difference_seeds"]) == (3, 2)
    runs["flat"] = attacked({7: flat[7]})
    row = find(ablation_table.table(runs, "deep"), run="flat", attack="pgd")
    assert row["difference"] is None


def test_p_values_are_those_of_all_signs():
    rng = np.random.default_rng(3)
    deep, flat = rng.random(12) < 0.4, rng.random(12) < 0.8
    patients = np.repeat(np.arange(6), 2)
    runs = {
        "deep": [[outcome(deep, patients=patients)]],
        "flat": [[outcome(flat, patients=patients)]],
    }
    row = find(ablation_table.table(runs, "deep"), run="flat")
    sums = (flat.astype(float) - deep).reshape(6, 2).sum(axis=1)
    totals = [np.dot(signs, sums) for signs in itertools.product((-1, 1), repeat=6)]
    exact = np.mean(np.abs(totals) >= abs(sums.sum()))
    assert 0.02 < exact < 0.9
    assert row["p_value"] == pytest.approx(exact, abs=0.03)


def test_p_values_are_corrected_by_holm_within_a_condition():
    runs = {
        name: attacked({0: np.arange(30) < better})
        for name, better in (("deep", 0), ("a", 10), ("b", 6), ("c", 5))
    }
    rows = ablation_table.table(runs, "deep")
    p, holm = (
        [find(rows, run=run, attack="pgd")[field] for run in "abc"]
        for field in ("p_value", "p_holm")
    )
    assert p[0] < p[1] < p[2]  # 2 / 2**10, 2 / 2**6, 2 / 2**5
    assert holm[0] == pytest.approx(3 * p[0])
    assert holm[1] == pytest.approx(2 * p[1])
    assert holm[2] == pytest.approx(max(2 * p[1], p[2]))


@pytest.mark.parametrize("right", [0, 1])
def test_no_variety_is_no_certainty(right):
    runs = {name: [[outcome(np.full(20, right))]] for name in ("deep", "flat")}
    rows = ablation_table.table(runs, "deep")
    expected = evaluation.wilson_interval(20 * right, 20)
    assert (rows[0]["ci_low"], rows[0]["ci_high"]) == expected
    bound = evaluation.wilson_interval(0, 20)[1]
    row = find(rows, run="flat")
    assert (row["difference"], row["p_value"]) == (0, 1)
    assert row["difference_crossed_low"] is row["crossed_low"] is None  # one seed
    assert (row["difference_low"], row["difference_high"]) == (-bound, bound)


def test_no_variety_over_seeds_is_no_certainty():
    runs = {"deep": [[outcome([0] * 20, seed=seed)] for seed in range(3)]}
    (row,) = ablation_table.table(runs, "deep")
    expected = evaluation.wilson_interval(0, 20)
    assert (row["crossed_low"], row["crossed_high"]) == expected


def test_other_examples_and_other_radii_are_not_compared():
    runs = {"deep": [[outcome(np.ones(5))]], "flat": [[outcome(np.ones(4))]]}
    assert find(ablation_table.table(runs, "deep"), run="flat")["difference"] is None
    right = {0: [1, 0, 1]}
    runs = {
        "deep": attacked(right, epsilon=0.3),
        "far": attacked(right, epsilon=0.31),
        "same": attacked(right, epsilon=3 * 0.1),  # not 0.3 in binary
    }
    rows = ablation_table.table(runs, "deep")
    assert find(rows, run="far", attack="pgd")["difference"] is None
    assert find(rows, run="same", attack="pgd")["difference"] == 0


def test_what_is_shown():
    runs = {
        "deep": attacked(DEEP),
        "flat": [[*attacked(FLAT)[0], outcome(np.ones(6), arm="undefended")]],
    }
    rows = ablation_table.table(runs, "deep")

    def shown(*selection):
        return {
            (row["run"], row["arm"], ablation_table.condition_name(row))
            for row in ablation_table.Shown(*selection).of(rows)
        }

    worst = {
        (run, "wbad", under)
        for run in runs
        for under in ("clean", "adaptive linf 0.01")
    }
    assert shown(("wbad",)) == worst
    assert shown() == worst | {("flat", "undefended", "clean")}
    assert {under for _, _, under in shown((), ("pgd",))} == {
        "clean",
        "adaptive pgd linf 0.01",
    }


def test_failed_and_waiting_runs_are_named_with_their_errors():
    rows = ablation_table.table({"deep": attacked(DEEP)}, "deep")
    failed = {"flat/seed0": "Traceback\n  a line\nMemoryError: too large"}
    text = ablation_table.describe(rows, "deep", failed, ["flat/seed1"])
    assert "failed: flat/seed0: MemoryError: too large" in text
    assert "not tried: flat/seed1" in text
    assert "100.0 [" in text


def test_the_figure_has_a_panel_for_each_arm(tmp_path):
    pytest.importorskip("matplotlib")
    runs = {"deep": attacked(DEEP), "flat": attacked(FLAT)}
    rows = ablation_table.table(runs, "deep")
    assert ablation_plot.draw(rows, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 5000
    assert not ablation_plot.draw([], tmp_path / "none.png")


def test_several_surrogates_of_a_seed_are_averaged():
    def graybox(right, seed, surrogate):
        made = outcome(right, attack="pgd", seed=seed)
        condition = dataclasses.replace(
            made.condition, protocol="graybox", surrogate=surrogate
        )
        return dataclasses.replace(made, condition=condition)

    clean = [outcome([1, 1, 1], seed=seed) for seed in (0, 1)]
    seeds = [
        [clean[0], graybox([1, 1, 0], 0, "b"), graybox([1, 0, 0], 0, "c")],
        [clean[1], graybox([1, 1, 1], 1, "a"), graybox([0, 0, 1], 1, "c")],
    ]
    rows = ablation_table.table({"only": seeds}, "only")
    row = find(rows, protocol="graybox", attack="pgd")
    assert row["seeds"] == 2
    assert row["accuracy"] == pytest.approx(np.mean([[1, 0.5, 0], [0.5, 0.5, 1]]))
