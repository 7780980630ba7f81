"""Areas under the curve against scikit-learn, and their intervals and tests."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from wbad_jax.data import shortcuts
from wbad_jax.data.patient_states import patient_means
from wbad_jax.data.separation import (
    auc_interval,
    cross_validated_scores,
    enough_patients,
    separation,
)

pytestmark = pytest.mark.fast


def test_separation_is_that_of_the_libraries():
    rng = np.random.default_rng(0)
    positive = rng.random(80) < 0.4
    scores = np.round(rng.normal(size=80) + positive, 1)  # with ties
    found = separation(scores, positive)
    assert found.auc == pytest.approx(metrics.roc_auc_score(positive, scores))
    both = stats.mannwhitneyu(scores[positive], scores[~positive])
    assert found.p_value == pytest.approx(both.pvalue, rel=1e-9)
    assert (found.num_positive, found.num_negative) == (
        positive.sum(),
        80 - positive.sum(),
    )


def test_the_interval_holds_the_area_in_95_of_100_cases():
    rng = np.random.default_rng(1)
    for shift in (0.0, 1.0, 2.0):
        true = stats.norm.cdf(shift / np.sqrt(2))
        inside = 0
        for _ in range(600):
            ours, others = rng.normal(shift, 1, 25), rng.normal(0, 1, 35)
            auc = (ours[:, None] > others).mean()
            low, high = auc_interval(auc, 25, 35)
            assert 0 <= low <= auc <= high <= 1
            inside += low <= true <= high
        assert 0.93 < inside / 600 < 0.985


def test_the_interval_of_perfect_scores_has_a_length():
    low, high = auc_interval(1.0, 10, 10)
    assert 0.6 < low < 0.9
    assert high == 1.0
    assert auc_interval(0.0, 10, 10) == pytest.approx((0.0, 1 - low))


def test_scores_come_from_models_of_other_patients():
    rng = np.random.default_rng(2)
    positive = rng.random(60) < 0.5
    # Each patient has a feature of her own, which a model knows if it has seen her.
    scores = cross_validated_scores(np.eye(60), positive)
    assert metrics.roc_auc_score(positive, scores) < 0.6
    informed = positive[:, None] + rng.normal(0, 0.5, (60, 1))
    scores = cross_validated_scores(informed, positive)
    assert metrics.roc_auc_score(positive, scores) > 0.85


@pytest.mark.slow
def test_chance_is_called_a_shortcut_as_often_as_it_says():
    rng = np.random.default_rng(3)
    features = rng.normal(size=(48, 3))
    p_values = []
    for _ in range(1000):
        positive = np.isin(np.arange(48), rng.permutation(48)[:20])
        scores = cross_validated_scores(features, positive)
        p_values.append(separation(scores, positive).p_value)
    assert np.mean(np.array(p_values) < 0.05) < 0.07
    assert np.mean(np.array(p_values) < 0.01) < 0.02


def test_enough_patients_is_the_chance_of_the_best_order():
    def patients(ill, healthy):
        return np.repeat([True, False], [ill, healthy])

    assert not enough_patients(patients(6, 6))  # 2 in 924
    assert enough_patients(patients(7, 7))  # 2 in 3432
    assert not enough_patients(patients(1, 5000))


def test_least_detectable_area_is_found_in_four_of_five_cases():
    rng = np.random.default_rng(4)
    positive = np.arange(120) < 60
    for alpha in (0.05, 0.001):
        least = separation(rng.normal(size=120), positive).least_detectable(alpha)
        shift = np.sqrt(2) * stats.norm.ppf(least)
        found = 0
        for _ in range(400):
            ours, others = rng.normal(shift, 1, 60), rng.normal(0, 1, 60)
            found += stats.mannwhitneyu(ours, others).pvalue < alpha
        assert 0.72 < found / 400 < 0.9


def test_patient_means_leave_out_what_is_unknown():
    values = np.array([[1.0, np.nan], [3.0, 5.0], [7.0, np.nan]])
    means = patient_means(values, np.array([9, 9, 4]))
    np.testing.assert_array_equal(means, [[7.0, np.nan], [2.0, 5.0]])


def test_gaps_are_filled_and_marked():
    values = np.array([[1.0, np.nan, 5.0], [3.0, np.nan, 5.0], [np.nan, np.nan, 5.0]])
    np.testing.assert_array_equal(
        shortcuts.without_gaps(values), [[1.0, 0.0], [3.0, 0.0], [2.0, 1.0]]
    )
