"""Intervals against slow twins, and how often they hold the truth."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from wbad_jax import evaluation

pytestmark = pytest.mark.fast


def coverage(intervals, truth):
    low, high = np.transpose(intervals)
    return np.mean((low <= truth) & (truth <= high))


def clustered(rng, patients, images, spread):
    """Scores of images that share their patient's part; AUC of images is known."""
    ids = np.repeat(np.arange(patients), images)
    positive = ids % 2 == 1
    shared = spread * rng.normal(size=patients)[ids]
    own = np.sqrt(1 - spread**2) * rng.normal(size=len(ids))
    return shared + own + 1.2 * positive, positive, ids


TRUE_AREA = stats.norm.cdf(1.2 / np.sqrt(2))


def delong_twin(scores, positive):
    """The formulas of the paper, pair by pair."""
    x, y = scores[positive], scores[~positive]
    psi = (x[:, None] > y) + 0.5 * (x[:, None] == y)
    variance = psi.mean(1).var(ddof=1) / len(x) + psi.mean(0).var(ddof=1) / len(y)
    area = psi.mean()
    half = 1.959963984540054 * np.sqrt(variance) / (area * (1 - area))
    return 1 / (1 + np.exp(-np.log(area / (1 - area)) - half * np.array([-1, 1])))


@pytest.mark.parametrize("decimals", [8, 0])
def test_one_image_a_patient_is_delong(decimals):
    rng = np.random.default_rng(decimals)
    positive = rng.random(90) < 0.3
    scores = np.round(rng.normal(size=90) + positive, decimals)  # with ties or without
    area, low, high = evaluation.auc_with_interval(scores, positive, np.arange(90))
    assert area == pytest.approx(roc_auc_score(positive, scores))
    assert [low, high] == pytest.approx(delong_twin(scores, positive))


def test_the_area_of_clustered_images_has_the_interval_of_drawn_patients():
    scores, positive, ids = clustered(np.random.default_rng(0), 80, 6, 0.95)
    _, low, high = evaluation.auc_with_interval(scores, positive, ids)
    in_order = scores[positive][:, None] > scores[~positive]
    of_pairs = in_order.reshape(40, 6, 40, 6).mean(axis=(1, 3))
    times = np.random.default_rng(1).multinomial(80, np.full(80, 1 / 80), size=4000)
    ill, healthy = times[:, 1::2], times[:, ::2]
    drawn = np.einsum("di,ij,dj->d", ill, of_pairs, healthy)
    drawn = drawn / (ill.sum(axis=1) * healthy.sum(axis=1))
    bootstrap = np.quantile(drawn, [0.025, 0.975])
    assert [low, high] == pytest.approx(bootstrap, abs=0.015)
    _, *images = evaluation.auc_with_interval(scores, positive, np.arange(len(ids)))
    assert high - low > 1.7 * (images[1] - images[0])


@pytest.mark.parametrize("images", [1, 5])
def test_intervals_of_the_area_hold_the_truth(images):
    rng, found = np.random.default_rng(2), []
    for _ in range(600):
        case = clustered(rng, 60, images, 0.8)
        found.append(evaluation.auc_with_interval(*case)[1:])
    assert 0.92 < coverage(found, TRUE_AREA) < 0.98


def test_twins_of_one_patient_make_the_area_surer():
    """Both classes share the patient's part, which so cancels from the comparison."""
    rng, found, apart = np.random.default_rng(3), [], []
    positive = np.arange(120) % 2 == 1
    ids = np.repeat(np.arange(60), 2)
    for _ in range(600):
        scores = np.repeat(rng.normal(size=60), 2) + 0.3 * rng.normal(size=120)
        scores = scores + 0.6 * positive
        found.append(evaluation.auc_with_interval(scores, positive, ids)[1:])
        apart.append(evaluation.auc_with_interval(scores, positive, np.arange(120))[1:])
    truth = stats.norm.cdf(0.6 / np.sqrt(2 * 1.09))
    assert 0.92 < coverage(found, truth) < 0.98
    assert np.diff(found).mean() < 0.8 * np.diff(apart).mean()


def test_an_area_at_its_end_is_not_certain():
    scores, positive = np.arange(20.0), np.arange(20) >= 8
    area, low, high = evaluation.auc_with_interval(scores, positive, np.arange(20))
    assert (area, low, high) == (1, *evaluation.wilson_interval(8, 8))
    area, low, high = evaluation.auc_with_interval(-scores, positive, np.arange(20))
    assert (area, low, high) == (0, *evaluation.wilson_interval(0, 8))
    lone = np.arange(20) == 4
    assert evaluation.auc_with_interval(scores, lone, np.arange(20))[1:] == (0, 1)


def test_proportions_of_lone_images_are_wilson():
    hits = np.arange(50) < 44
    expected = evaluation.wilson_interval(44, 50)
    assert evaluation.proportion_interval(hits, np.arange(50)) == expected


@pytest.mark.parametrize("right", [False, True])
def test_without_variety_the_trials_are_patients(right):
    ids = np.repeat(np.arange(9), 4)
    expected = evaluation.wilson_interval(9 * right, 9)
    found = evaluation.proportion_interval(np.full(36, right), ids)
    assert found == expected


def test_intervals_of_clustered_proportions_hold_the_truth():
    """Patients with 1 to 7 images of an own chance, 0.7 on average."""
    rng, patients, images = np.random.default_rng(4), [], []
    for _ in range(600):
        ids = np.repeat(np.arange(70), rng.integers(1, 8, 70))
        hits = rng.random(len(ids)) < rng.beta(1.4, 0.6, 70)[ids]
        patients.append(evaluation.proportion_interval(hits, ids))
        images.append(evaluation.wilson_interval(int(hits.sum()), len(hits)))
    assert 0.92 < coverage(patients, 0.7) < 0.98
    assert coverage(images, 0.7) < 0.85
