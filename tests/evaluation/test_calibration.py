"""Calibration against scikit-learn, closed forms and plain loops."""

import numpy as np
import pytest
from scipy import special
from sklearn.metrics import brier_score_loss

from wbad_jax.evaluation import calibration

pytestmark = pytest.mark.fast


def two_class(log_odds):
    log_odds = np.asarray(log_odds, float)
    return np.stack([3 - log_odds / 2, 3 + log_odds / 2], axis=-1)


@pytest.mark.parametrize("classes", [2, 4])
def test_brier_score_is_that_of_scikit_learn(classes):
    rng = np.random.default_rng(classes)
    logits = 3 * rng.normal(size=(80, classes))
    positive = rng.random(80) < 0.4
    probability = special.softmax(logits, axis=-1)[:, 1]
    assert special.expit(calibration.log_odds(logits)) == pytest.approx(probability)
    expected = brier_score_loss(positive, probability)
    assert calibration.brier_score(logits, positive) == pytest.approx(expected)


def test_calibration_error_bin_by_bin():
    rng = np.random.default_rng(0)
    probability = np.append(rng.random(200), [0.0, 1.0])
    positive = rng.random(202) < 0.5
    logits = two_class(special.logit(np.clip(probability, 1e-12, 1 - 1e-12)))
    expected = 0.0
    for number in range(15):
        upper = np.inf if number == 14 else (number + 1) / 15
        rows = (probability >= number / 15) & (probability < upper)
        gap = abs(probability[rows].mean() - positive[rows].mean())
        expected += rows.mean() * gap
    found = calibration.expected_calibration_error(logits, positive)
    assert found == pytest.approx(expected)


def test_calibration_error_of_ten_certain_images_of_which_three_are_wrong():
    positive = np.arange(10) < 7
    found = calibration.expected_calibration_error(two_class([99.0] * 10), positive)
    assert found == pytest.approx(0.3)


def test_calibration_line_through_two_scores():
    """With two scores the fit is exact: the line through the observed log odds."""
    scores = np.repeat([-1.0, 3.0], [10, 20])
    positive = np.concatenate([np.arange(10) < 2, np.arange(20) < 15])
    first, second = np.log(2 / 8), np.log(15 / 5)
    slope, intercept = calibration.calibration_line(two_class(scores), positive)
    assert slope == pytest.approx((second - first) / 4, rel=1e-5)
    assert intercept == pytest.approx(first + slope, rel=1e-5)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_calibration_line_finds_how_overconfident_a_model_is(scale):
    rng = np.random.default_rng(1)
    truth = 2 * rng.normal(size=40000)
    positive = rng.random(40000) < special.expit(truth)
    logits = two_class(scale * (truth - 0.5))
    slope, intercept = calibration.calibration_line(logits, positive)
    assert slope * scale == pytest.approx(1, abs=0.04)
    assert intercept == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("scores", "positive"),
    [
        ([1, 2, 3, 4], [0, 0, 1, 1]),
        ([1, 2, 3, 4], [1, 1, 0, 0]),
        ([1, 2, 2, 4], [0, 0, 1, 1]),
        ([2, 2, 2, 2], [0, 1, 0, 1]),
        ([1, 2, 3, 4], [1, 1, 1, 1]),
    ],
)
def test_a_line_that_does_not_exist_is_none(scores, positive):
    found = calibration.calibration_line(two_class(scores), np.array(positive, bool))
    assert found == (None, None)
