"""Attacks at the deployed threshold, and on the score itself."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from wbad_jax import attacks

PIXELS = (5, 4, 1)


def linear(weights, images):
    score = jnp.sum(weights * images, axis=(1, 2, 3))
    return jnp.stack([7.0 * jnp.ones_like(score), 7.0 + score], axis=-1)


def wavy(weights, images):
    flat = images.reshape(images.shape[0], -1)
    return jnp.tanh(3 * (flat - 0.5) @ weights[0]) @ weights[1]


@functools.partial(jax.jit, static_argnames=("attack", "model"))
def run(attack, model, weights, key, images, labels, epsilon):
    logits_fn = functools.partial(model, weights)
    return attack(logits_fn, key, images, labels, epsilon=epsilon)


@pytest.fixture
def linear_problem():
    rng = np.random.default_rng(1)
    weights = jnp.asarray(rng.normal(size=PIXELS), jnp.float32)
    weights = weights - jnp.mean(weights)
    images = jnp.asarray(rng.uniform(0.3, 0.7, (40, *PIXELS)), jnp.float32)
    noise = rng.normal(0, 0.3, 40)
    score = linear(weights, images)[:, 1] - 7
    return weights, images, (score + noise > 0).astype(jnp.int32)


def network_problem(classes, batch=24):
    rng = np.random.default_rng(2)
    size = int(np.prod(PIXELS))
    weights = (
        jnp.asarray(rng.normal(size=(size, 16)) / 2, jnp.float32),
        jnp.asarray(rng.normal(size=(16, classes)), jnp.float32),
    )
    images = jnp.asarray(rng.uniform(0.3, 0.7, (batch, *PIXELS)), jnp.float32)
    return weights, images


@pytest.mark.fast
@pytest.mark.parametrize("scale", [1.0, 1e3, 1e5])
def test_argmax_is_the_decision_at_the_threshold(scale, linear_problem):
    weights, images, _ = linear_problem
    score = scale * (np.asarray(linear(weights, images))[:, 1] - 7)
    for threshold in (0.0, 0.3 * scale, float(score[5])):
        model = attacks.at_threshold(
            lambda x: scale * linear(weights, x), jnp.float32(threshold)
        )
        logits = np.asarray(jax.jit(model)(images))
        others = np.abs(score - threshold) > 1e-4 * scale
        np.testing.assert_array_equal(
            logits.argmax(1)[others], (score > threshold)[others]
        )
        np.testing.assert_allclose(
            logits[:, 1] - logits[:, 0], score - threshold, atol=1e-4 * scale
        )


@pytest.mark.fast
def test_a_threshold_on_the_probability_is_the_same_decision(linear_problem):
    weights, images, _ = linear_problem
    logits_fn = functools.partial(linear, weights)
    probability = np.asarray(jax.nn.softmax(logits_fn(images)))[:, 1]
    for threshold in (0.1, 0.5, 0.62):
        model = attacks.at_threshold(logits_fn, threshold, on="probability")
        decided = np.argmax(model(images), axis=1)
        np.testing.assert_array_equal(decided, probability > threshold)


@pytest.mark.fast
def test_a_score_at_the_threshold_is_decided_healthy():
    def constant(images):
        return jnp.broadcast_to(jnp.asarray([1.0, 3.0]), (len(images), 2))

    images = jnp.zeros((3, *PIXELS))
    decided = attacks.at_threshold(constant, jnp.asarray([1.5, 2.0, 2.5]))(images)
    np.testing.assert_array_equal(np.argmax(decided, axis=1), [1, 0, 0])


@pytest.mark.fast
def test_an_attack_at_the_threshold_breaks_what_argmax_would_call_broken(
    linear_problem, key
):
    weights, images, labels = linear_problem
    size = float(np.abs(weights).sum())
    score = np.asarray(linear(weights, images))[:, 1] - 7
    threshold, epsilon = -0.5, 0.02
    logits_fn = functools.partial(linear, weights)

    @jax.jit
    def attack(threshold):
        deployed = attacks.at_threshold(logits_fn, threshold)
        return attacks.PGD(num_steps=5)(deployed, key, images, labels, epsilon=epsilon)

    result = attack(threshold)
    signed = np.where(labels == 1, 1, -1)
    margin = signed * (score - threshold) - epsilon * size
    np.testing.assert_allclose(result.margin, margin, atol=1e-4)
    np.testing.assert_array_equal(result.success, margin < 0)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("threshold", "on", "message"),
    [
        (0.5, "odds", "on must be one of .*got 'odds'"),
        (float("nan"), "score", "must be finite"),
        (1.0, "probability", "between 0 and 1, got 1.0"),
    ],
)
def test_a_bad_threshold_is_named(threshold, on, message):
    with pytest.raises(ValueError, match=message):
        attacks.at_threshold(functools.partial(linear, 1.0), threshold, on=on)


@pytest.mark.fast
def test_a_threshold_needs_two_logits():
    weights, images = network_problem(3)
    model = attacks.at_threshold(functools.partial(wavy, weights), 0.0)
    with pytest.raises(ValueError, match="two logits, got 3"):
        model(images)


@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l2", 2)])
@pytest.mark.parametrize("scale", [1.0, 1e5])
def test_every_linear_score_moves_by_the_full_radius(
    norm, dual, scale, linear_problem, key
):
    weights, images, labels = linear_problem
    clean = linear(weights, images)
    wrong = np.argmax(clean, axis=1) != np.asarray(labels)
    assert 3 < wrong.sum() < 20
    attack = attacks.SignedScore(norm=norm, num_steps=5)
    result = run(attack, linear, scale * weights, key, images, labels, 0.05)
    moved = scale * np.sum(weights * (result.adversarial - images), axis=(1, 2, 3))
    size = 0.05 * scale * np.linalg.norm(np.ravel(weights), dual)
    expected = np.where(np.asarray(labels) == 1, -size, size)
    np.testing.assert_allclose(moved, expected, rtol=1e-3)


def stops_at_success(model, weights, key, images, labels, epsilon):
    """Signed gradient steps until the decision is wrong, and not beyond."""
    current = images
    for _ in range(20):
        logits = model(weights, current)
        right = jnp.argmax(logits, axis=1) == labels
        gradient = jax.grad(
            lambda x: -jnp.sum(attacks.margin(model(weights, x), labels))
        )(current)
        step = epsilon / 10 * jnp.sign(gradient)
        moved = jnp.clip(current - images + step, -epsilon, epsilon) + images
        current = jnp.where(right[:, None, None, None], moved, current)
    return current


def test_the_auc_falls_further_than_under_attacks_that_stop_at_success(key):
    weights, images = network_problem(2, batch=60)
    rng = np.random.default_rng(4)
    logits = np.asarray(wavy(weights, images))
    labels = logits[:, 1] - logits[:, 0] + rng.normal(0, 0.5, len(logits)) > 0
    labels = jnp.asarray(labels, jnp.int32)

    def auc(images):
        logits = np.asarray(wavy(weights, images))
        return roc_auc_score(labels, logits[:, 1] - logits[:, 0])

    epsilon = 0.04
    signed = run(attacks.SignedScore(), wavy, weights, key, images, labels, epsilon)
    stopped = stops_at_success(wavy, weights, key, images, labels, epsilon)
    assert auc(signed.adversarial) < auc(stopped) - 0.1 < auc(images) - 0.2

    length = epsilon * np.sqrt(np.prod(PIXELS))
    signed = run(
        attacks.SignedScore(norm="l2"), wavy, weights, key, images, labels, length
    )
    closest = run(
        attacks.CarliniWagnerL2(num_searches=5, num_steps=80, initial_const=0.1),
        wavy, weights, key, images, labels, length,
    )  # fmt: skip
    # As many decisions are wrong under both; only the scores tell them apart.
    assert np.mean(closest.success) > np.mean(signed.success) - 0.05
    assert auc(signed.adversarial) < auc(closest.adversarial) - 0.1


def test_with_more_classes_the_positive_score_is_what_moves(key):
    weights, images = network_problem(5)
    labels = jnp.arange(len(images)) % 5

    def score(images):
        logits = np.asarray(wavy(weights, images))
        return logits[:, 2] - np.delete(logits, 2, axis=1).max(axis=1)

    sign = np.where(labels == 2, -1, 1)
    signed, margin = (
        run(attack, wavy, weights, key, images, labels, 0.03).adversarial
        for attack in (attacks.SignedScore(positive=2), attacks.PGD())
    )
    gain = sign * (score(signed) - score(images))
    assert np.all(gain > 0.05)
    assert np.mean(gain) > np.mean(sign * (score(margin) - score(images))) + 0.1


def test_a_score_never_gets_better(key):
    # The clean image has the worst score of all in the ball.
    images = jnp.full((2, *PIXELS), 0.5)
    labels = jnp.asarray([0, 1])
    sign = jnp.asarray([-1.0, 1.0])

    def model(images):
        away = jnp.max(jnp.abs(images - 0.5), axis=(1, 2, 3))
        score = sign * (1 + 10 * away)
        return jnp.stack([jnp.zeros_like(score), score], axis=-1)

    attack = attacks.SignedScore(num_steps=3, start="random")
    result = attack(model, key, images, labels, epsilon=0.1)
    np.testing.assert_array_equal(result.adversarial, images)


@pytest.mark.fast
def test_an_unknown_positive_class_is_named(linear_problem, key):
    weights, images, labels = linear_problem
    with pytest.raises(ValueError, match="one of the 2 classes, got 2"):
        run(attacks.SignedScore(positive=2), linear, weights, key, images, labels, 0.1)
    with pytest.raises(ValueError, match="num_steps must be at least 1"):
        attacks.SignedScore(num_steps=0)
