"""Models that hide their gradient: the suite breaks them where plain PGD does not."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wbad_jax import attacks, denoise

EPSILON = 0.1
N, PIXELS = 48, (8, 8, 1)
PLAIN = attacks.PGD(loss="cross_entropy", num_steps=20)
# The binary suite, shorter.
SUITE = attacks.AutoAttack(
    attacks=(
        ("apgd", attacks.APGD(num_steps=20, stop_on_success=True)),
        ("fab", attacks.FAB(num_steps=10)),
        ("subband", attacks.SubbandPGD(num_steps=10)),
        ("square", attacks.Square(num_queries=400)),
    )
)


def network(weights, images):
    flat = images.reshape(len(images), -1) - 0.5
    return jnp.tanh(3 * flat @ weights[0]) @ weights[1]


def confident(weights, images):
    """Cross-entropy is 0 in float32, and so is its gradient."""
    return 1e5 * network(weights, images)


def quantised(weights, images):
    return network(weights, jnp.round(images * 16) / 16)


def hard_thresholded(weights, images):
    """Only details are seen, and those of these images are below the threshold."""
    details = images - 0.5
    kept = denoise.hard_threshold(details, 0.06)
    return network(weights, 0.5 + kept) + jnp.asarray([0.4, 0.0])


def gradient_free(weights, images):
    return network(weights, jax.lax.stop_gradient(images))


def noisy(weights, key, images):
    noise = 0.05 * jax.random.normal(key, images.shape)
    return 1e5 * network(weights, images + noise)


@pytest.fixture(scope="module")
def weights():
    rng = np.random.default_rng(4)
    size = int(np.prod(PIXELS))
    hidden = jnp.asarray(rng.normal(size=(size, 16)) / np.sqrt(size), jnp.float32)
    return hidden, jnp.asarray(rng.normal(size=(16, 2)), jnp.float32)


def images_in(spread):
    rng = np.random.default_rng(5)
    return jnp.asarray(rng.uniform(0.5 - spread, 0.5 + spread, (N, *PIXELS)), "float32")


@functools.partial(jax.jit, static_argnames=("attack", "model", "guide"))
def robust(attack, model, weights, key, images, guide=None):
    logits_fn = functools.partial(model, weights)
    labels = jnp.argmax(logits_fn(images), axis=-1)
    surrogates = {"guide": functools.partial(guide, weights)} if guide else None
    result = attack(
        logits_fn, key, images, labels, epsilon=EPSILON, surrogates=surrogates
    )
    return jnp.mean(~result.success)


@pytest.mark.parametrize(
    ("model", "spread"),
    [
        (confident, 0.3),
        (quantised, 0.3),
        (hard_thresholded, 0.05),
        (gradient_free, 0.3),
    ],
)
def test_the_suite_breaks_what_plain_pgd_does_not(model, spread, weights, key):
    images = images_in(spread)
    assert robust(PLAIN, model, weights, key, images) > 0.7
    assert robust(SUITE, model, weights, key, images) < 0.1


@pytest.mark.parametrize("model", [quantised, gradient_free])
def test_a_surrogate_breaks_them_without_queries(model, weights, key):
    images = images_in(0.3)
    apgd = attacks.APGD(num_steps=20)
    assert robust(apgd, model, weights, key, images) > 0.5
    assert robust(apgd, model, weights, key, images, network) < 0.1


def test_expectation_breaks_a_model_with_a_noise_layer(weights, key):
    """Judged on draws that the attack has not seen."""
    images = images_in(0.3)
    labels = jnp.argmax(network(weights, images), axis=-1)
    model = functools.partial(noisy, weights)
    keys = jax.random.split(key, 3)
    mean_of = attacks.expectation_over_transformation

    @functools.partial(jax.jit, static_argnames=("attack", "samples"))
    def accuracy(attack, samples):
        mean = mean_of(model, keys[0], samples)
        result = attack(mean, keys[1], images, labels, epsilon=EPSILON)
        logits = jnp.stack(
            [
                mean_of(model, jax.random.fold_in(keys[2], i), 1)(result.adversarial)
                for i in range(8)
            ]
        )
        return jnp.mean(jnp.argmax(logits, axis=-1) == labels)

    assert accuracy(PLAIN, 1) > 0.5
    assert accuracy(attacks.APGD(num_steps=20), 8) < 0.2
