"""Carlini-Wagner against the closed form of a linear classifier."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wbad_jax import attacks

BATCH, PIXELS = 8, (7, 5, 1)


@functools.partial(jax.jit, static_argnames=("attack", "model"))
def run(attack, model, weights, images, labels, epsilon=None, **kwargs):
    logits_fn = functools.partial(model, weights)
    key = jax.random.key(0)
    return attack(logits_fn, key, images, labels, epsilon=epsilon, **kwargs)


def linear(weights, images):
    score = jnp.sum(weights * (images - 0.5), axis=(1, 2, 3))
    return jnp.stack([-score / 2, score / 2], axis=-1)


@pytest.fixture
def problem():
    rng = np.random.default_rng(4)
    weights = jnp.asarray(rng.normal(size=PIXELS), jnp.float32)
    images = jnp.asarray(rng.uniform(0.3, 0.7, (BATCH, *PIXELS)), jnp.float32)
    return weights, images, jnp.argmax(linear(weights, images), axis=-1)


def minimal_distance(weights, images, labels):
    margin = np.asarray(attacks.margin(linear(weights, images), labels))
    return margin / np.linalg.norm(np.ravel(weights))


@pytest.mark.parametrize(
    ("settings", "tolerance"),
    [
        # One image is nearer than the length of Adam's first step.
        ({}, {"rtol": 0.02, "atol": 2e-3}),
        ({"learning_rate": 2e-3}, {"rtol": 0.02}),
        ({"learning_rate": 2e-3, "num_searches": 10, "abort_early": False},
         {"rtol": 0.02}),
    ],
)  # fmt: skip
def test_reaches_the_closest_point_of_a_linear_boundary(settings, tolerance, problem):
    weights, images, labels = problem
    result = run(attacks.CarliniWagnerL2(**settings), linear, *problem)
    assert np.all(result.success)
    expected = minimal_distance(weights, images, labels)
    print("distance / closed form:", np.round(result.distance / expected, 4))
    assert np.all(result.distance >= expected * (1 - 1e-4))
    np.testing.assert_allclose(result.distance, expected, **tolerance)


@pytest.mark.fast
def test_confidence_is_reached_at_the_price_of_distance(problem):
    weights, images, labels = problem
    attack = attacks.CarliniWagnerL2(confidence=0.5, num_searches=6, num_steps=300)
    result = run(attack, linear, *problem)
    assert np.all(result.margin <= -0.5)
    extra = 0.5 / np.linalg.norm(np.ravel(weights))
    expected = minimal_distance(weights, images, labels) + extra
    np.testing.assert_allclose(result.distance, expected, rtol=0.03)


@pytest.mark.fast
@pytest.mark.parametrize("select", ["closest", "confident"])
def test_budgeted_success_is_decided_by_the_minimal_distance(select, problem):
    weights, images, labels = problem
    attack = attacks.CarliniWagnerL2(
        num_searches=6, num_steps=300, initial_const=0.1, select=select
    )
    expected = minimal_distance(weights, images, labels)
    factor = np.where(np.arange(BATCH) % 2 == 0, 0.9, 1.1)
    epsilon = jnp.asarray(expected * factor, jnp.float32)
    result = run(attack, linear, *problem, epsilon)
    np.testing.assert_array_equal(result.success, factor > 1)
    assert np.all(result.distance <= epsilon * (1 + 1e-6))
    # Without a success the budget is used up, in the direction of the boundary.
    failed = ~np.asarray(result.success)
    np.testing.assert_allclose(result.distance[failed], epsilon[failed], rtol=1e-3)
    margin = expected * np.linalg.norm(np.ravel(weights))
    np.testing.assert_allclose(
        result.margin[failed], 0.1 * margin[failed], rtol=0.1, atol=1e-3
    )


@pytest.mark.fast
def test_confident_uses_the_ball_that_closest_leaves(problem):
    weights, images, labels = problem
    epsilon = 3 * minimal_distance(weights, images, labels)
    settings = {"num_searches": 5, "num_steps": 200, "initial_const": 0.1}
    closest = run(
        attacks.CarliniWagnerL2(**settings), linear, *problem, jnp.asarray(epsilon)
    )
    confident = run(
        attacks.CarliniWagnerL2(select="confident", **settings),
        linear, *problem, jnp.asarray(epsilon),
    )  # fmt: skip
    assert np.all(closest.success & confident.success)
    assert np.all(closest.distance < 0.4 * epsilon)
    clean = attacks.margin(linear(weights, images), labels)
    np.testing.assert_array_less(confident.margin, -1.5 * clean)


@pytest.mark.fast
def test_nothing_found_is_the_clean_image_at_infinite_distance(problem):
    weights, images, _ = problem

    def constant(weights, x):
        return jnp.tile(jnp.asarray([1.0, 0.0]), (x.shape[0], 1)) + 0 * jnp.sum(x)

    attack = attacks.CarliniWagnerL2(num_searches=2, num_steps=5)
    labels = jnp.zeros(BATCH, jnp.int32)
    result = run(attack, constant, weights, images, labels)
    assert not np.any(result.success)
    assert np.all(np.isinf(result.distance))
    np.testing.assert_array_equal(result.adversarial, images)
    np.testing.assert_array_equal(result.margin, 1)


@pytest.mark.fast
def test_an_image_that_is_wrong_already_is_its_own_closest_success(problem):
    weights, images, labels = problem
    attack = attacks.CarliniWagnerL2(num_searches=2, num_steps=20)
    result = run(attack, linear, weights, images, 1 - labels)
    assert np.all(result.success)
    np.testing.assert_array_equal(result.distance, 0)


@pytest.mark.fast
@pytest.mark.parametrize("select", ["closest", "confident"])
def test_few_steps_still_perturb_an_unbroken_image(select, problem):
    weights, images, labels = problem
    attack = attacks.CarliniWagnerL2(num_searches=1, num_steps=1, select=select)
    expected = minimal_distance(weights, images, labels)
    result = run(attack, linear, *problem, jnp.asarray(0.5 * expected))
    assert not np.any(result.success)
    assert np.all(result.margin < attacks.margin(linear(weights, images), labels))


@pytest.mark.fast
def test_mask_gives_the_minimal_distance_of_the_open_pixels(problem):
    weights, images, labels = problem
    mask = np.zeros((*PIXELS[:2], 1), bool)
    mask[2:, 1:] = True
    open_weights = np.linalg.norm(np.asarray(weights)[np.broadcast_to(mask, PIXELS)])
    margin = np.asarray(attacks.margin(linear(weights, images), labels))
    attack = attacks.CarliniWagnerL2(num_searches=7, num_steps=400, initial_const=0.1)
    result = run(attack, linear, *problem, mask=mask)
    np.testing.assert_allclose(result.distance, margin / open_weights, rtol=0.02)


@pytest.mark.parametrize("scale", [1e-2, 1e3])
def test_search_adapts_to_the_scale_of_the_logits(scale, problem):
    weights, images, labels = problem

    def scaled(weights, x):
        return scale * linear(weights, x) + 20

    result = run(attacks.CarliniWagnerL2(num_searches=14), scaled, *problem)
    expected = minimal_distance(weights, images, labels)
    np.testing.assert_allclose(result.distance, expected, rtol=0.03)
