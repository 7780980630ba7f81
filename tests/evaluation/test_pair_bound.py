"""The pair bound: by hand, against brute force, and against a dozen classifiers."""

import itertools

import numpy as np
import pytest
from scipy import stats

from wbad_jax import evaluation

EPSILON = 0.1


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def box_pairs(rng, n=24, pixels=6, spread=0.4):
    """Pairs at distances around 2 EPSILON; their midpoints are inside the box."""
    healthy = rng.uniform(0.3, 0.7, (n, pixels))
    change = rng.uniform(-1, 1, (n, pixels))
    change *= rng.uniform(0, spread, (n, 1)) / np.abs(change).max(1, keepdims=True)
    return healthy, np.clip(healthy + change, 0, 1)


@pytest.mark.fast
@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_shifted_constants_conflict_up_to_twice_the_radius(norm):
    count = {"linf": 1.0, "l2": 3.0, "l1": 9.0}[norm]
    healthy = np.full((4, 3, 3), 0.5)
    shift = np.array([0.0, 0.9, 1.1, 2.0])[:, None, None] * 2 * EPSILON / count
    bound = evaluation.pair_bound(healthy, healthy + shift, EPSILON, norm)
    assert bound.conflicts.tolist() == [True, True, False, False]
    assert bound.share == 0.5
    assert bound.accuracy == 0.75


@pytest.mark.fast
def test_a_distance_of_exactly_twice_the_radius_is_not_counted():
    healthy = np.zeros((1, 4))
    for distance, conflict in ((2 * EPSILON, False), (2 * EPSILON - 2e-6, True)):
        tumour = np.full((1, 4), distance)
        found = evaluation.pair_bound(healthy, tumour, EPSILON).conflicts
        assert found.tolist() == [conflict]


@pytest.mark.fast
def test_masks_limit_who_meets():
    healthy, tumour = np.zeros((1, 2)), np.array([[0.15, 0.0]])
    masks = {
        (True, True): True,  # both may be changed: 0.15 < 2 * 0.1
        (True, False): False,  # one alone has to go all the way
        (False, False): False,
    }
    for (first, second), conflict in masks.items():
        found = evaluation.pair_bound(
            healthy,
            tumour,
            EPSILON,
            healthy_masks=np.array([[first, True]]),
            tumour_masks=np.array([[second, True]]),
        )
        assert found.conflicts.tolist() == [conflict], (first, second)
    near = evaluation.pair_bound(
        healthy,
        tumour / 2,
        EPSILON,
        healthy_masks=np.array([[True, True]]),
        tumour_masks=np.array([[False, True]]),
    )
    assert near.conflicts.tolist() == [True]
    for norm in ("l1", "l2"):
        outside = evaluation.pair_bound(
            healthy,
            tumour / 10,
            EPSILON,
            norm,
            healthy_masks=np.array([[True, True]]),
            tumour_masks=np.array([[False, True]]),
        )
        assert outside.conflicts.tolist() == [False]


@pytest.mark.fast
def test_a_matching_worked_by_hand():
    # Tumours 0 and 1 conflict with healthy 0 alone; healthy 1 and 2 with tumour 2 and
    # with tumours 2 and 3: at most three disjoint pairs.
    graph = np.array([[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1], [0, 0, 0, 0]], bool)
    assert evaluation.maximum_matching(graph) == 3


def matching_by_brute_force(graph):
    n = len(graph)
    best = 0
    for order in itertools.permutations(range(n)):
        best = max(best, sum(graph[i, j] for i, j in enumerate(order)))
    return best


@pytest.mark.fast
@pytest.mark.parametrize("seed", range(5))
def test_the_matching_is_that_of_brute_force(seed):
    graph = np.random.default_rng(seed).uniform(size=(6, 6)) < 0.25
    assert evaluation.maximum_matching(graph) == matching_by_brute_force(graph)


@pytest.mark.fast
@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_matching_across_patients_is_alike_with_and_without_masks(norm, rng):
    healthy, tumour = box_pairs(rng, n=8, pixels=3)
    everywhere = np.ones(healthy.shape, bool)
    plain = evaluation.pair_bound(healthy, tumour, EPSILON, norm, across_patients=True)
    masked = evaluation.pair_bound(
        healthy, tumour, EPSILON, norm, across_patients=True,
        healthy_masks=everywhere, tumour_masks=everywhere,
    )  # fmt: skip
    assert plain.matching == masked.matching
    assert plain.matching is not None
    assert plain.matching >= plain.conflicts.sum()
    assert plain.accuracy == 1 - plain.matching / 16


