"""BPDA, EOT, targeted attacks and sweeps over the radius."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wbad_jax import attacks

N, PIXELS, CLASSES = 12, (4, 5, 1), 4


def network(weights, images):
    flat = images.reshape(len(images), -1) - 0.5
    return jnp.tanh(3 * flat @ weights[0]) @ weights[1]


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(3)
    size = int(np.prod(PIXELS))
    weights = (
        jnp.asarray(rng.normal(size=(size, 16)) / np.sqrt(size), jnp.float32),
        jnp.asarray(rng.normal(size=(16, CLASSES)), jnp.float32),
    )
    images = jnp.asarray(rng.uniform(0.2, 0.8, (N, *PIXELS)), jnp.float32)
    labels = jnp.argmax(network(weights, images), -1).astype(jnp.int32)
    return functools.partial(network, weights), images, labels


def test_bpda_has_the_value_of_one_and_the_derivative_of_the_other(key):
    images = jax.random.uniform(key, (2, *PIXELS))
    wrapped = attacks.bpda(jnp.round, lambda x: jnp.sin(2 * x))
    np.testing.assert_array_equal(wrapped(images), jnp.round(images))
    gradient = jax.grad(lambda x: jnp.sum(wrapped(x)))(images)
    np.testing.assert_allclose(gradient, 2 * jnp.cos(2 * images), rtol=1e-6)
    identity = jax.grad(lambda x: jnp.sum(3 * attacks.bpda(jnp.round)(x)))(images)
    np.testing.assert_array_equal(identity, jnp.full_like(images, 3))


def noisy(logits_fn, key, images):
    return logits_fn(images + 0.3 * jax.random.normal(key, images.shape))


def test_the_mean_over_draws_approaches_the_expectation(key):
    def model(key, images):  # Of x + N(0, 1) the square has the mean x^2 + 1.
        noise = jax.random.normal(key, images.shape)
        return jnp.mean((images + noise) ** 2, axis=(1, 2))

    images = jax.random.uniform(key, (3, *PIXELS))
    mean = attacks.expectation_over_transformation(model, key, 4000)
    expected = jnp.mean(images**2, axis=(1, 2)) + 1
    np.testing.assert_allclose(mean(images), expected, atol=0.02)
    gradient = jax.grad(lambda x: jnp.sum(mean(x)))(images)
    np.testing.assert_allclose(gradient, images / 10, atol=0.01)


def test_draws_follow_from_an_image_alone_and_change_with_it(problem, key):
    logits_fn, images, _ = problem
    model = functools.partial(noisy, logits_fn)
    drawn = attacks.expectation_over_transformation(model, key, 1)
    logits = drawn(images)
    np.testing.assert_array_equal(logits, drawn(images))
    np.testing.assert_allclose(logits[3:4], drawn(images[3:4]), rtol=1e-4, atol=1e-5)
    for change in (1e-6, images[:, :1] * 0 + 0.01):
        moved = drawn(images + change)
        assert np.all(np.abs(moved - logits).max(axis=1) > 1e-3)
    swapped = images.at[0, 0, 0].set(images[0, 1, 1]).at[0, 1, 1].set(images[0, 0, 0])
    assert np.abs(drawn(swapped) - logits)[0].max() > 1e-3
    other = attacks.expectation_over_transformation(model, jax.random.key(5), 1)
    assert np.all(np.abs(other(images) - logits).max(axis=1) > 1e-3)


def test_no_draw_is_refused(key):
    with pytest.raises(ValueError, match="num_samples must be at least 1, got 0"):
        attacks.expectation_over_transformation(noisy, key, 0)


@pytest.mark.parametrize(
    "attack",
    [
        attacks.PGD(num_steps=10),
        attacks.CarliniWagnerL2(num_searches=3, num_steps=30, initial_const=0.1),
    ],
)
def test_a_targeted_attack_reaches_its_class(attack, problem, key):
    logits_fn, images, labels = problem
    targets = (labels + 1) % CLASSES
    epsilon = 0.4 if attack.norm == "linf" else 2.0
    result = jax.jit(
        lambda x: attacks.Targeted(attack=attack)(
            logits_fn, key, x, targets, epsilon=epsilon
        )
    )(images)
    logits = np.asarray(logits_fn(result.adversarial))
    np.testing.assert_array_equal(result.success, logits.argmax(-1) == targets)
    assert np.mean(result.success) > 0.8
    wanted = logits[np.arange(N), targets]
    others = np.where(np.eye(CLASSES)[targets] > 0, -np.inf, logits).max(-1)
    np.testing.assert_allclose(result.margin, others - wanted, atol=1e-5)


def test_with_two_classes_a_targeted_attack_is_the_attack_itself(problem, key):
    def two(images):
        return problem[0](images)[:, :2]

    images = problem[1]
    labels = jnp.argmax(two(images), -1)
    pgd = attacks.PGD(num_steps=5)
    plain = pgd(two, key, images, labels, epsilon=0.1)
    targeted = attacks.Targeted(attack=pgd)(two, key, images, 1 - labels, epsilon=0.1)
    np.testing.assert_array_equal(plain.adversarial, targeted.adversarial)
    np.testing.assert_array_equal(plain.success, targeted.success)


def test_a_sweep_is_each_attack_with_smaller_successes_kept(problem, key):
    logits_fn, images, labels = problem
    # Long steps: at a larger radius an attack may miss what a smaller one found.
    attack = attacks.PGD(num_steps=2, step_size=3.0, start="random")
    epsilons = [0.0, 0.02, 0.05, 0.1, 0.2]

    @jax.jit
    def swept(images, epsilons):
        return attacks.sweep(attack, logits_fn, key, images, labels, epsilons)

    result = swept(images, jnp.asarray(epsilons))
    assert result.adversarial.shape == (5, *images.shape)
    success = np.asarray(result.success)
    assert not success[0].any()
    assert np.all(success[1:] | ~success[:-1])
    single = np.stack(
        [attack(logits_fn, key, images, labels, epsilon=e).success for e in epsilons]
    )
    np.testing.assert_array_equal(success, np.logical_or.accumulate(single))
    reach = np.abs(result.adversarial - images).max((2, 3, 4))
    assert np.all(reach <= np.asarray(epsilons)[:, None] * (1 + 1e-6))
