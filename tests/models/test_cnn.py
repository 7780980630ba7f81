"""The network's own parts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wbad_jax.models import cnn


@pytest.mark.fast
def test_max_pooling_and_its_gradient_match_the_stock_maximum():
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(3, 4, 5, 6)).astype(np.float32)
    maps[0, ..., 0] = -1.0 - np.arange(20).reshape(4, 5)  # Below zero everywhere.
    cotangent = rng.normal(size=(3, 6)).astype(np.float32)

    def value_and_gradient(pool):
        def run(maps):
            value, transpose = jax.vjp(pool, maps)
            return value, transpose(cotangent)[0]

        return jax.jit(run)(maps)

    actual = value_and_gradient(cnn.maximum_pooling)
    expected = value_and_gradient(lambda x: jnp.max(x, axis=(1, 2)))
    for got, want in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.fast
def test_maxima_of_recomputed_maps_have_finite_gradients():
    """XLA may compute the affine map twice and round it differently."""
    maps = np.random.default_rng(0).normal(size=(3, 4, 5, 8)).astype(np.float32)
    norm = cnn.group_norm(8)
    gradient = jax.jit(
        jax.grad(lambda x: jnp.sum(jnp.sin(cnn.maximum_pooling(jax.nn.relu(norm(x))))))
    )(maps)
    assert np.all(np.isfinite(gradient))
    assert np.max(np.abs(gradient)) > 0.01


@pytest.mark.fast
def test_the_first_of_equal_maxima_is_found_and_nan_is_not_lost():
    flat = np.random.default_rng(0).integers(0, 4, (5, 12, 7)).astype(np.float32)
    found = cnn._first_largest(flat)[:, 0]
    np.testing.assert_array_equal(found, np.argmax(flat, axis=1))
    flat[1] = np.nan
    assert np.isnan(cnn.maximum_pooling(flat[:, :, None])[1]).all()
