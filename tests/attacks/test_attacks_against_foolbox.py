"""An independent implementation as reference; foolbox is not a dependency."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wbad_jax import attacks

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
BATCH, PIXELS = 24, (8, 8, 1)


@pytest.fixture
def problem():
    """A trained-looking smooth network on images well inside the pixel range."""
    rng = np.random.default_rng(5)
    size = int(np.prod(PIXELS))
    weights = (
        jnp.asarray(rng.normal(size=(size, 24)) / np.sqrt(size), jnp.float32),
        jnp.asarray(rng.normal(size=(24, 2)), jnp.float32),
    )
    images = jnp.asarray(rng.uniform(0.2, 0.8, (BATCH, *PIXELS)), jnp.float32)
    return weights, images, jnp.argmax(network(weights, images), axis=-1)


def network(weights, images):
    hidden = jnp.tanh(6 * (images - 0.5).reshape(images.shape[0], -1) @ weights[0])
    return 3 * hidden @ weights[1]


def test_carlini_wagner_distances(problem):
    foolbox = pytest.importorskip("foolbox")
    weights, images, labels = problem
    logits_fn = functools.partial(network, weights)
    model = foolbox.JAXModel(logits_fn, bounds=(0, 1))
    reference = foolbox.attacks.L2CarliniWagnerAttack(
        binary_search_steps=9, steps=500, stepsize=0.01, initial_const=1e-3
    )
    theirs, _, found = reference(model, images, labels, epsilons=None)
    attack = attacks.CarliniWagnerL2(num_searches=9, num_steps=500)
    ours = jax.jit(lambda: attack(logits_fn, jax.random.key(0), images, labels))()
    assert np.all(found)
    assert np.all(ours.success)
    distance = np.linalg.norm((np.asarray(theirs) - images).reshape(BATCH, -1), axis=1)
    ratio = np.asarray(ours.distance) / distance
    print(f"ours / foolbox: median {np.median(ratio):.4f}, max {ratio.max():.4f}")
    np.testing.assert_allclose(np.median(ratio), 1, atol=0.01)
    assert ratio.max() < 1.05


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (attacks.DDN(), "DDNAttack"),
        # Their L2 form of FMN (3.3.4) does not project onto the ball.
        (attacks.FMN(norm="l2"), "DDNAttack"),
        (attacks.FMN(), "LInfFMNAttack"),
    ],
)
def test_minimal_distances(ours, theirs, problem):
    foolbox = pytest.importorskip("foolbox")
    weights, images, labels = problem
    logits_fn = functools.partial(network, weights)
    model = foolbox.JAXModel(logits_fn, bounds=(0, 1))
    reference = getattr(foolbox.attacks, theirs)(steps=100)
    found, _, succeeded = reference(model, images, labels, epsilons=None)
    result = jax.jit(lambda: ours(logits_fn, jax.random.key(0), images, labels))()
    assert np.all(succeeded)
    assert np.all(result.success)
    order = 2 if ours.norm == "l2" else np.inf
    perturbation = (np.asarray(found) - images).reshape(BATCH, -1)
    ratio = np.asarray(result.distance) / np.linalg.norm(perturbation, order, axis=1)
    print(f"ours / foolbox: median {np.median(ratio):.4f}, max {ratio.max():.4f}")
    assert np.median(ratio) < 1.005
    assert ratio.max() < 1.05


@pytest.mark.parametrize("epsilon", [0.01, 0.02, 0.04])
def test_pgd_success(epsilon, problem):
    foolbox = pytest.importorskip("foolbox")
    weights, images, labels = problem
    logits_fn = functools.partial(network, weights)
    model = foolbox.JAXModel(logits_fn, bounds=(0, 1))
    reference = foolbox.attacks.LinfPGD(steps=40, rel_stepsize=2.5 / 40)
    _, _, theirs = reference(model, images, labels, epsilons=epsilon)
    attack = attacks.PGD(num_steps=40)
    ours = jax.jit(
        lambda e: attack(logits_fn, jax.random.key(0), images, labels, epsilon=e)
    )(epsilon)
    print(f"ours {np.mean(ours.success):.3f}, foolbox {np.mean(theirs):.3f}")
    # Theirs keeps the last iterate only; ours may not miss what it finds.
    assert np.all(np.asarray(ours.success) | ~np.asarray(theirs))
    assert np.mean(ours.success) <= np.mean(theirs) + 0.1
