"""FGSM and PGD against closed forms, and against each other."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wbad_jax import attacks

BATCH, PIXELS = 6, (7, 5, 1)


@functools.partial(jax.jit, static_argnames=("attack", "model"))
def run(attack, model, weights, key, images, labels, epsilon):
    logits_fn = functools.partial(model, weights)
    return attack(logits_fn, key, images, labels, epsilon=epsilon)


def linear(weights, images):
    score = jnp.sum(weights * images, axis=(1, 2, 3))
    return jnp.stack([-score / 2, score / 2], axis=-1)


def wavy(weights, images):
    """Strongly nonlinear, with many local maxima inside a ball of radius 0.3."""
    flat = images.reshape(images.shape[0], -1)
    return jnp.sin(6 * flat @ weights[0]) @ weights[1]


@pytest.fixture
def linear_problem():
    rng = np.random.default_rng(1)
    weights = jnp.asarray(rng.normal(size=PIXELS), jnp.float32)
    images = jnp.asarray(rng.uniform(0.4, 0.6, (BATCH, *PIXELS)), jnp.float32)
    return weights, images, jnp.arange(BATCH) % 2


@pytest.fixture
def wavy_problem():
    rng = np.random.default_rng(2)
    size = int(np.prod(PIXELS))
    weights = (
        jnp.asarray(rng.normal(size=(size, 32)) / 4, jnp.float32),
        jnp.asarray(rng.normal(size=(32, 3)), jnp.float32),
    )
    images = jnp.asarray(rng.uniform(0, 1, (64, *PIXELS)), jnp.float32)
    return weights, images, jnp.argmax(wavy(weights, images), axis=-1)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("attack", "dual", "tolerance"),
    [
        (attacks.FGSM(norm="linf"), 1, 1e-4),
        (attacks.FGSM(norm="l2"), 2, 1e-4),
        (attacks.PGD(norm="linf", num_steps=10, loss="cross_entropy"), 1, 1e-4),
        (attacks.PGD(norm="l2", num_steps=10), 2, 1e-4),
        (attacks.PGD(norm="linf", start="random"), 1, 1e-4),
        # From a random point of the sphere the angle to the optimum only shrinks by a
        # factor per step.
        (attacks.PGD(norm="l2", start="random"), 2, 0.03),
        (
            attacks.PGD(norm="l2", start="random", num_steps=90, step_size=0.1),
            2,
            1e-3,
        ),
    ],
)
def test_linear_optimum_in_closed_form(attack, dual, tolerance, linear_problem, key):
    weights, images, labels = linear_problem
    epsilon = 0.05
    result = run(attack, linear, weights, key, images, labels, epsilon)
    drop = attacks.margin(linear(weights, images), labels) - result.margin
    expected = epsilon * np.linalg.norm(np.ravel(weights), dual)
    np.testing.assert_allclose(drop, np.full(BATCH, expected), rtol=tolerance)


@pytest.mark.fast
@pytest.mark.parametrize("start", ["fgsm", "random", "clean"])
def test_linear_optimum_with_an_active_pixel_range(start, linear_problem, key):
    weights, images, labels = linear_problem
    images = jnp.where(images > 0.5, images, (images - 0.4) * 0.5)  # Many below 0.05.
    attack = attacks.PGD(num_steps=10, start=start)
    result = run(attack, linear, weights, key, images, labels, 0.45)
    towards = np.where(labels == 1, -1, 1)[:, None, None, None] * np.sign(weights)
    optimum = np.clip(np.asarray(images) + 0.45 * towards, 0, 1)
    expected = attacks.margin(linear(weights, optimum), labels)
    np.testing.assert_allclose(result.margin, expected, rtol=1e-4)


def l2_box_optimum(weights, images, labels, epsilon):
    """Margin at clip(t * w) inside the range, t found by bisection on the norm."""
    direction = np.where(labels == 1, -1, 1)[:, None, None, None] * np.asarray(weights)
    images = np.asarray(images, np.float64)
    low, high = np.zeros((len(images), 1, 1, 1)), np.full((len(images), 1, 1, 1), 1e3)
    for _ in range(60):
        middle = (low + high) / 2
        moved = np.clip(images + middle * direction, 0, 1) - images
        length = np.sqrt((moved**2).sum((1, 2, 3), keepdims=True))
        low, high = (
            np.where(length < epsilon, middle, low),
            np.where(length < epsilon, high, middle),
        )
    optimum = np.clip(images + low * direction, 0, 1).astype(np.float32)
    return attacks.margin(linear(weights, optimum), labels)


@pytest.mark.fast
def test_l2_optimum_with_an_active_pixel_range(linear_problem, key):
    weights, images, labels = linear_problem
    images = jnp.where(images > 0.5, images, 0.0)
    attack = attacks.PGD(norm="l2", num_steps=100)
    result = run(attack, linear, weights, key, images, labels, 1.0)
    clean = attacks.margin(linear(weights, images), labels)
    optimal = clean - l2_box_optimum(weights, images, labels, 1.0)
    # Ball, then range is not the projection on both, so a step's length is given away.
    np.testing.assert_allclose(clean - result.margin, optimal, rtol=0.02)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("epsilon", [0.1, 0.5])
def test_pgd_is_never_weaker_than_fgsm(norm, epsilon, wavy_problem, key):
    weights, images, labels = wavy_problem
    fgsm = run(attacks.FGSM(norm=norm), wavy, weights, key, images, labels, epsilon)
    pgd = run(
        attacks.PGD(norm=norm, num_steps=3), wavy, weights, key, images, labels, epsilon
    )
    # The two programs round differently in the last bits.
    assert np.all(pgd.margin <= fgsm.margin + 1e-5)
    assert np.all(pgd.success | ~fgsm.success)


@pytest.mark.parametrize("start", ["fgsm", "random", "clean"])
def test_more_restarts_are_never_weaker(start, wavy_problem, key):
    weights, images, labels = wavy_problem
    fewer, more = (
        run(
            attacks.PGD(num_steps=4, restarts=restarts, start=start),
            wavy, weights, key, images, labels, 0.2,
        ).margin
        for restarts in (1, 6)
    )  # fmt: skip
    assert np.all(more <= fewer + 1e-4)
    assert np.mean(more) < np.mean(fewer) - 0.1


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_pgd_keeps_the_best_iterate(norm, wavy_problem, key):
    """Steps as long as the ball is wide wander: the last point is often a bad one."""
    weights, images, labels = wavy_problem
    margins = [
        run(
            attacks.PGD(norm=norm, num_steps=steps, step_size=2.0),
            wavy, weights, key, images, labels, 0.3,
        ).margin
        for steps in (1, 2, 9)
    ]  # fmt: skip
    for fewer, more in zip(margins[:-1], margins[1:], strict=True):
        assert np.all(more <= fewer + 1e-4)


@pytest.mark.fast
@pytest.mark.parametrize("attack", [attacks.FGSM(), attacks.PGD(num_steps=10)])
def test_scaled_and_shifted_logits_are_attacked_alike(attack, wavy_problem, key):
    weights, images, labels = wavy_problem

    def changed(weights, x):
        weights, scale, shift = weights
        return scale * wavy(weights, x) + shift

    margins, successes = [], []
    for scale, shift in ((1, 0), (1e5, 0), (1e-5, 0), (1, 20), (1, -20)):
        arguments = (weights, float(scale), float(shift))
        result = run(attack, changed, arguments, key, images, labels, 0.02)
        margins.append(result.margin / scale)
        successes.append(np.mean(result.success))
    assert 0.1 < successes[0] < 1
    for margin in margins[1:]:
        np.testing.assert_allclose(margin, margins[0], atol=2e-3)
    assert max(successes) == min(successes)


@pytest.mark.fast
def test_a_random_key_matters_only_where_points_are_drawn(wavy_problem, key):
    weights, images, labels = wavy_problem
    for attack, differs in (
        (attacks.PGD(num_steps=2, start="random"), True),
        (attacks.PGD(num_steps=2), False),
    ):
        results = [
            run(attack, wavy, weights, jax.random.fold_in(key, i), images, labels, 0.1)
            for i in range(2)
        ]
        same = np.array_equal(results[0].adversarial, results[1].adversarial)
        assert same != differs


@pytest.mark.fast
def test_a_correct_image_without_gradient_is_still_perturbed(linear_problem, key):
    """A random start is returned rather than the clean image, for transfer."""
    weights, images, _ = linear_problem

    def constant(weights, x):
        return linear(weights, jax.lax.stop_gradient(x) * 0) + jnp.asarray([1.0, 0])

    labels = jnp.zeros(BATCH, jnp.int32)
    attack = attacks.PGD(num_steps=2, start="random")
    result = run(attack, constant, weights, key, images, labels, 0.1)
    assert not np.any(result.success)
    np.testing.assert_array_less(0.05, result.distance)


def by_hand(weights, images, labels, epsilon, steps, length):
    """Signed steps of PGD in NumPy's order, and the points that they visit."""

    @jax.jit
    def gradient(points):
        return jax.grad(lambda x: -jnp.sum(attacks.margin(wavy(weights, x), labels)))(
            points
        )

    visited = [np.asarray(images)]
    for _ in range(steps):
        moved = visited[-1] + length * epsilon * np.sign(gradient(visited[-1]))
        moved = np.clip(moved, images - epsilon, images + epsilon)
        visited.append(np.clip(moved, 0, 1))
    return visited[1:]


