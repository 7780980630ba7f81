"""The attack on smoothed classifiers: it finds what is there, and nothing else."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from tests.evaluation.smoothed_models import (
    linear,
    linear_params,
    make_examples,
    perceptron,
    perceptron_params,
    signed_distances,
)
from wbad_jax import attacks
from wbad_jax.evaluation import SmoothedEvaluator, smoothed_logits_fn, violations
from wbad_jax.evaluation.smoothing_attack import EVERYWHERE

PGD = attacks.PGD(norm="l2", num_steps=8, keep="last", schedule="linear")
SIGMA = 0.5


def evaluate(logits_fn_of=perceptron, **settings):
    settings = {"batch_size": 16, "noise_batch": 64, **settings}
    return SmoothedEvaluator(logits_fn_of, **settings)


def attack_certificates(evaluator, params, examples, found, key):
    """Decisions of fresh noise at the worst points within the radii."""
    targets = dataclasses.replace(examples, labels=found.predicted.astype(np.int32))
    points = evaluator.attack(
        PGD, params, targets, jax.random.fold_in(key, 1), found.sigma, found.radius,
        num_samples=32, bounds=EVERYWHERE,
    )  # fmt: skip
    moved = (points - examples.images).reshape(len(points), -1).astype(np.float64)
    assert np.all(np.linalg.norm(moved, axis=1) <= found.radius * (1 + 1e-6))
    return evaluator.predict(
        params, examples, jax.random.fold_in(key, 2), found.sigma, images=points,
        num_samples=2000, alpha=1e-7,
    )  # fmt: skip


def certified(params, key, examples, logits_fn_of=perceptron):
    evaluator = evaluate(logits_fn_of)
    found = evaluator.certify(
        params, examples, key, SIGMA, num_samples=2000, alpha=1e-7
    )
    return evaluator, found


def test_no_certificate_of_a_network_is_refuted_and_larger_ones_are(key):
    """Radii twice as large are a broken certifier: the attack must see it."""
    examples, params = make_examples(48), perceptron_params(classes=2)
    evaluator, found = certified(params, key, examples)
    assert (~found.abstained).sum() > 25
    decided = attack_certificates(evaluator, params, examples, found, key)
    assert not violations(found, decided).any()
    broken = dataclasses.replace(found, radius=2 * found.radius)
    decided = attack_certificates(evaluator, params, examples, broken, key)
    assert violations(broken, decided).sum() >= 5


def test_radii_of_the_vote_without_its_bound_are_refuted(key):
    """A certifier that takes the class's share for its probability."""
    examples, params = make_examples(48, seed=3), linear_params()
    evaluator, found = certified(params, key, examples, linear)
    wins = found.votes[np.arange(48), found.predicted]
    share = np.minimum(wins, 1999) / 2000
    # Half a sigma beyond: more than the slack of the judge's own test.
    naive = dataclasses.replace(found, radius=SIGMA * (stats.norm.ppf(share) + 0.5))
    decided = attack_certificates(evaluator, params, examples, naive, key)
    assert violations(naive, decided).any()
    honest = attack_certificates(evaluator, params, examples, found, key)
    assert not violations(found, honest).any()


def test_a_linear_network_falls_just_beyond_its_margin(key):
    examples, params = make_examples(16), linear_params()
    margins = signed_distances(params, examples.images)
    examples = dataclasses.replace(examples, labels=(margins > 0).astype(np.int32))
    evaluator = evaluate(linear)
    for factor, right in ((0.5, True), (1.5, False)):
        points = evaluator.attack(
            PGD, params, examples, key, 0.2, factor * np.abs(margins),
            bounds=EVERYWHERE,
        )  # fmt: skip
        moved = signed_distances(params, points)
        assert np.all((moved * margins > 0) == right)
        # Of four ends, the one of the luckiest noise: not always the furthest.
        np.testing.assert_allclose(moved, (1 - factor) * margins, atol=6e-2)
        assert np.median(np.abs(moved - (1 - factor) * margins)) < 1e-4


def test_the_smoothed_logits_are_log_mean_probabilities(key):
    """A linear score s under noise: mean of the logistic function, by quadrature."""
    params, images = linear_params(), make_examples(5).images
    logits = smoothed_logits_fn(linear(params), key, SIGMA, 20_000)(images)
    score = signed_distances(params, images)
    length = float(np.linalg.norm(params["weights"]))
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    noisy = 2 * length * (score[:, None] + SIGMA * nodes)
    expected = (weights / weights.sum() / (1 + np.exp(-noisy))).sum(axis=1)
    np.testing.assert_allclose(np.exp(logits[:, 1]), expected, atol=0.02)
    np.testing.assert_allclose(np.exp(logits).sum(axis=1), 1, atol=1e-5)


@pytest.mark.fast
def test_small_probabilities_keep_their_gradient(key):
    """Where the network is sure, the mean probability of the other class underflows."""

    def sure(images):
        return 300 * linear(linear_params())(images)

    images = jnp.asarray(make_examples(6).images)
    logits_fn = smoothed_logits_fn(sure, key, 1e-3, 4)
    labels = jnp.argmax(logits_fn(images), axis=-1)

    def margin(images):
        return jnp.sum(attacks.losses.margin(logits_fn(images), labels))

    assert np.exp(logits_fn(images)).min() < 1e-30
    slopes = np.abs(jax.grad(margin)(images)).max(axis=(1, 2, 3))
    assert np.all(slopes > 1)


def test_attacks_depend_on_no_neighbour_and_recompile_for_no_value(key):
    traces = []

    def counted(params):
        traces.append(None)
        return perceptron(params)

    examples, params = make_examples(7, 3), perceptron_params()
    evaluator = evaluate(counted, batch_size=4)
    first = evaluator.attack(PGD, params, examples, key, 0.3, 0.5)
    count = len(traces)
    evaluator.attack(
        PGD, perceptron_params(seed=2), examples, jax.random.fold_in(key, 1), 0.1,
        np.linspace(0.1, 0.9, 7), bounds=EVERYWHERE,
    )  # fmt: skip
    assert len(traces) == count
    alone = examples.subset(slice(3, 4))
    found = evaluator.attack(PGD, params, alone, key, 0.3, 0.5)
    np.testing.assert_allclose(found[0], first[3], rtol=0, atol=1e-6)


@pytest.mark.fast
def test_starts_are_used(key):
    """A network whose gradient is dead: only a given start can succeed."""

    def stepped(params):
        def logits_fn(images):
            score = jnp.sign(linear(params)(images)[:, 1])
            return jnp.stack([-score, score], axis=-1)

        return logits_fn

    examples, params = make_examples(4), linear_params()
    margins = signed_distances(params, examples.images)
    examples = dataclasses.replace(examples, labels=(margins > 0).astype(np.int32))
    direction = np.asarray(params["weights"]).reshape(examples.images.shape[1:])
    direction = direction / np.linalg.norm(direction)
    beyond = examples.images - 9 * np.sign(margins)[:, None, None, None] * direction
    evaluator = evaluate(stepped)
    radii = 1.5 * np.abs(margins)
    for starts, right in ((None, True), (beyond[None].astype(np.float32), False)):
        points = evaluator.attack(
            PGD, params, examples, key, 1e-3, radii, bounds=EVERYWHERE, starts=starts
        )
        assert np.all((signed_distances(params, points) * margins > 0) == right)


@pytest.mark.fast
def test_other_norms_are_refused(key):
    with pytest.raises(ValueError, match="attack must be in norm 'l2', got 'linf'"):
        evaluate().attack(
            attacks.PGD(), perceptron_params(2), make_examples(), key, 0.1, 0.1
        )
