"""Foolbox through the adapter: same logits, same threat model, same verdict."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wbad_jax import attacks

BATCH, PIXELS = 6, (5, 7, 1)
BOUNDS = (22.0, 38.0)

needs_foolbox = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def foolbox():
    return pytest.importorskip("foolbox")


@pytest.fixture
def problem():
    """A linear model on pixels in degrees Celsius, and images it classifies right."""
    rng = np.random.default_rng(3)
    weights = jnp.asarray(rng.normal(size=(int(np.prod(PIXELS)), 2)), jnp.float32)
    images = jnp.asarray(rng.uniform(28, 32, (BATCH, *PIXELS)), jnp.float32)

    def logits_fn(images):
        return (images - 30.0).reshape(images.shape[0], -1) @ weights

    return logits_fn, images, jnp.argmax(logits_fn(images), axis=-1), weights


@needs_foolbox
def test_the_wrapped_model_returns_the_same_logits(foolbox, problem):
    logits_fn, images, _, _ = problem
    model = attacks.foolbox_model(logits_fn, bounds=BOUNDS)
    assert model.bounds == BOUNDS
    assert model.data_format == "channels_last"
    np.testing.assert_allclose(model(images), logits_fn(images), rtol=1e-5)


@needs_foolbox
def test_a_step_of_foolbox_ends_where_ours_does(foolbox, problem, key):
    logits_fn, images, labels, _ = problem
    problem = (logits_fn, key, images, labels)
    step = foolbox.attacks.LinfFastGradientAttack()
    theirs = attacks.attack_with_foolbox(
        step, *problem, norm="linf", epsilon=0.25, bounds=BOUNDS
    )
    ours = attacks.FGSM()(*problem, epsilon=0.25, bounds=BOUNDS)
    assert 0 < np.sum(theirs.success) < BATCH
    np.testing.assert_allclose(theirs.adversarial, ours.adversarial, atol=1e-5)
    np.testing.assert_allclose(theirs.margin, ours.margin, atol=1e-3)
    np.testing.assert_array_equal(theirs.success, ours.success)
    assert np.all(theirs.distance <= 0.25 * (1 + 1e-6))


@needs_foolbox
def test_a_minimal_norm_attack_reports_its_own_distance(foolbox, problem, key):
    logits_fn, images, labels, weights = problem
    # One image is classified wrong already, and one attack is too short to succeed.
    labels = labels.at[0].set(1 - labels[0])
    results = [
        attacks.attack_with_foolbox(
            foolbox.attacks.DDNAttack(steps=steps, init_epsilon=start),
            logits_fn,
            key,
            images,
            labels,
            norm="l2",
            bounds=BOUNDS,
        )  # fmt: skip
        for steps, start in ((60, 1.0), (2, 1e-3))
    ]
    margins = np.abs(attacks.margin(logits_fn(images), labels))
    closest = margins / np.linalg.norm(weights[:, 0] - weights[:, 1])
    assert np.all(results[0].success)
    np.testing.assert_allclose(results[0].distance[1:], closest[1:], rtol=0.05)
    np.testing.assert_array_equal(results[1].success, np.arange(BATCH) == 0)
    np.testing.assert_array_equal(np.isinf(results[1].distance), ~results[1].success)


@needs_foolbox
def test_same_key_same_images(foolbox, problem):
    logits_fn, images, labels, _ = problem

    def run(seed):
        return attacks.attack_with_foolbox(
            foolbox.attacks.LinfPGD(steps=1, rel_stepsize=0.1), logits_fn,
            jax.random.key(seed), images, labels, norm="linf", epsilon=0.1,
            bounds=BOUNDS,
        ).adversarial  # fmt: skip

    first, again, other = run(1), run(1), run(2)
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


@pytest.mark.parametrize("bounds", [(jnp.zeros(3), 1.0), (1.0, 0.0)])
def test_bounds_that_foolbox_cannot_use_are_refused(bounds, problem):
    with pytest.raises(ValueError, match="bounds must be numbers low < high"):
        attacks.foolbox_model(problem[0], bounds=bounds)


def test_one_budget_for_all_examples(problem, key):
    logits_fn, images, labels, _ = problem
    with pytest.raises(ValueError, match="epsilon must be a number"):
        attacks.attack_with_foolbox(
            None, logits_fn, key, images, labels, norm="linf",
            epsilon=jnp.ones(BATCH), bounds=BOUNDS,
        )  # fmt: skip


def test_without_foolbox_the_error_says_what_to_install(monkeypatch, problem):
    monkeypatch.setitem(sys.modules, "foolbox", None)
    with pytest.raises(ImportError, match=r"pip install 'wbad_jax\[bench\]'"):
        attacks.foolbox_model(problem[0])
