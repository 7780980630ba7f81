"""Random noise has the promised distribution; transfer needs nothing but logits."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wbad_jax import attacks

BATCH, PIXELS = 5, (4, 5, 1)


@functools.partial(jax.jit, static_argnames=("attack", "model"))
def run(attack, model, weights, key, images, labels, epsilon, mask=None):
    logits_fn = functools.partial(model, weights)
    return attack(logits_fn, key, images, labels, epsilon=epsilon, mask=mask)


def linear(weights, images):
    score = jnp.sum(weights * images, axis=(1, 2, 3)) + 50
    return jnp.stack([-score / 2, score / 2], axis=-1)


def network(weights, images):
    flat = images.reshape(images.shape[0], -1)
    return jnp.sin(6 * flat @ weights[0]) @ weights[1]


def draws(attack, batch, pixels, epsilon, key, mask=None):
    """Perturbations of an attack with one sample: what it has drawn."""
    images = jnp.full((batch, *pixels), 0.5)
    labels = jnp.ones(batch, jnp.int32)
    weights = jnp.zeros(pixels)
    result = run(attack, linear, weights, key, images, labels, epsilon, mask)
    return np.asarray(result.adversarial - images).reshape(batch, -1)


@pytest.mark.fast
def test_uniform_linf_noise_fills_the_cube(key):
    attack = attacks.RandomNoise(num_samples=1)
    noise = draws(attack, 500, (2, 3, 1), 0.1, key) / 0.1
    assert np.abs(noise).max() <= 1 + 1e-6
    ordered = np.sort(noise, axis=None)
    uniform = np.linspace(-1, 1, ordered.size)
    # Five times the Kolmogorov-Smirnov distance that 3,000 draws have on average.
    assert np.abs(ordered - uniform).max() < 5 * 2 / np.sqrt(ordered.size)


@pytest.mark.fast
def test_extreme_linf_noise_sits_on_the_corners(key):
    attack = attacks.RandomNoise(num_samples=1, draw="extreme")
    noise = draws(attack, 500, (2, 3, 1), 0.1, key)
    np.testing.assert_allclose(np.abs(noise), 0.1, rtol=1e-5)
    assert abs(np.mean(np.sign(noise))) < 0.1


@pytest.mark.fast
@pytest.mark.parametrize("masked", [False, True])
def test_uniform_l2_noise_fills_the_ball(masked, key):
    mask = np.zeros((2, 3, 1), bool)
    mask[1, :2] = True
    size = 2 if masked else 6
    attack = attacks.RandomNoise(norm="l2", num_samples=1)
    noise = draws(attack, 500, (2, 3, 1), 0.4, key, mask if masked else None)
    volume = np.sort((np.linalg.norm(noise, axis=1) / 0.4) ** size)
    assert np.abs(volume - np.linspace(0, 1, 500)).max() < 5 / np.sqrt(500)
    assert not masked or not np.any(noise[:, ~mask.ravel()])
    assert np.all(np.abs(np.mean(noise, axis=0)) < 0.03)


@pytest.mark.fast
def test_extreme_l2_noise_sits_on_the_sphere(key):
    attack = attacks.RandomNoise(norm="l2", num_samples=1, draw="extreme")
    noise = draws(attack, 50, (2, 3, 1), 0.4, key)
    np.testing.assert_allclose(np.linalg.norm(noise, axis=1), 0.4, rtol=1e-5)


@pytest.fixture
def network_problem():
    rng = np.random.default_rng(2)
    weights = [
        (
            jnp.asarray(rng.normal(size=(20, 16)) / 4, jnp.float32),
            jnp.asarray(rng.normal(size=(16, 3)), jnp.float32),
        )
        for _ in range(3)
    ]
    images = jnp.asarray(rng.uniform(0.2, 0.8, (BATCH, *PIXELS)), jnp.float32)
    labels = jnp.argmax(network(weights[0], images), axis=-1)
    return weights, images, labels


@pytest.mark.fast
def test_the_most_harmful_draw_is_kept(network_problem, key):
    weights, images, labels = network_problem
    keys = jax.random.split(key, BATCH)

    def corner(index):
        signs = []
        for one in keys:  # Bit for bit, from the lowest.
            word = jax.random.bits(jax.random.fold_in(one, index), (1,), jnp.uint32)
            signs.append([2 * (int(word[0]) >> i & 1) - 1 for i in range(20)])
        return images + 0.1 * jnp.asarray(signs, jnp.float32).reshape(images.shape)

    seen = [attacks.margin(network(weights[0], corner(i)), labels) for i in range(7)]
    attack = attacks.RandomNoise(num_samples=7, draw="extreme")
    result = run(attack, network, weights[0], key, images, labels, 0.1)
    np.testing.assert_allclose(result.margin, np.min(seen, axis=0), atol=1e-4)


@pytest.mark.fast
def test_a_draw_is_one_forward_pass(key):
    calls = []

    def counted(weights, x):
        jax.debug.callback(lambda: calls.append(1))
        return linear(weights, x)

    images, labels = jnp.full((BATCH, *PIXELS), 0.5), jnp.ones(BATCH, jnp.int32)
    attack = attacks.RandomNoise(num_samples=9)
    result = run(attack, counted, jnp.zeros(PIXELS), key, images, labels, 0.1)
    jax.block_until_ready(result)
    jax.effects_barrier()
    assert len(calls) == 9 + 2


@functools.partial(jax.jit, static_argnames=("attack", "attacked"))
def transfer(attack, attacked, weights, key, images, labels):
    """Crafts on the second and third network."""
    surrogates = {str(i): functools.partial(network, weights[i]) for i in (1, 2)}
    logits_fn = functools.partial(attacked, weights[0])
    return attack(logits_fn, key, images, labels, epsilon=0.15, surrogates=surrogates)


def only_forward(weights, images):
    """A network that cannot be differentiated at all."""
    flat = images.reshape(images.shape[0], -1)
    shape = jax.ShapeDtypeStruct((images.shape[0], 3), jnp.float32)

    def on_host(weights, flat):
        first, second = (np.asarray(w) for w in weights)
        return (np.sin(6 * np.asarray(flat) @ first) @ second).astype(np.float32)

    return jax.pure_callback(on_host, shape, weights, flat)


@pytest.mark.fast
def test_the_best_surrogate_is_chosen_per_example(network_problem, key):
    weights, images, labels = network_problem
    inner = attacks.PGD(num_steps=5, norm="l2")
    attack = attacks.Transfer(attack=inner)
    assert attack.norm == "l2"
    with pytest.raises(ValueError, match="do not support JVP"):
        run(inner, only_forward, weights[0], key, images, labels, 0.15)
    result = transfer(attack, only_forward, weights, key, images, labels)
    crafted = [
        run(inner, network, weights[i], key, images, labels, 0.15).adversarial
        for i in (1, 2)
    ]
    margins = [attacks.margin(network(weights[0], x), labels) for x in crafted]
    np.testing.assert_allclose(result.margin, np.min(margins, axis=0), atol=1e-3)
    assert len(set(np.argmin(margins, axis=0).tolist())) == 2


@pytest.mark.fast
def test_transfer_stays_in_the_ball_and_in_the_mask(network_problem, key):
    weights, images, labels = network_problem
    attack = attacks.build("transfer", attack=attacks.PGD(num_steps=3))
    mask = np.zeros((*PIXELS[:2], 1), bool)
    mask[1:, 2:] = True
    surrogates = {"other": functools.partial(network, weights[1])}
    result = attack(
        functools.partial(network, weights[0]), key, images, labels,
        epsilon=0.2, bounds=(0.1, 0.9), mask=mask, surrogates=surrogates,
    )  # fmt: skip
    changed = np.asarray(result.adversarial != images)
    assert np.all(changed.any(axis=(1, 2, 3)))
    assert not np.any(changed & ~mask)
    assert np.all(result.distance <= 0.2 * (1 + 1e-6))
    assert np.all((result.adversarial >= 0.1) & (result.adversarial <= 0.9))


@pytest.mark.fast
def test_transfer_without_a_surrogate_is_an_error(network_problem, key):
    weights, images, labels = network_problem
    logits_fn = functools.partial(network, weights[0])
    for surrogates in (None, {}):
        with pytest.raises(ValueError, match="surrogates must name at least one"):
            attacks.Transfer()(
                logits_fn, key, images, labels, epsilon=0.1, surrogates=surrogates
            )


@pytest.mark.fast
@pytest.mark.parametrize(
    "settings", [{"norm": "l1"}, {"num_samples": 0}, {"draw": "corner"}]
)
def test_a_wrong_noise_setting_is_named(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        attacks.RandomNoise(**settings)
