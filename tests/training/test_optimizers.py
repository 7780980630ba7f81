"""The optimiser's learning rates and decay, read off the updates it makes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wbad_jax import training

STEPS, WARMUP, PEAK = 40, 0.25, 0.1
# Adam's epsilon of 1e-8 and float32 moments.
RTOL = 1e-4


@pytest.fixture
def params():
    return {
        "network": {"kernel": jnp.full((2, 3), 2.0), "bias": jnp.full((3,), 2.0)},
        "denoiser": {"raw_thresholds": jnp.full((2, 3), 2.0)},
    }


def build(**changes):
    settings = {
        "learning_rate": PEAK,
        "num_steps": STEPS,
        "warmup_fraction": WARMUP,
        "weight_decay": 0.0,
        "clip_norm": 1e9,
    }
    return training.adamw(**settings | changes)


def updates_of(optimizer, params, gradients):
    """Updates of each step; the parameters stay where they are."""
    state = optimizer.init(params)
    update = jax.jit(optimizer.update)
    result = []
    for gradient in gradients:
        updates, state = update(gradient, state, params)
        result.append(updates)
    return result


def constant(params, value):
    return jax.tree.map(lambda leaf: jnp.full_like(leaf, value), params)


@pytest.mark.fast
def test_learning_rates_follow_the_schedule_in_each_group(params):
    """Under a constant gradient, Adam's step is the learning rate."""
    optimizer = build(threshold_learning_rate=5 * PEAK)
    updates = updates_of(optimizer, params, [constant(params, 0.5)] * (STEPS + 1))
    warmup = int(WARMUP * STEPS)
    for step, update in enumerate(updates):
        progress = (step - warmup) / (STEPS - warmup)
        rate = PEAK * (
            step / warmup if step < warmup else (1 + np.cos(np.pi * progress)) / 2
        )
        for name, factor in (("network", 1), ("denoiser", 5)):
            for leaf in jax.tree.leaves(update[name]):
                np.testing.assert_allclose(
                    leaf, -factor * rate, rtol=RTOL, atol=1e-8, err_msg=f"step {step}"
                )
    # The ends: zero, the peak, zero.
    bias = [float(update["network"]["bias"][0]) for update in updates]
    np.testing.assert_allclose(
        (bias[0], bias[warmup], bias[-1]), (0, -PEAK, 0), rtol=RTOL, atol=1e-8
    )


@pytest.mark.fast
def test_thresholds_learn_like_the_network_by_default(params):
    updates = updates_of(build(), params, [constant(params, 0.5)] * 3)[-1]
    network, denoiser = (updates[name] for name in ("network", "denoiser"))
    np.testing.assert_array_equal(network["kernel"], denoiser["raw_thresholds"])


@pytest.mark.fast
def test_only_weights_of_the_network_decay(params):
    updates = updates_of(build(weight_decay=0.1), params, [constant(params, 0.0)] * 11)
    peak = updates[10]
    np.testing.assert_allclose(peak["network"]["kernel"], -PEAK * 0.1 * 2, rtol=RTOL)
    np.testing.assert_array_equal(peak["network"]["bias"], 0)
    np.testing.assert_array_equal(peak["denoiser"]["raw_thresholds"], 0)


@pytest.mark.fast
def test_gradients_are_clipped_by_their_global_norm(params):
    """Over both groups at once, so that the direction stays."""
    large = constant(params, 100.0)
    norm = 100 * np.sqrt(15)  # Fifteen parameters.
    small, clipped = constant(params, 0.01), constant(params, 100 / norm)
    run = functools.partial(updates_of, build(clip_norm=1.0), params)
    for update, expected in zip(
        run([small, large, small]), run([small, clipped, small]), strict=True
    ):
        jax.tree.map(
            functools.partial(np.testing.assert_allclose, rtol=RTOL), update, expected
        )
    free = updates_of(build(), params, [small, large, small])
    difference = free[-1]["network"]["bias"] - update["network"]["bias"]
    assert np.max(np.abs(difference)) > 1e-4


@pytest.mark.fast
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 0.0}, "network must be positive and finite, got 0.0"),
        ({"learning_rate": -0.1}, "network must be positive .*, got -0.1"),
        ({"learning_rate": float("nan")}, "network must be positive .*, got nan"),
        ({"learning_rate": float("inf")}, "network must be positive .*, got inf"),
        ({"threshold_learning_rate": 0.0}, "denoiser must be positive .*, got 0.0"),
        ({"num_steps": 0}, "num_steps must be at least 1, got 0"),
    ],
)
def test_errors_name_field_rule_and_value(changes, message):
    with pytest.raises(ValueError, match=message):
        build(**changes)


@pytest.mark.fast
def test_epsilon_ramp():
    ramp = jax.jit(training.epsilon_ramp(4))
    shares = [float(ramp(jnp.asarray(step))) for step in range(7)]
    assert shares == [0.25, 0.5, 0.75, 1, 1, 1, 1]
    assert float(training.epsilon_ramp(0)(jnp.asarray(0))) == 1
    late = training.epsilon_ramp(4, 10)
    assert [float(late(jnp.asarray(s))) for s in (0, 9, 10, 11, 13, 50)] == [
        0, 0, 0.25, 0.5, 1, 1
    ]  # fmt: skip
    at_once = training.epsilon_ramp(0, 10)
    assert [float(at_once(jnp.asarray(s))) for s in (0, 9, 10)] == [0, 0, 1]