def classifiers(rng, healthy, tumour, bound):
    """A dozen, from images `[n, pixels]` to labels."""
    images = np.concatenate([healthy, tumour])
    labels = np.repeat([0, 1], len(healthy))
    mean = tumour.mean(0) - healthy.mean(0)
    middle = (tumour.mean(0) + healthy.mean(0)) @ mean / 2
    directions = rng.normal(size=(3, healthy.shape[1]))

    def nearest(known, names, order=2):
        def decide(x):
            gaps = np.linalg.norm(x[:, None] - known[None], order, axis=-1)
            return names[gaps.argmin(1)]

        return decide

    def linear(weights, offset):
        return lambda x: (x @ weights > offset).astype(int)

    order = {"linf": np.inf, "l2": 2, "l1": 1}[bound.norm]
    apart = tumour[~bound.conflicts]

    def near_a_tumour_apart(x):
        gaps = np.linalg.norm(x[:, None] - apart[None], order, axis=-1)
        return (gaps.min(1) <= bound.epsilon + 1e-9).astype(int)

    half = rng.permutation(len(images))[: len(images) // 2]
    rounded = {tuple(np.round(x, 6)): y for x, y in zip(images, labels, strict=True)}
    return {
        "healthy": lambda x: np.zeros(len(x), int),
        "tumour": lambda x: np.ones(len(x), int),
        "random": lambda x: rng.integers(0, 2, len(x)),
        "mean difference": linear(mean, middle),
        "best pixel": linear(np.eye(healthy.shape[1])[0], np.median(images[:, 0])),
        **{
            f"direction {i}": linear(w, np.median(images @ w))
            for i, w in enumerate(directions)
        },
        "nearest": nearest(images, labels),
        "nearest of half": nearest(images[half], labels[half]),
        "nearest in Linf": nearest(images, labels, np.inf),
        "memory": lambda x: np.array(
            [rounded.get(tuple(np.round(v, 6)), 0) for v in x]
        ),
        "the set known": near_a_tumour_apart,
        "parity": lambda x: np.floor(x.sum(1) * 20).astype(int) % 2,
    }


def twin_attack_accuracy(decide, healthy, tumour, epsilon, norm):
    """Robust accuracy under the clean, the midpoint and the towards-the-twin image.

    The same image is offered for both twins and the classifier is asked once a point,
    so a random classifier has one answer for it.
    """
    step = (tumour - healthy) / 2
    order = {"linf": np.inf, "l2": 2, "l1": 1}[norm]
    size = np.linalg.norm(step, order, axis=1, keepdims=True)
    step = step * np.minimum(1, epsilon / np.maximum(size, 1e-12))
    meeting = size[:, 0] <= epsilon
    at_healthy = decide(healthy + step)
    at_tumour = np.where(meeting, at_healthy, decide(tumour - step))
    right_healthy = (decide(healthy) == 0) & (at_healthy == 0)
    right_tumour = (decide(tumour) == 1) & (at_tumour == 1)
    return (right_healthy.mean() + right_tumour.mean()) / 2


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("seed", range(3))
def test_no_classifier_exceeds_the_bound_under_the_twin_attack(norm, seed):
    rng = np.random.default_rng(seed)
    healthy, tumour = box_pairs(rng, n=60)
    bound = evaluation.pair_bound(healthy, tumour, EPSILON, norm)
    assert 0 < bound.share < 1
    found = {
        name: twin_attack_accuracy(decide, healthy, tumour, EPSILON, norm)
        for name, decide in classifiers(rng, healthy, tumour, bound).items()
    }
    assert len(found) >= 12
    assert max(found.values()) <= bound.accuracy + 1e-12
    # One that knows the set reaches it: the bound is not loose.
    assert found["the set known"] == pytest.approx(bound.accuracy, abs=0.03)


@pytest.mark.fast
def test_one_member_a_patient_has_the_exact_limit():
    conflicts = np.arange(100) < 40
    hits = stats.binom.ppf(0.95, 40, 0.5)
    assert evaluation.one_member_bound(conflicts) == 1 - 40 / 100 + hits / 100
    assert evaluation.one_member_bound(np.zeros(10, bool)) == 1
    rng = np.random.default_rng(0)
    found = 0.6 + rng.binomial(40, 0.5, 4000) / 100
    assert (found <= evaluation.one_member_bound(conflicts)).mean() >= 0.95


@pytest.mark.fast
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((2, 3)), np.zeros((3, 3)), 0.1), "same shape"),
        ((np.zeros((0, 3)), np.zeros((0, 3)), 0.1), "same shape"),
        ((np.full((2, 3), np.nan), np.zeros((2, 3)), 0.1), "healthy needs finite"),
        ((np.zeros((2, 3)), np.zeros((2, 3)), -0.1), "epsilon must be"),
        ((np.zeros((2, 3)), np.zeros((2, 3)), 0.1, "l3"), "norm must be one of"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        evaluation.pair_bound(*arguments)


@pytest.mark.fast
def test_bad_masks_and_levels_are_named():
    zero = np.zeros((2, 3))
    with pytest.raises(ValueError, match="bool pixels of all 2 images"):
        evaluation.pair_bound(zero, zero, 0.1, healthy_masks=zero)
    with pytest.raises(ValueError, match="level must be"):
        evaluation.one_member_bound(np.ones(3, bool), 1.0)
    with pytest.raises(ValueError, match="at least one patient"):
        evaluation.one_member_bound(np.ones(0, bool))
