"""Evading a linear classifier and a linear detector, where it is possible at all."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from wbad_jax import attacks

SHAPE = (5, 4, 1)
BATCH = 60
WIDE = (-100.0, 100.0)


def classifier(weights, images):
    score = jnp.sum(weights * images, axis=(1, 2, 3))
    return jnp.stack([-score / 2, score / 2], axis=-1)


def detector(weights, images):
    return jnp.sum(weights * images, axis=(1, 2, 3))


@functools.partial(jax.jit, static_argnames="attack")
def run(attack, weights, key, images, labels, epsilon, limit):
    logits_fn = functools.partial(classifier, weights[0])
    score_fn = functools.partial(detector, weights[1])
    return attack(
        logits_fn, key, images, labels, epsilon=epsilon, bounds=WIDE,
        score_fn=score_fn, score_limit=limit,
    )  # fmt: skip


def make_problem(correlation):
    """Gradients of classifier and detector at an angle; a fifth is flagged clean."""
    rng = np.random.default_rng(round(10 * correlation) + 20)
    first, other = rng.normal(size=(2, *SHAPE))
    second = correlation * first + np.sqrt(1 - correlation**2) * other
    images = np.float32(rng.normal(size=(BATCH, *SHAPE)))
    scores = (images * second).sum((1, 2, 3))
    labels = ((images * first).sum((1, 2, 3)) > 0).astype(np.int32)
    weights = tuple(np.float32((first, second)))
    return weights, images, labels, float(np.quantile(scores, 0.8))


def smallest_norms(weights, images, labels, limit, norm):
    """Norm of the smallest perturbation that evades both, by image."""
    first, second = (w.ravel().astype(float) for w in weights)
    rows = images.reshape(len(images), -1).astype(float)
    norms = []
    for row, label in zip(rows, labels, strict=True):
        sign = 1 if label == 1 else -1
        left = np.stack([sign * first, second])
        right = np.array([-sign * first @ row, limit - second @ row])
        smallest = {"l2": _smallest_l2, "linf": _smallest_linf, "l1": _smallest_l1}
        norms.append(smallest[norm](left, right))
    return np.array(norms)


def _smallest_l2(left, right):
    found = [np.zeros(left.shape[1])]
    for active in ([0], [1], [0, 1]):
        rows = left[active]
        found.append(rows.T @ np.linalg.solve(rows @ rows.T, right[active]))
    return min(np.linalg.norm(d) for d in found if np.all(left @ d <= right + 1e-9))


def _smallest_l1(left, right):
    parts = optimize.linprog(
        np.ones(2 * left.shape[1]), A_ub=np.hstack([left, -left]), b_ub=right
    )
    return parts.fun


def _smallest_linf(left, right):
    size = left.shape[1]
    eye, one = np.eye(size), np.ones((size, 1))
    program = optimize.linprog(
        np.append(np.zeros(size), 1),
        A_ub=np.block([[left, np.zeros((2, 1))], [eye, -one], [-eye, -one]]),
        b_ub=np.append(right, np.zeros(2 * size)),
        bounds=[(None, None)] * size + [(0, None)],
    )
    return program.fun


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("correlation", [-0.9, 0.0, 0.9])
def test_succeeds_exactly_where_both_can_be_evaded(norm, correlation, key):
    weights, images, labels, limit = make_problem(correlation)
    needed = smallest_norms(weights, images, labels, limit, norm)
    epsilon = np.median(needed)
    attack = attacks.DetectorAwarePGD(norm=norm)
    result = run(attack, weights, key, images, labels, epsilon, limit)
    clear = np.abs(needed / epsilon - 1) > 0.02
    assert clear.sum() > 50
    np.testing.assert_array_equal(result.success[clear], (needed < epsilon)[clear])
    hidden = np.asarray(detector(weights[1], result.adversarial)) <= limit
    wrong = np.asarray(result.margin) < 0
    np.testing.assert_array_equal(result.success, hidden & wrong)
    assert np.all(result.distance <= epsilon * (1 + 1e-6))


def test_an_attack_that_ignores_the_detector_is_flagged_more_often(key):
    weights, images, labels, limit = make_problem(-0.5)
    epsilon = np.median(smallest_norms(weights, images, labels, limit, "l2"))
    ignorant = attacks.PGD(norm="l2", num_steps=40)
    logits_fn = functools.partial(classifier, weights[0])
    plain = jax.jit(
        lambda: ignorant(
            logits_fn, key, images, jnp.asarray(labels), epsilon=epsilon, bounds=WIDE
        )
    )()
    hidden = np.asarray(detector(weights[1], plain.adversarial)) <= limit
    aware = run(
        attacks.DetectorAwarePGD(norm="l2"), weights, key, images, labels, epsilon,
        limit,
    )  # fmt: skip
    evaded = np.asarray(plain.success) & hidden
    assert np.all(np.asarray(aware.success) | ~evaded)
    assert np.mean(aware.success) > np.mean(evaded) + 0.03


def test_an_orthogonal_step_leaves_the_score_as_it_is(key):
    weights, images, labels, _ = make_problem(0.9)
    attack = attacks.DetectorAwarePGD(
        norm="l2", num_steps=10, step_size=0.05, schemes=("orthogonal",)
    )
    before = np.asarray(detector(weights[1], images))
    limit = float(before.max()) + 1
    moved = run(attack, weights, key, images, labels, 0.5, limit).adversarial
    after = np.asarray(detector(weights[1], moved))
    np.testing.assert_allclose(after, before, atol=1e-4)
    margin = attacks.margin(classifier(weights[0], images), labels)
    lowered = margin - attacks.margin(classifier(weights[0], moved), labels)
    along = np.ravel(weights[1]) / np.linalg.norm(weights[1])
    rest = np.ravel(weights[0]) - (np.ravel(weights[0]) @ along) * along
    travel = 0.5 * 0.05 * 10 * (1 + 1 / 10)
    np.testing.assert_allclose(
        lowered, np.full(BATCH, travel * np.linalg.norm(rest)), rtol=1e-3
    )


@pytest.mark.parametrize("scale", [1e-4, 1e5])
def test_the_scale_of_logits_and_scores_does_not_matter(scale, key):
    weights, images, labels, limit = make_problem(0.5)
    attack = attacks.DetectorAwarePGD(norm="l2", num_steps=40, restarts=2)
    plain = run(attack, weights, key, images, labels, 0.5, limit)
    other = (np.float32(scale) * weights[0], weights[1] / np.float32(scale))
    scaled = run(attack, other, key, images, labels, 0.5, limit / scale)
    np.testing.assert_array_equal(plain.success, scaled.success)


def test_goals_with_one_gradient_do_not_stall_the_attack(key):
    weights, images, labels, _ = make_problem(0.5)
    labels = np.ones(BATCH, np.int32)
    images = images + 0.4 * np.sign(weights[0])
    # The less like a tumour, the less suspicious: one direction serves both.
    weights = (weights[0], 2 * weights[0])
    attack = attacks.DetectorAwarePGD(norm="linf", num_steps=20)
    result = run(attack, weights, key, images, labels, 2.0, 1.0)
    assert np.all(result.success)


@pytest.mark.fast
def test_bad_detectors_and_settings_are_named(key):
    weights, images, labels, _ = make_problem(0.0)
    attack = attacks.DetectorAwarePGD()
    logits_fn = functools.partial(classifier, weights[0])
    for score_fn, limit, message in (
        (lambda x: x, 0.0, r"scores of shape \(60,\), got \(60, 5, 4, 1\)"),
        (functools.partial(detector, weights[1]), np.zeros(3), r"score_limit .*\(3,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            attack(
                logits_fn, key, images, labels, epsilon=0.1, bounds=WIDE,
                score_fn=score_fn, score_limit=limit,
            )  # fmt: skip
    with pytest.raises(ValueError, match="scheme must be one of .*got 'sum'"):
        attacks.DetectorAwarePGD(schemes=("sum",))
    with pytest.raises(ValueError, match="number of schemes must be at least 1"):
        attacks.DetectorAwarePGD(schemes=())
