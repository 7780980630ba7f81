"""Sensitivity at 90 % specificity, by hand and by simulation."""

import numpy as np
import pytest
from scipy import stats

from wbad_jax import evaluation

pytestmark = pytest.mark.fast


def outcome(scores, labels, patients=None, folds=None, name="test"):
    scores, labels = np.asarray(scores, float), np.asarray(labels)
    n = len(labels)
    return evaluation.Outcome(
        condition=evaluation.Condition(
            arm="wbad", set=name, protocol="clean", attack="none", norm=None,
            epsilon=None, seed=0,
        ),
        example_ids=np.arange(n).astype(str),
        patient_ids=np.arange(n) if patients is None else np.asarray(patients),
        labels=labels,
        logits=np.stack([np.zeros(n), scores], axis=-1),
        distance=np.zeros(n),
        seconds=0.0,
        folds=None if folds is None else np.asarray(folds),
    )  # fmt: skip


def test_threshold_and_what_it_gives_by_hand():
    # Healthy validation scores 1 to 20: the 18th leaves 90 % at or below itself.
    validation = outcome([*range(1, 21), 99], [0] * 20 + [1])
    point = evaluation.choose_operating_point(validation)
    assert point.threshold.tolist() == [18]
    found = evaluation.evaluate_at(
        point, outcome([18, 17, 19, 18.5, 18, 40, -3], [0, 0, 0, 0, 1, 1, 1])
    )
    assert found.specificity_there == 2 / 4
    assert found.sensitivity_at_90_specificity == pytest.approx(1 / 3)


@pytest.mark.parametrize("count", [1, 7, 10, 30, 41])
def test_threshold_is_the_lowest_with_that_specificity(count):
    scores = np.random.default_rng(count).normal(size=count)
    point = evaluation.choose_operating_point(outcome(scores, np.zeros(count, int)))
    assert np.mean(scores <= point.threshold[0]) >= 0.9 - 1e-9
    lower = scores[scores < point.threshold[0]]
    assert not len(lower) or np.mean(scores <= lower.max()) < 0.9 - 1e-9


def test_each_fold_has_its_own_threshold():
    healthy = [0.0, 1.0, 100.0, 101.0]
    validation = outcome(healthy, [0] * 4, folds=[0, 0, 1, 1])
    point = evaluation.choose_operating_point(validation)
    assert point.threshold.tolist() == [1, 101]
    test = outcome([50.0, 50.0], [1, 1], folds=[0, 1])
    assert evaluation.evaluate_at(point, test).sensitivity_at_90_specificity == 0.5


def test_intervals_are_those_of_patients_drawn_one_by_one():
    """Thresholds that vary by draw and fold, against a plain loop over draws."""
    rng = np.random.default_rng(7)
    folds = np.arange(90) // 45
    validation = outcome(rng.normal(size=90) + folds, np.zeros(90, int), folds=folds)
    point = evaluation.choose_operating_point(validation)
    for images in (1, 2):
        ids = np.repeat(np.arange(60), images)
        folds = ids // 30
        scores = 1.4 + rng.normal(size=len(ids)) + folds
        ill = outcome(scores, np.ones(len(ids), int), patients=ids, folds=folds)
        found = evaluation.evaluate_at(point, ill)
        shares = []
        for draw in range(2000):
            drawn = rng.integers(60, size=60)
            rows = (images * drawn[:, None] + np.arange(images)).ravel()
            shares.append(np.mean(scores[rows] > point.redrawn[draw][folds[rows]]))
        ends = (
            found.sensitivity_at_90_specificity_low,
            found.sensitivity_at_90_specificity_high,
        )
        assert ends == pytest.approx(np.quantile(shares, [0.025, 0.975]), abs=0.025)


def test_a_class_without_examples_gives_none():
    assert evaluation.choose_operating_point(outcome([1.0], [1])) is None
    part = outcome([1.0, 2.0], [0, 1], folds=[0, 1])
    assert evaluation.choose_operating_point(part) is None
    point = evaluation.choose_operating_point(outcome([1.0], [0]))
    ill = evaluation.evaluate_at(point, outcome([2.0], [1]))
    assert (ill.sensitivity_at_90_specificity, ill.specificity_there) == (1, None)
    low, high = evaluation.wilson_interval(1, 1)
    assert ill.sensitivity_at_90_specificity_low == low
    assert ill.sensitivity_at_90_specificity_high == high
    healthy = evaluation.evaluate_at(point, outcome([0.5], [0]))
    assert healthy == evaluation.AtSpecificity(specificity_there=1.0)


@pytest.mark.parametrize("images", [1, 3])
def test_intervals_hold_the_truth_though_the_threshold_is_estimated(images):
    """Truth: at the threshold of the population, 90 % quantile of a normal law."""
    truth = stats.norm.cdf(1.5 - stats.norm.ppf(0.9))
    rng, held, frozen = np.random.default_rng(5), [], []
    ids = np.repeat(np.arange(160), images)
    labels = ids % 2

    def draw():
        shared = rng.normal(size=160)[ids]
        own = rng.normal(size=len(ids))
        mixed = own if images == 1 else np.sqrt(0.7) * shared + np.sqrt(0.3) * own
        return outcome(mixed + 1.5 * labels, labels, patients=ids)

    for _ in range(300):
        point = evaluation.choose_operating_point(draw())
        found = evaluation.evaluate_at(point, draw())
        share = found.sensitivity_at_90_specificity
        low = found.sensitivity_at_90_specificity_low
        high = found.sensitivity_at_90_specificity_high
        held.append(low <= truth <= high)
        low, high = evaluation.wilson_interval(round(share * 80), 80)
        frozen.append(low <= truth <= high)
    assert 0.92 < np.mean(held) < 0.98
    assert np.mean(frozen) < 0.9
