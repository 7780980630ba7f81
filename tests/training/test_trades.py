"""TRADES and MART against their formulas in NumPy, and what their attacks look for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wbad_jax import attacks, training
from wbad_jax.training.trades import divergence
from wbad_jax.types import Batch

pytestmark = pytest.mark.fast
BUDGETS = {"linf": 0.05, "l2": 0.2}
CLASSES = 3


def logits_fn_of(params):
    return lambda x: jnp.tanh(x.reshape(x.shape[0], -1) @ params["kernel"]) * 3


@pytest.fixture
def params():
    kernel = np.random.default_rng(0).normal(size=(4, CLASSES))
    return {"kernel": jnp.asarray(kernel, jnp.float32)}


@pytest.fixture
def batch():
    images = np.random.default_rng(1).uniform(0.2, 0.8, (5, 2, 2, 1))
    labels = np.asarray([0, 1, 2, 1, 0], np.int32)
    weights = np.asarray([1, 1, 0.5, 1, 0], np.float32)
    return Batch(*map(jnp.asarray, (images.astype(np.float32), labels, weights)))


def probabilities(params, images):
    logits = np.asarray(logits_fn_of(params)(images), np.float64)
    return np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)


def mean(terms, batch):
    weights = np.asarray(batch.weights, np.float64)
    return (terms * weights).sum() / weights.sum()


@pytest.mark.parametrize("beta", [0.0, 6.0])
def test_trades_by_hand(beta, params, batch, key):
    objective = training.trades(logits_fn_of, beta=beta)
    versions = objective.craft(params, key, batch, BUDGETS)
    loss, metrics = objective.loss(params, batch, versions)
    clean = probabilities(params, versions["clean"])
    attacked = probabilities(params, versions["adversarial"])
    apart = (clean * np.log(clean / attacked)).sum(-1)
    right = clean[np.arange(5), batch.labels]
    np.testing.assert_allclose(loss, mean(-np.log(right) + beta * apart, batch), 1e-4)
    found = mean(attacked.argmax(-1) == np.asarray(batch.labels), batch)
    np.testing.assert_allclose(metrics["accuracy_adversarial"], found, rtol=1e-6)


@pytest.mark.parametrize("beta", [0.0, 5.0])
def test_mart_by_hand(beta, params, batch, key):
    objective = training.mart(logits_fn_of, beta=beta)
    versions = objective.craft(params, key, batch, BUDGETS)
    loss, _ = objective.loss(params, batch, versions)
    clean = probabilities(params, versions["clean"])
    attacked = probabilities(params, versions["adversarial"])
    rows, labels = np.arange(5), np.asarray(batch.labels)
    wrong = attacked.copy()
    wrong[rows, labels] = 0
    terms = -np.log(attacked[rows, labels]) - np.log(1.0001 - wrong.max(-1))
    apart = (clean * np.log(clean / attacked)).sum(-1)
    terms += beta * apart * (1 - clean[rows, labels])
    np.testing.assert_allclose(loss, mean(terms, batch), rtol=1e-4)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_attack_of_trades_finds_a_larger_divergence_than_chance(
    norm, params, batch, key
):
    attack = attacks.PGD(norm=norm, num_steps=10)
    objective = training.trades(logits_fn_of, attack=attack)
    found = objective.craft(params, key, batch, BUDGETS)["adversarial"]
    logits_fn, epsilon = logits_fn_of(params), BUDGETS[norm]
    moved = attacks.perturbation_norm(found - batch.images, norm)
    assert np.max(moved) <= epsilon * (1 + 1e-6)
    clean = logits_fn(batch.images)
    best = divergence(clean, logits_fn(found))
    chances = []
    for seed in range(20):
        noise = np.random.default_rng(seed).normal(size=batch.images.shape)
        length = attacks.perturbation_norm(jnp.asarray(noise), norm)
        step = epsilon * noise / np.asarray(length).reshape(-1, 1, 1, 1)
        chances.append(divergence(clean, logits_fn(batch.images + step)))
    # Not the largest of all: the divergence has one peak on either side.
    assert np.all(best >= np.quantile(chances, 0.75, axis=0))
    assert np.mean(best) >= np.mean(np.max(chances, axis=0))


def test_both_predictions_are_differentiated(params, batch, key):
    """Numerically: the images stay, all else moves."""
    objective = training.trades(logits_fn_of)
    versions = objective.craft(params, key, batch, BUDGETS)

    def loss(kernel):
        return objective.loss({"kernel": kernel}, batch, versions)[0]

    slope = jax.grad(loss)(params["kernel"])
    step = 1e-2 * np.eye(4, CLASSES, dtype=np.float32)
    risen = loss(params["kernel"] + step) - loss(params["kernel"] - step)
    np.testing.assert_allclose(np.sum(slope * 2 * step), risen, rtol=5e-3)


def test_no_gradient_flows_through_the_images(params, batch, key):
    for make in (training.trades, training.mart):
        craft = make(logits_fn_of).craft

        def total(kernel, craft=craft):
            versions = craft({"kernel": kernel}, key, batch, BUDGETS)
            return jnp.sum(versions["adversarial"])

        np.testing.assert_array_equal(jax.grad(total)(params["kernel"]), 0)


def test_an_attack_with_a_loss_of_its_own_is_refused():
    with pytest.raises(ValueError, match="loss 'margin', got 'cross_entropy'"):
        training.trades(logits_fn_of, attack=attacks.PGD(loss="cross_entropy"))