@pytest.mark.fast
def test_the_last_point_is_kept_if_asked_for(wavy_problem, key):
    weights, images, labels = wavy_problem
    epsilon, steps = 0.3, 4
    visited = by_hand(weights, images, labels, epsilon, steps, length=1.0)
    settings = {"num_steps": steps, "step_size": 1.0, "start": "clean"}
    last, best = (
        run(
            attacks.PGD(keep=keep, **settings), wavy, weights, key, images, labels,
            epsilon,
        )
        for keep in ("last", "best")
    )  # fmt: skip
    np.testing.assert_allclose(last.adversarial, visited[-1], atol=1e-5)
    lowest = np.min([attacks.margin(wavy(weights, x), labels) for x in visited], axis=0)
    np.testing.assert_allclose(best.margin, lowest, atol=1e-3)
    assert np.any(last.margin > best.margin + 0.1)


@pytest.mark.fast
def test_of_restarts_the_best_last_point_is_kept(wavy_problem, key):
    weights, images, labels = wavy_problem
    margins = [
        run(
            attacks.PGD(num_steps=3, restarts=n, start="random", keep="last"),
            wavy, weights, key, images, labels, 0.05,
        ).margin
        for n in (1, 4)
    ]  # fmt: skip
    assert np.all(margins[1] <= margins[0] + 1e-6)
    assert np.any(margins[1] < margins[0] - 0.1)


@pytest.mark.fast
def test_the_last_point_alone_costs_two_forward_passes_less(wavy_problem, key):
    weights, images, labels = wavy_problem

    def flops(function):
        return jax.jit(function).lower(images).compile().cost_analysis()["flops"]

    def craft(keep):
        attack = attacks.PGD(num_steps=3, start="random", keep=keep)
        logits_fn = functools.partial(wavy, weights)
        return lambda x: attack(logits_fn, key, x, labels, epsilon=0.1).adversarial

    forward = flops(functools.partial(wavy, weights))
    saved = flops(craft("best")) - flops(craft("last"))
    assert saved >= 2 * forward
