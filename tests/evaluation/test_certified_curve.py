"""Curves of certified accuracy, and the tests that need no attack."""

import dataclasses

import numpy as np
import pytest

from tests.evaluation.smoothed_models import (
    linear,
    linear_params,
    make_examples,
    signed_distances,
)
from wbad_jax.evaluation import (
    Certificates,
    SmoothedEvaluator,
    above_pair_bound,
    accuracy_curve,
    certified_right,
    contradictory_twins,
    crossings,
    twin_rows,
    wilson_interval,
)
from wbad_jax.evaluation.certified_curve import wilson_bounds


def certificates(predicted, radius):
    radius = np.array(radius, float)
    return Certificates(
        predicted=np.array(predicted), abstained=radius == 0, radius=radius,
        votes=np.zeros((len(radius), 0), int), sigma=0.1, alpha=0.01,
    )  # fmt: skip


@pytest.mark.fast
def test_certified_accuracy_by_hand():
    found = certificates([0, 1, 1, 0, 0], [0.3, 0.2, 0.4, 0.0, 0.1])
    labels = np.array([0, 1, 0, 0, 0])
    radii = (0.0, 0.1, 0.2, 0.25, 0.5)
    right = certified_right(found, labels, radii)
    assert right.mean(axis=1).tolist() == [0.6, 0.6, 0.4, 0.2, 0.0]
    curve = accuracy_curve(right, np.arange(5), radii)
    for accuracy, low, high in zip(
        curve.accuracy, curve.ci_low, curve.ci_high, strict=True
    ):
        expected = wilson_interval(round(5 * accuracy), 5)
        assert (low, high) == pytest.approx(expected, abs=1e-9)


@pytest.mark.fast
def test_several_images_of_a_patient_are_one_trial():
    right = np.array([[True, True, True, False, False, False]])
    alone = accuracy_curve(right, np.arange(6), [0.0])
    pairs = accuracy_curve(right, np.repeat([0, 1, 2], 2), [0.0])
    assert pairs.accuracy == alone.accuracy == 0.5
    assert pairs.ci_high[0] - pairs.ci_low[0] > alone.ci_high[0] - alone.ci_low[0]
    low, high = wilson_bounds(np.array([0.0, 0.5, 1.0]), 3)
    assert low[0] == 0
    assert high[2] == 1
    assert (pairs.ci_low[0], pairs.ci_high[0]) == (low[1], high[1])
    with pytest.raises(ValueError, match="at least one image"):
        accuracy_curve(np.zeros((2, 0), bool), np.zeros(0), [0.0, 1.0])


@pytest.mark.fast
def test_curves_cross_only_where_more_is_certified_than_is_left():
    certified = np.array([0.9, 0.8, 0.7])
    left = np.array([0.9, 0.75, 0.65])
    undecided = np.array([0.0, 0.05, 0.01])
    assert crossings(certified, left, undecided).tolist() == [False, False, True]


@pytest.mark.fast
def test_twins_in_balls_that_meet_contradict():
    first = certificates([0, 0, 0, 0], [0.3, 0.3, 0.3, 0.0])
    second = certificates([1, 1, 0, 1], [0.2, 0.1, 0.9, 0.9])
    found = contradictory_twins(first, second, np.full(4, 0.45))
    assert found.tolist() == [True, False, False, False]


@pytest.mark.fast
def test_twins_are_found_by_patient():
    patients = np.array([7, 7, 3, 5, 5, 9, 9, 9])
    labels = np.array([1, 0, 0, 0, 0, 0, 1, 1])
    healthy, tumour = twin_rows(patients, labels)
    assert healthy.tolist() == [1]
    assert tumour.tolist() == [0]
    healthy, tumour = twin_rows(np.arange(3), np.zeros(3, int))
    assert len(healthy) == len(tumour) == 0


@pytest.fixture
def pairs(key):
    """Twins on both sides of a plane: their true radii add up to their distance."""
    params, examples = linear_params(), make_examples(20)
    margins = signed_distances(params, examples.images)
    direction = np.asarray(params["weights"]).reshape(examples.images.shape[1:])
    direction = direction / np.linalg.norm(direction)
    mirrored = examples.images - 2 * margins[:, None, None, None] * direction
    examples = dataclasses.replace(
        examples,
        images=np.concatenate([examples.images, mirrored]).astype(np.float32),
        labels=np.concatenate([margins > 0, margins < 0]).astype(np.int32),
        example_ids=np.arange(40).astype(str),
        patient_ids=np.tile(np.arange(20), 2),
    )
    found = SmoothedEvaluator(linear, batch_size=8, noise_batch=64).certify(
        params, examples, key, 0.3, num_samples=4000, alpha=1e-6
    )
    return examples, found, np.abs(margins)


def check(examples, found, radii):
    """Numbers of pairs that contradict, and of radii above the pair bound."""
    healthy, tumour = twin_rows(examples.patient_ids, examples.labels)
    assert len(healthy) == 20
    names = "predicted", "abstained", "radius", "votes"
    first, second = (
        dataclasses.replace(
            found, **{name: getattr(found, name)[rows] for name in names}
        )
        for rows in (healthy, tumour)
    )
    apart = examples.images[healthy] - examples.images[tumour]
    distance = np.linalg.norm(apart.reshape(20, -1), axis=1)
    right = certified_right(found, examples.labels, radii)
    above = above_pair_bound(right, radii, examples.images, healthy, tumour)
    return contradictory_twins(first, second, distance).sum(), above.sum()


def test_twins_tell_a_broken_certifier(pairs):
    """No attack is needed to see that radii twice as large cannot hold."""
    examples, found, margins = pairs
    assert (~found.abstained).sum() > 25
    radii = np.quantile(margins, [0.1, 0.3, 0.5, 0.7, 0.9])
    assert check(examples, found, radii) == (0, 0)
    twice = dataclasses.replace(found, radius=2 * found.radius)
    assert check(examples, twice, radii)[0] > 10
    # The pair bound is weaker: it does not ask which of two twins fell.
    far = dataclasses.replace(found, radius=4 * found.radius)
    assert check(examples, far, radii)[1] >= 1
