"""Auto-PGD against closed forms, a slow twin of its schedule, and PGD."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wbad_jax import attacks
from wbad_jax.attacks import apgd_steps

BATCH, PIXELS = 8, (9, 7, 1)


@functools.partial(jax.jit, static_argnames=("attack", "model"))
def run(attack, model, weights, key, images, labels, epsilon, **options):
    logits_fn = functools.partial(model, weights)
    return attack(logits_fn, key, images, labels, epsilon=epsilon, **options)


def linear(weights, images):
    score = jnp.sum(weights * images, axis=(1, 2, 3))
    return jnp.stack([-score / 2, score / 2], axis=-1)


def wavy(weights, images):
    flat = images.reshape(images.shape[0], -1)
    return jnp.sin(6 * flat @ weights[0]) @ weights[1]


@pytest.fixture(scope="module")
def linear_problem():
    rng = np.random.default_rng(1)
    weights = jnp.asarray(rng.normal(size=PIXELS), jnp.float32)
    images = jnp.asarray(rng.uniform(0.4, 0.6, (BATCH, *PIXELS)), jnp.float32)
    return weights, images, jnp.arange(BATCH) % 2


@pytest.fixture(scope="module", params=[2, 5])
def wavy_problem(request):
    rng = np.random.default_rng(2)
    size = int(np.prod(PIXELS))
    weights = (
        jnp.asarray(rng.normal(size=(size, 32)) / 6, jnp.float32),
        jnp.asarray(rng.normal(size=(32, request.param)), jnp.float32),
    )
    images = jnp.asarray(rng.uniform(0, 1, (64, *PIXELS)), jnp.float32)
    return weights, images, jnp.argmax(wavy(weights, images), axis=-1)


def test_checkpoints_of_a_hundred_steps_are_the_published_ones():
    due, windows = apgd_steps.checkpoints("linf", 100)
    ends = np.flatnonzero(due) + 1
    np.testing.assert_array_equal(ends, [22, 41, 57, 70, 80, 87, 93, 99])
    np.testing.assert_array_equal(windows[due], np.diff([0, *ends]))
    due, _ = apgd_steps.checkpoints("l1", 100)
    np.testing.assert_array_equal(np.flatnonzero(due) + 1, np.arange(4, 101, 4))


@pytest.mark.parametrize("num_steps", [1, 2, 5, 17])
def test_short_runs_have_checkpoints_too(num_steps):
    due, windows = apgd_steps.checkpoints("l2", num_steps)
    assert due.any()
    assert np.all(windows[due] >= 1)


@pytest.mark.parametrize(
    ("norm", "dual", "epsilon"),
    [("linf", 1, 0.05), ("l2", 2, 0.3), ("l1", np.inf, 0.3)],
)
def test_linear_optimum_in_closed_form(norm, dual, epsilon, linear_problem, key):
    weights, images, labels = linear_problem
    # In L1 steps may settle on two or three pixels of a small image.
    attack = attacks.APGD(norm=norm, num_steps=40, restarts=4 if norm == "l1" else 1)
    result = run(attack, linear, weights, key, images, labels, epsilon)
    drop = attacks.margin(linear(weights, images), labels) - result.margin
    expected = epsilon * np.linalg.norm(np.ravel(weights), dual)
    np.testing.assert_allclose(drop, np.full(BATCH, expected), rtol=5e-3)


def test_l1_optimum_with_an_active_pixel_range(linear_problem, key):
    """The best pixels one after another, each to the end of its range."""
    weights, images, labels = linear_problem
    attack = attacks.APGD(norm="l1", num_steps=100, restarts=3)
    result = run(attack, linear, weights, key, images, labels, 3.0)
    towards = np.where(labels == 1, -1, 1)[:, None] * np.ravel(weights)
    flat = np.asarray(images).reshape(BATCH, -1)
    expected = []
    for gain, image in zip(towards, flat, strict=True):
        left, drop = 3.0, 0.0
        for pixel in np.argsort(-np.abs(gain)):
            room = min(1 - image[pixel] if gain[pixel] > 0 else image[pixel], left)
            left, drop = left - room, drop + room * abs(gain[pixel])
        expected.append(drop)
    drop = attacks.margin(linear(weights, images), labels) - result.margin
    np.testing.assert_allclose(drop, expected, rtol=0.01)


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.1), ("l2", 0.5), ("l1", 2.0)])
def test_it_is_stronger_than_pgd_with_as_many_gradients(
    norm, epsilon, wavy_problem, key
):
    weights, images, labels = wavy_problem
    apgd, pgd = (
        run(attack, wavy, weights, key, images, labels, epsilon)
        for attack in (
            attacks.APGD(norm=norm, num_steps=30),
            attacks.PGD(norm=norm, num_steps=30, start="random"),
        )
    )
    assert np.mean(apgd.success) >= np.mean(pgd.success)
    assert np.mean(apgd.margin) < np.mean(pgd.margin)


def test_step_lengths_follow_a_slow_twin(wavy_problem, key):
    """The same rules in NumPy, one example at a time, from the same losses."""
    rng = np.random.default_rng(0)
    num_steps, ball = (
        30,
        attacks.ascent.Ball(jnp.zeros((3, 2, 2, 1)), "linf", 1, (0, 1), None),
    )
    values = np.cumsum(rng.normal(size=(num_steps + 1, 3)), axis=0).astype(np.float32)
    due, windows = apgd_steps.checkpoints("linf", num_steps)
    progress = apgd_steps.start_progress(ball, jnp.asarray(values[0]))
    lengths = []
    for step in range(num_steps):
        progress = apgd_steps.improved(progress, values[step + 1], values[step])
        if due[step]:
            best = jnp.asarray(values[: step + 2].max(0))
            _, progress = apgd_steps.shorten(progress, best, windows[step], 0.75)
        lengths.append(np.asarray(progress.length))
    for example in range(3):
        length, reduced, since, before = 2.0, True, 0, values[0, example]
        for step in range(num_steps):
            if due[step]:
                window = values[since : step + 2, example]
                rises = np.sum(np.diff(window) > 0)
                best = values[: step + 2, example].max()
                back = rises <= 0.75 * (step + 1 - since)
                back |= not reduced and best <= before
                length, reduced, since, before = (
                    length / (1 + back),
                    back,
                    step + 1,
                    best,
                )
            assert lengths[step][example] == length


def test_more_restarts_and_given_starts_are_never_weaker(wavy_problem, key):
    weights, images, labels = wavy_problem
    attack = attacks.APGD(num_steps=5)
    one = run(attack, wavy, weights, key, images, labels, 0.1)
    three = attacks.APGD(num_steps=5, restarts=3)
    more = run(three, wavy, weights, key, images, labels, 0.1)
    assert np.all(more.margin <= one.margin + 1e-4)
    assert np.mean(more.margin) < np.mean(one.margin)
    starts = jnp.stack([more.adversarial, images])
    again = run(attack, wavy, weights, key, images, labels, 0.1, starts=starts)
    assert np.all(again.margin <= more.margin + 1e-4)


@pytest.mark.parametrize("norm", ["linf", "l1"])
def test_points_of_the_widened_balls_do_not_count(norm, wavy_problem, key):
    weights, images, labels = wavy_problem
    epsilon = {"linf": 0.03, "l1": 1.0}[norm]
    attack = attacks.APGD(norm=norm, num_steps=20, widened=True)
    result = run(attack, wavy, weights, key, images, labels, epsilon)
    assert np.all(result.distance <= epsilon * (1 + 1e-6))
    # `finish` would shrink a point of a larger ball to one that nobody looked at.
    plain = attacks.APGD(norm=norm, num_steps=20)
    expected = run(plain, wavy, weights, key, images, labels, epsilon)
    assert abs(np.mean(result.success) - np.mean(expected.success)) < 0.15


@pytest.mark.parametrize("loss", ["targeted_dlr", "targeted_margin"])
def test_trying_each_target_is_stronger_than_one(loss, key):
    rng = np.random.default_rng(2)
    size = int(np.prod(PIXELS))
    weights = (
        jnp.asarray(rng.normal(size=(size, 32)) / 6, jnp.float32),
        jnp.asarray(rng.normal(size=(32, 5)), jnp.float32),
    )
    images = jnp.asarray(rng.uniform(0, 1, (64, *PIXELS)), jnp.float32)
    labels = jnp.argmax(wavy(weights, images), axis=-1)
    one, all_of_them = (
        run(
            attacks.APGD(num_steps=8, loss=loss, num_targets=targets),
            wavy, weights, key, images, labels, 0.02,
        )
        for targets in (1, 9)
    )  # fmt: skip
    assert np.mean(one.success) > 0.1
    assert np.all(all_of_them.margin <= one.margin + 1e-4)
    assert np.mean(all_of_them.margin) < np.mean(one.margin)


def test_stopping_on_success_finds_the_same_successes(wavy_problem, key):
    weights, images, labels = wavy_problem
    plain = attacks.APGD(num_steps=10, restarts=2)
    expected = run(plain, wavy, weights, key, images, labels, 0.015)
    stopping = attacks.APGD(num_steps=10, restarts=2, stop_on_success=True)
    result = run(stopping, wavy, weights, key, images, labels, 0.015)
    assert 0.1 < np.mean(expected.success) < 0.9
    np.testing.assert_array_equal(result.success, expected.success)
    assert np.all(result.margin >= expected.margin - 1e-4)


def test_stopping_ends_the_attack_when_all_is_broken(key):
    calls = []

    def hopeless(images):
        jax.debug.callback(lambda: calls.append(1))
        return jnp.stack([jnp.mean(images, (1, 2, 3)) * 0, images[:, 0, 0, 0] + 1], -1)

    images, labels = jnp.full((3, 4, 4, 1), 0.5), jnp.zeros(3, jnp.int32)
    attack = attacks.APGD(num_steps=50, restarts=4, stop_on_success=True)
    jax.block_until_ready(attack(hopeless, key, images, labels, epsilon=0.1))
    jax.effects_barrier()
    assert len(calls) <= 4
