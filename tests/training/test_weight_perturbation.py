"""Weight perturbation against its formula in NumPy, alone and inside a step."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from wbad_jax import training
from wbad_jax.types import Batch

pytestmark = pytest.mark.fast


def trees():
    rng = np.random.default_rng(0)

    def draw():
        return {
            "network": {
                "kernel": jnp.asarray(rng.normal(size=(3, 3, 2, 4)), jnp.float32),
                "bias": jnp.asarray(rng.normal(size=4), jnp.float32),
            },
            "denoiser": {"scale": jnp.asarray(rng.normal(size=(2, 3)), jnp.float32)},
        }

    return draw(), draw()


def test_weights_move_along_the_gradient_by_a_share_of_their_length():
    params, gradient = trees()
    moved = training.WeightPerturbation(gamma=0.05)(params, gradient, jnp.asarray(3))
    weights, slope = (np.asarray(t["network"]["kernel"]) for t in (params, gradient))
    expected = weights + 0.05 * np.linalg.norm(weights) * slope / np.linalg.norm(slope)
    np.testing.assert_allclose(moved["network"]["kernel"], expected, rtol=1e-5)
    np.testing.assert_array_equal(moved["network"]["bias"], params["network"]["bias"])
    np.testing.assert_array_equal(
        moved["denoiser"]["scale"], params["denoiser"]["scale"]
    )


def test_a_flat_loss_moves_nothing():
    params, gradient = trees()
    zeros = {"kernel": 0 * gradient["network"]["kernel"], "bias": jnp.zeros(4)}
    moved = training.WeightPerturbation()(
        params, {**gradient, "network": zeros}, jnp.asarray(0)
    )
    np.testing.assert_array_equal(
        moved["network"]["kernel"], params["network"]["kernel"]
    )


def test_a_step_takes_the_gradient_at_the_moved_weights(key):
    """A quadratic: its gradient at a place is the place."""
    weights = jnp.asarray([[3.0, 4.0]])

    def loss(params, batch, versions):
        return 0.5 * jnp.sum(jnp.square(params["weights"])), {}

    objective = training.Objective(lambda *arguments: {}, loss)
    step = training.make_train_step(
        objective,
        optax.sgd(0.1),
        weight_perturbation=training.WeightPerturbation(gamma=0.2, start_step=1),
    )
    state = training.init_state({"weights": weights}, optax.sgd(0.1))
    nothing = Batch(jnp.zeros((1, 1, 1, 1)), jnp.zeros(1, jnp.int32), jnp.ones(1))
    expected = np.asarray([[3.0, 4.0]])
    for gamma in (0.0, 0.2, 0.2):
        state, metrics = step(state, nothing, key, {"linf": 0.0})
        np.testing.assert_allclose(metrics["loss"], 0.5 * (expected**2).sum(), 1e-5)
        expected = expected - 0.1 * (1 + gamma) * expected
        np.testing.assert_allclose(state.params["weights"], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gamma": -0.1}, "gamma must be .*got -0.1"),
        ({"gamma": 1.0}, "gamma must be .*got 1.0"),
        ({"start_step": -1}, "start_step must be .*got -1"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        training.WeightPerturbation(**settings)
