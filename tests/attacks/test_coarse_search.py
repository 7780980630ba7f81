"""Coarse search against the blockwise optimum of linear models."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wbad_jax import attacks

BATCH, PIXELS, BLOCK = 3, (6, 8, 2), 2


@functools.partial(jax.jit, static_argnames=("attack", "model"))
def run(attack, model, weights, key, images, labels, epsilon, mask=None):
    logits_fn = functools.partial(model, weights)
    return attack(logits_fn, key, images, labels, epsilon=epsilon, mask=mask)


def linear(weights, images):
    """Nothing breaks it with the offset of `problem`."""
    slope, offset = weights
    score = jnp.sum(slope * (images - 0.5), axis=(1, 2, 3)) + offset
    return jnp.stack([-score / 2, score / 2], axis=-1)


@pytest.fixture
def problem():
    rng = np.random.default_rng(3)
    slope = jnp.asarray(rng.normal(size=PIXELS), jnp.float32)
    images = jnp.asarray(rng.uniform(0.4, 0.6, (BATCH, *PIXELS)), jnp.float32)
    return (slope, 100.0), images, jnp.ones(BATCH, jnp.int32)


def block_sums(values):
    rows, cols, channels = values.shape
    values = np.asarray(values, np.float64)
    values = values.reshape(rows // BLOCK, BLOCK, cols // BLOCK, BLOCK, channels)
    return values.sum(axis=(1, 3))


def drop(weights, images, labels, result):
    return np.asarray(attacks.margin(linear(weights, images), labels) - result.margin)


@pytest.mark.fast
@pytest.mark.parametrize("late", [0, 100])
def test_linf_optimum_takes_two_queries_per_coefficient(late, problem, key):
    weights, images, labels = problem
    sums = block_sums(weights[0])
    attack = attacks.CoarseSearch(num_queries=2 * sums.size + late, block=BLOCK)
    result = run(attack, linear, *problem[:1], key, images, labels, 0.1)
    reached = drop(weights, images, labels, result)
    expected = np.full(BATCH, 0.1 * np.abs(sums).sum())
    np.testing.assert_allclose(reached, expected, rtol=1e-4)


@pytest.mark.fast
def test_l2_search_comes_near_the_blockwise_optimum(problem, key):
    weights, images, labels = problem
    sums = block_sums(weights[0])
    attack = attacks.CoarseSearch(norm="l2", num_queries=1500, block=BLOCK)
    result = run(attack, linear, weights, key, images, labels, 0.5)
    reached = drop(weights, images, labels, result)
    reached = reached / (0.5 * np.linalg.norm(sums) / BLOCK)
    print("drop / closed form:", np.round(reached, 4))
    assert np.all(reached < 1 + 1e-5)
    assert np.all(reached > 0.97)


@pytest.mark.fast
def test_fewer_queries_find_coarser_groups(problem, key):
    """With 4 queries: whole image and its left and right half."""
    weights, images, labels = problem
    attack = attacks.CoarseSearch(num_queries=4, block=BLOCK)
    result = run(attack, linear, weights, key, images, labels, 0.1)
    halves = np.asarray(weights[0], np.float64).reshape(6, 2, 4, 2).sum(axis=(0, 2, 3))
    expected = np.full(BATCH, 0.1 * np.abs(halves).sum())
    reached = drop(weights, images, labels, result)
    np.testing.assert_allclose(reached, expected, rtol=1e-4)


def bent(weights, images):
    """Lowest inside the ball, at another place for every block."""
    target, offset = weights
    score = jnp.sum((images - 0.5 - target) ** 2, axis=(1, 2, 3)) + offset
    return jnp.stack([-score / 2, score / 2], axis=-1)


@pytest.mark.fast
def test_late_moves_find_an_optimum_inside_the_ball(problem, key):
    _, images, labels = problem
    images = jnp.full_like(images, 0.5)
    rng = np.random.default_rng(0)
    target = rng.uniform(-0.1, 0.1, (3, 4, 2)).repeat(2, axis=0).repeat(2, axis=1)
    weights = (jnp.asarray(target, jnp.float32), 1.0)
    corner, refined = (
        run(
            attacks.CoarseSearch(num_queries=number, block=BLOCK),
            bent, weights, key, images, labels, 0.1,
        ).margin - 1
        for number in (48, 1500)
    )  # fmt: skip
    print("corner", np.asarray(corner), "refined", np.asarray(refined))
    np.testing.assert_allclose(
        corner, 4 * ((0.1 - np.abs(target[::2, ::2])) ** 2).sum(), rtol=1e-3
    )
    assert np.all(refined < 0.05 * corner)


@pytest.mark.fast
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("pixels", [(1, 1, 1), (3, 7, 1), (5, 2, 3)])
def test_perturbations_are_constant_on_blocks_of_any_image(norm, pixels, key):
    rng = np.random.default_rng(5)
    weights = (jnp.asarray(rng.normal(size=pixels), jnp.float32), 100.0)
    images = jnp.full((BATCH, *pixels), 0.5)
    attack = attacks.CoarseSearch(norm=norm, num_queries=80, block=2)
    labels = jnp.ones(BATCH, jnp.int32)
    result = run(attack, linear, weights, key, images, labels, 0.1)
    perturbation = np.asarray(result.adversarial - images)
    for row, col in np.ndindex(pixels[0] // 2, pixels[1] // 2):
        block = perturbation[:, 2 * row : 2 * row + 2, 2 * col : 2 * col + 2]
        assert np.abs(block - block[:, :1, :1]).max() < 1e-6
    np.testing.assert_allclose(result.distance, 0.1, rtol=1e-4)
    assert np.all(drop(weights, images, labels, result) > 0)


@pytest.mark.fast
def test_the_default_block_leaves_at_most_256_coefficients(key):
    """On 40 x 24 pixels of one channel blocks of 2 (240 coefficients) do."""
    images = jnp.full((1, 40, 24, 1), 0.5)
    rng = np.random.default_rng(5)
    weights = (jnp.asarray(rng.normal(size=images.shape[1:]), jnp.float32), 1000.0)
    labels = jnp.ones(1, jnp.int32)
    attack = attacks.CoarseSearch(num_queries=480)
    result = run(attack, linear, weights, key, images, labels, 0.1)
    perturbation = np.asarray(result.adversarial - images)[0, :, :, 0]
    expected = -0.1 * np.sign(block_sums(weights[0])[..., 0])
    expected = expected.repeat(2, axis=0).repeat(2, axis=1)
    np.testing.assert_allclose(perturbation, expected, atol=1e-6)


@pytest.mark.fast
@pytest.mark.parametrize(("label", "offset"), [(1, 100.0), (0, 100.0), (1, 0.5)])
def test_a_query_is_one_forward_pass(label, offset, problem, key):
    (slope, _), images, _ = problem
    calls = []

    def counted(weights, x):
        jax.debug.callback(lambda: calls.append(1))
        return linear(weights, x)

    attack = attacks.CoarseSearch(num_queries=70, block=BLOCK)
    labels = jnp.full(BATCH, label)
    result = run(attack, counted, (slope, offset), key, images, labels, 0.1)
    jax.block_until_ready(result)
    jax.effects_barrier()
    if offset == 100:
        assert len(calls) == (70 + 2 if label == 1 else 2)
    else:  # Broken on the way.
        assert np.all(result.success)
        assert 3 < len(calls) < 72


@pytest.mark.fast
def test_a_broken_example_is_left_alone(problem, key):
    (slope, _), images, labels = problem
    images = images + jnp.asarray([-0.02, 0, 0.02])[:, None, None, None] * jnp.sign(
        slope
    )
    weights = (slope, 2.5)
    early, late = (
        run(
            attacks.CoarseSearch(num_queries=number, block=BLOCK),
            linear, weights, key, images, labels, 0.1,
        )
        for number in (25, 300)
    )  # fmt: skip
    broken = np.asarray(early.success)
    print("broken:", broken, np.asarray(late.success))
    assert broken.any()
    assert not broken.all()
    np.testing.assert_array_equal(early.adversarial[broken], late.adversarial[broken])
    assert np.all(late.margin[~broken] < early.margin[~broken])


@pytest.mark.fast
def test_models_without_gradients_are_broken_where_pgd_is_blind(problem, key):
    (slope, _), images, labels = problem

    def quantised(weights, x):
        coarse = jnp.round(16 * x) / 16
        return 1e5 * linear(weights, jax.lax.stop_gradient(coarse)) + 20

    weights = (slope, 2.0)
    blind = run(attacks.PGD(), quantised, weights, key, images, labels, 0.15)
    attack = attacks.CoarseSearch(num_queries=100, block=BLOCK)
    result = run(attack, quantised, weights, key, images, labels, 0.15)
    assert not np.any(blind.success)
    assert np.all(result.success)


@pytest.mark.fast
@pytest.mark.parametrize("settings", [{"norm": "l1"}, {"num_queries": 0}, {"block": 0}])
def test_a_wrong_setting_is_named(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        attacks.CoarseSearch(**settings)
