"""Objectives against cross-entropies by hand, with attacks made of one line."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wbad_jax import attacks, training
from wbad_jax.types import Batch

BUDGETS = {"linf": 0.25, "l2": 1.0}
# Float32 sums of a few numbers of order 1.
RTOL = 1e-5


@dataclasses.dataclass(frozen=True)
class Stub:
    """Adversarial images by a formula of `(logits_fn, key, images, epsilon)`."""

    formula: Callable
    norm: str = "linf"

    def __call__(self, logits_fn, key, images, labels, *, epsilon, **_):
        images = self.formula(logits_fn, key, images, epsilon)
        zeros = jnp.zeros(labels.shape)
        return attacks.AttackResult(images, zeros > 0, zeros, zeros)


def brighter(logits_fn, key, images, epsilon):
    return images + epsilon


def logits_fn_of(params):
    return lambda x: x.reshape(x.shape[0], -1) @ params["kernel"] + params["bias"]


@pytest.fixture
def params():
    rng = np.random.default_rng(0)
    return {
        "kernel": jnp.asarray(rng.normal(size=(4, 3)), jnp.float32),
        "bias": jnp.asarray([0.1, -0.2, 0.3], jnp.float32),
    }


@pytest.fixture
def batch():
    images = np.random.default_rng(1).uniform(size=(5, 2, 2, 1)).astype(np.float32)
    labels = jnp.asarray([0, 1, 2, 1, 0])
    return Batch(jnp.asarray(images), labels, jnp.asarray([1.0, 1.0, 1.0, 1.0, 0.0]))


def cross_entropies(params, images, labels, smoothing=0.0):
    logits = np.asarray(logits_fn_of(params)(images), np.float64)
    log_probabilities = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    targets = np.eye(3)[labels] * (1 - smoothing) + smoothing / 3
    return -(targets * log_probabilities).sum(-1)


@pytest.mark.fast
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_mixture_is_the_weighted_mean_over_versions(smoothing, params, batch, key):
    objective = training.mixture(
        logits_fn_of,
        {"up": Stub(brighter), "far": Stub(brighter, norm="l2")},
        {"clean": 1.0, "up": 2.0, "far": 5.0},
        label_smoothing=smoothing,
    )
    loss, metrics = jax.jit(objective)(params, key, batch, BUDGETS)
    expected = 0.0
    for name, weight, shift in (("clean", 1, 0), ("up", 2, 0.25), ("far", 5, 1.0)):
        images = batch.images + shift
        # The last example is padding.
        losses = cross_entropies(params, images, batch.labels, smoothing)[:4]
        expected += weight / 8 * losses.mean()
        correct = np.argmax(logits_fn_of(params)(images), -1) == batch.labels
        np.testing.assert_allclose(
            metrics[f"accuracy_{name}"], correct[:4].mean(), rtol=RTOL
        )
    np.testing.assert_allclose(loss, expected, rtol=RTOL)


@pytest.mark.fast
def test_weight_zero_costs_no_attack(params, batch, key):
    calls = []

    def counted(logits_fn, key, images, epsilon):
        calls.append(None)
        return images

    for weight, expected in ((0.0, 0), (1.0, 1)):
        objective = training.mixture(
            logits_fn_of, {"x": Stub(counted)}, {"clean": 1.0, "x": weight}
        )
        _, metrics = jax.jit(objective)(params, key, batch, BUDGETS)
        assert len(calls) == expected
        assert ("accuracy_x" in metrics) == (weight > 0)


def towards_logits(logits_fn, key, images, epsilon):
    return images + jnp.mean(logits_fn(images))


@pytest.mark.fast
def test_attacks_see_the_current_parameters(params, batch, key):
    objective = jax.jit(
        training.mixture(logits_fn_of, {"x": Stub(towards_logits)}, {"x": 1.0})
    )
    for scale in (1.0, -2.0):
        scaled = jax.tree.map(lambda a, scale=scale: scale * a, params)
        images = towards_logits(logits_fn_of(scaled), key, batch.images, 0)
        losses = cross_entropies(scaled, images, batch.labels)
        loss = objective(scaled, key, batch, BUDGETS)[0]
        np.testing.assert_allclose(loss, losses[:4].mean(), rtol=RTOL)


@pytest.mark.fast
def test_no_gradient_flows_through_the_attack(params, batch, key):
    images = towards_logits(logits_fn_of(params), key, batch.images, 0)
    objectives = [
        training.mixture(logits_fn_of, {"x": Stub(formula)}, {"x": 1.0})
        for formula in (towards_logits, lambda *_: images)
    ]
    actual, expected = (
        jax.jit(jax.grad(objective, has_aux=True))(params, key, batch, BUDGETS)[0]
        for objective in objectives
    )
    for name in params:
        np.testing.assert_allclose(actual[name], expected[name], rtol=1e-4, atol=1e-6)
    assert np.max(np.abs(actual["kernel"])) > 0.01


@pytest.mark.fast
def test_every_attack_has_its_own_key(params, batch, key):
    seen = []

    def noted(logits_fn, key, images, epsilon):
        seen.append(jax.random.key_data(key).tolist())
        return images

    objective = training.mixture(
        logits_fn_of,
        {"x": Stub(noted), "y": Stub(noted)},
        {"clean": 1.0, "x": 1.0, "y": 1.0},
    )
    objective(params, key, batch, BUDGETS)
    assert len(seen) == 2
    assert seen[0] != seen[1]


@pytest.mark.fast
@pytest.mark.parametrize(
    ("name", "versions"),
    [
        ("standard", {"clean"}),
        ("adversarial", {"pgd"}),
        ("fast", {"fast"}),
        ("wbad", {"clean", "pgd"}),
    ],
)
def test_named_objectives_mix_versions(name, versions, params, batch, key):
    stubs = {other: Stub(brighter) for other in ("pgd", "fast", "cw")}
    objective = training.make_objective(
        name, logits_fn_of, stubs, mix={"clean": 0.5, "pgd": 0.5, "cw": 0.0}
    )
    _, metrics = objective(params, key, batch, BUDGETS)
    assert metrics.keys() == {f"accuracy_{version}" for version in versions}


@pytest.mark.fast
@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("robust", {}, "standard.*adversarial.*wbad.*got 'robust'"),
        ("trades", {"trades_beta": -1.0}, "beta must be at least 0, got -1.0"),
        ("mart", {"label_smoothing": 0.1}, "label_smoothing must be 0.*got 0.1"),
        ("wbad", {"mix": {"pgd": -1.0}}, "negative.*-1.0"),
    ],
)
def test_named_objectives_refuse(name, settings, message):
    known = dict.fromkeys(("pgd", "trades", "mart"), attacks.PGD())
    with pytest.raises(ValueError, match=message):
        training.make_objective(
            name, logits_fn_of, known, **{"mix": {"clean": 1.0}, **settings}
        )


@pytest.mark.fast
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"clean": 1.0, "pdg": 1.0}, r"\['pdg'\]; known are 'clean' .*\['pgd'\]"),
        ({"clean": -0.5}, r"must not be negative, got \{'clean': -0.5\}"),
        ({"clean": 0.0, "pgd": 0.0}, "At least one .* must be positive"),
        ({}, "At least one .* must be positive"),
    ],
)
def test_errors_name_what_is_wrong(weights, message):
    with pytest.raises(ValueError, match=message):
        training.mixture(logits_fn_of, {"pgd": Stub(brighter)}, weights)
