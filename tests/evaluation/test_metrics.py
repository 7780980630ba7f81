"""Metrics against textbook numbers, a closed form and scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from wbad_jax import evaluation

# The 97.5 % quantile of the standard normal law.
Z = 1.959963984540054


def wilson_twin(successes, n):
    share = successes / n
    centre = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z * np.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2)) / (1 + Z**2 / n)
    return centre - half, centre + half


@pytest.mark.fast
@pytest.mark.parametrize(
    ("successes", "n", "low", "high"), [(18, 20, 0.70, 0.97), (90, 100, 0.83, 0.94)]
)
def test_wilson_interval_of_textbooks(successes, n, low, high):
    actual = evaluation.wilson_interval(successes, n)
    assert np.round(actual, 2).tolist() == [low, high]


@pytest.mark.fast
def test_wilson_interval_in_closed_form():
    for n in (1, 7, 183, 5000):
        for successes in {0, 1, n // 3, n - 1, n}:
            actual = evaluation.wilson_interval(successes, n)
            np.testing.assert_allclose(actual, wilson_twin(successes, n), atol=1e-12)


@pytest.mark.fast
def test_wilson_interval_widens_with_its_level():
    narrow, wide = (evaluation.wilson_interval(8, 10, level) for level in (0.5, 0.99))
    assert wide[0] < narrow[0] < 0.8 < narrow[1] < wide[1]


@pytest.mark.fast
@pytest.mark.parametrize("classes", [2, 3])
def test_metrics_match_scikit_learn(classes):
    rng = np.random.default_rng(classes)
    labels = rng.integers(0, classes, 157)
    logits = rng.normal(size=(157, classes)) + 0.8 * np.eye(classes)[labels]
    actual = evaluation.classification_metrics(logits, labels)
    predicted = logits.argmax(-1)
    positive = labels == 1
    others = np.delete(logits, 1, axis=-1).max(-1)
    assert actual.n == 157
    expected = {
        "accuracy": sklearn_metrics.accuracy_score(labels, predicted),
        "sensitivity": sklearn_metrics.recall_score(positive, predicted == 1),
        "specificity": sklearn_metrics.recall_score(~positive, predicted != 1),
        "auc": sklearn_metrics.roc_auc_score(positive, logits[:, 1] - others),
        "ci_low": wilson_twin((predicted == labels).sum(), 157)[0],
        "ci_high": wilson_twin((predicted == labels).sum(), 157)[1],
    }
    for name, value in expected.items():
        assert getattr(actual, name) == pytest.approx(value, abs=1e-9), name


@pytest.mark.fast
def test_auc_by_counting_pairs():
    logits = np.array([[0.0, 1.0], [2.0, 0.0], [0.0, 3.0], [1.0, 1.0], [0.0, 1.0]])
    labels = np.array([0, 0, 1, 1, 1])
    # Scores 1 and -2 against 3, 0, 1: one of six pairs is the wrong way, one a tie.
    actual = evaluation.classification_metrics(logits, labels)
    assert actual.auc == pytest.approx(4.5 / 6)


@pytest.mark.fast
@pytest.mark.parametrize(("label", "missing"), [(0, "sensitivity"), (1, "specificity")])
def test_one_class_alone(label, missing):
    logits = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]])
    actual = evaluation.classification_metrics(logits, np.full(3, label))
    assert getattr(actual, missing) is None
    assert actual.auc is None
    assert actual.accuracy == pytest.approx([2 / 3, 1 / 3][label])


@pytest.mark.fast
def test_what_cannot_be_measured_is_refused():
    with pytest.raises(ValueError, match="at least one example"):
        evaluation.classification_metrics(np.zeros((0, 2)), np.zeros(0, int))
    with pytest.raises(ValueError, match="NaN"):
        evaluation.classification_metrics(np.array([[0, np.nan]]), np.zeros(1, int))
