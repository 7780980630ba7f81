"""A few changed pixels, against the best choice of them on a linear model."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wbad_jax import attacks


@functools.partial(jax.jit, static_argnames=("attack", "model"))
def run(attack, model, weights, images, labels, epsilon, mask=None):
    logits_fn = functools.partial(model, weights)
    return attack(
        logits_fn, jax.random.key(0), images, labels, epsilon=epsilon, mask=mask
    )


def linear(weights, images):
    score = jnp.sum(weights * images, axis=(1, 2, 3))
    return jnp.stack([-score / 2, score / 2], axis=-1)


def paired(weights, images):
    """Two pixels count only together, where their product is large."""
    flat = images.reshape(images.shape[0], -1)
    score = flat @ weights - 4 * flat[:, 0] * flat[:, 1]
    return jnp.stack([jnp.zeros_like(score), score], axis=-1)


def make_problem(shape):
    rng = np.random.default_rng(0)
    weights = jnp.asarray(rng.normal(size=shape), jnp.float32)
    images = jnp.asarray(rng.uniform(0, 1, (6, *shape)), jnp.float32)
    return weights, images, jnp.arange(6) % 2


@pytest.mark.parametrize("shape", [(5, 7, 1), (4, 3, 3)])
@pytest.mark.parametrize(("pixels", "steps"), [(4, 4), (5, 2), (3, 16)])
def test_the_best_pixels_of_a_linear_model_are_found(shape, pixels, steps):
    weights, images, labels = make_problem(shape)
    attack = attacks.SparsePixels(num_pixels=pixels, num_steps=steps)
    result = run(attack, linear, weights, images, labels, 0.6)
    changed = np.any(np.asarray(result.adversarial != images), axis=3)
    assert np.all(changed.sum((1, 2)) == pixels)
    # What each pixel can contribute within its reach and range.
    signed = np.where(labels == 1, -1, 1)[:, None, None, None] * np.asarray(weights)
    target = np.clip(np.asarray(images) + 0.6 * np.sign(signed), 0, 1)
    gain = (signed * (target - np.asarray(images))).sum(3).reshape(6, -1)
    best = np.sort(gain, axis=1)[:, -pixels:].sum(1)
    clean = attacks.margin(linear(weights, images), labels)
    np.testing.assert_allclose(clean - result.margin, best, rtol=1e-4)


def test_the_choice_follows_the_gradient_anew():
    rng = np.random.default_rng(1)
    images = jnp.full((2, 3, 3, 1), 0.5)
    weights = jnp.asarray(rng.uniform(0.1, 0.5, 9), jnp.float32) + jnp.eye(9)[0] * 3
    labels = jnp.asarray([1, 1])
    attack = attacks.SparsePixels(num_pixels=2, num_steps=2)
    result = run(attack, paired, weights, images, labels, 0.5)
    margins = []
    for pixels in itertools.combinations(range(9), 2):
        for moves in itertools.product([0.0, 1.0], repeat=2):
            moved = np.full((1, 9), 0.5, np.float32)
            moved[:, pixels] = moves
            logits = paired(weights, jnp.asarray(moved.reshape(1, 3, 3, 1)))
            margins.append(float(logits[0, 1] - logits[0, 0]))
    np.testing.assert_allclose(result.margin, np.full(2, min(margins)), atol=1e-5)
    at_once = attacks.SparsePixels(num_pixels=2, num_steps=1)
    worse = run(at_once, paired, weights, images, labels, 0.5)
    assert np.all(worse.margin > result.margin + 0.01)


def test_masked_pixels_are_not_chosen():
    weights, images, labels = make_problem((5, 7, 1))
    mask = np.zeros((5, 7, 1), bool)
    mask[1, 2:4] = True
    attack = attacks.SparsePixels(num_pixels=5, num_steps=2)
    result = run(attack, linear, weights, images, labels, 0.6, mask)
    changed = np.asarray(result.adversarial != images)
    np.testing.assert_array_equal(changed, np.broadcast_to(mask, images.shape))


def test_a_dead_pixel_may_take_any_value():
    weights, images, labels = make_problem((5, 7, 1))
    attack = attacks.SparsePixels(num_pixels=3, num_steps=3)
    result = run(attack, linear, weights, images, labels, np.inf)
    moved = np.asarray(result.adversarial)
    changed = moved != np.asarray(images)
    assert np.all(changed.sum((1, 2, 3)) == 3)
    assert np.all(np.isin(moved[changed], [0.0, 1.0]))


@pytest.mark.fast
@pytest.mark.parametrize("setting", ["num_pixels", "num_steps"])
def test_bad_settings_are_named(setting):
    with pytest.raises(ValueError, match=f"{setting} must be at least 1, got 0"):
        attacks.SparsePixels(**{setting: 0})
