"""The median without a sort, against NumPy's and JAX's medians."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jax.sharding import Mesh, PartitionSpec

from wbad_jax import denoise
from wbad_jax.denoise.median import _middle_pair

median = jax.jit(denoise.median_magnitude)
# The mean of the two middle elements is rounded once; the order statistic is exact.
RTOL = 2e-7


def numpy_median(coefficients):
    return np.median(np.abs(coefficients), axis=(-3, -2), keepdims=True)


def jax_median(coefficients):
    return jnp.median(jnp.abs(coefficients), axis=(-3, -2), keepdims=True)


@pytest.mark.fast
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (5, 7), (6, 8), (3, 4), (32, 32)])
def test_median_of_odd_and_even_counts(size):
    rng = np.random.default_rng(0)
    coefficients = rng.normal(size=(2, *size, 3)).astype(np.float32)
    actual = median(coefficients)
    assert actual.shape == (2, 1, 1, 3)
    np.testing.assert_allclose(actual, numpy_median(coefficients), rtol=RTOL)


@pytest.mark.fast
@pytest.mark.parametrize("law", ["normal", "laplace", "standard_cauchy", "uniform"])
def test_median_is_exact_whatever_the_law(law):
    """Also where the mean says nothing of the median."""
    draws = getattr(np.random.default_rng(1), law)(size=(64, 31, 32, 1))
    coefficients = draws.astype(np.float32)
    np.testing.assert_array_equal(median(coefficients), numpy_median(coefficients))


@pytest.mark.fast
@pytest.mark.parametrize("levels", [2, 5, 200])
def test_median_of_quantised_values(levels):
    rng = np.random.default_rng(2)
    coefficients = rng.integers(0, levels, (16, 20, 20, 1)).astype(np.float32) / 255
    np.testing.assert_array_equal(median(coefficients), numpy_median(coefficients))


@pytest.mark.fast
@pytest.mark.parametrize("size", [(3, 3), (4, 4)])
@pytest.mark.parametrize("values", [(0.0,), (0.25,), (-1.0, 1.0), (0, 0, 1), (0, 5, 5)])
def test_median_with_ties(size, values):
    repeated = np.resize(np.array(values, np.float32), (1, *size, 1))
    np.testing.assert_array_equal(median(repeated), numpy_median(repeated))


@pytest.mark.fast
@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    hnp.arrays(
        np.float32,
        (1, 4, 5, 1),
        elements=st.one_of(
            st.sampled_from([0.0, 0.5, 1.0, -1.0, 1e38, -1e38]),
            st.floats(-1e6, 1e6, width=32, allow_subnormal=False),
        ),
    )
)
def test_median_of_anything(coefficients):
    """Also where a few huge coefficients stand beside many tiny ones."""
    expected = numpy_median(coefficients.astype(np.float64))
    np.testing.assert_allclose(median(coefficients), expected, rtol=RTOL)


@pytest.mark.fast
@pytest.mark.parametrize("count", [35, 36])
def test_rows_shared_by_devices_have_the_same_median(count, enable_x64):
    rng = np.random.default_rng(5)
    shape = (6, 2, count)
    for dtype in (np.float32, np.float64):
        scales = 10.0 ** rng.uniform(-15, 3, shape)
        rows = np.abs(
            np.concatenate(
                [
                    rng.normal(size=shape), rng.integers(0, 3, shape), np.ones(shape),
                    scales * rng.normal(size=shape), rng.standard_cauchy(shape),
                ]
            ).astype(dtype)
        )  # fmt: skip
        bits = jax.lax.bitcast_convert_type(rows, f"int{8 * rows.itemsize}")
        lower, upper = _middle_pair(bits, str(rows.dtype), shared=True)
        ordered = np.sort(np.asarray(bits), axis=-1)
        np.testing.assert_array_equal(lower[..., 0], ordered[..., (count - 1) // 2])
        np.testing.assert_array_equal(upper[..., 0], ordered[..., count // 2])


@pytest.mark.fast
@pytest.mark.parametrize("size", [(3, 5), (4, 6)])
def test_median_of_subnormal_numbers(size):
    """Selected by their bits; a device that flushes them may return 0 instead."""
    steps = np.random.default_rng(3).integers(1, 1000, (4, *size, 1))
    coefficients = (steps * 1e-42).astype(np.float32)
    actual = np.asarray(median(coefficients))
    expected = numpy_median(coefficients.astype(np.float64))
    np.testing.assert_allclose(actual, np.where(actual == 0, 0, expected), rtol=2e-3)
    gradient = jax.jit(jax.grad(lambda c: jnp.sum(median(c))))(coefficients)
    assert np.all(np.isfinite(gradient))


@pytest.mark.fast
def test_median_of_numbers_of_many_scales(enable_x64):
    rng = np.random.default_rng(3)
    for dtype in (np.float32, np.float64):
        scales = 10.0 ** rng.uniform(-15, 3, (4, 5, 7, 1))
        coefficients = (scales * rng.normal(size=scales.shape)).astype(dtype)
        np.testing.assert_array_equal(median(coefficients), numpy_median(coefficients))


@pytest.mark.fast
def test_median_of_half_precision():
    draws = np.random.default_rng(4).normal(size=(2, 7, 9, 2))
    coefficients = jnp.asarray(draws, jnp.bfloat16)
    actual = median(coefficients)
    assert actual.dtype == jnp.bfloat16
    expected = numpy_median(np.asarray(coefficients, np.float32))
    np.testing.assert_array_equal(np.asarray(actual, np.float32), expected)


@pytest.mark.fast
@pytest.mark.parametrize("size", [(5, 5), (4, 6)])
def test_gradient_is_that_of_the_median(size):
    rng = np.random.default_rng(1)
    coefficients = rng.normal(size=(2, *size, 2)).astype(np.float32)
    actual, expected = (
        jax.jit(jax.grad(lambda c, f=f: jnp.sum(jnp.sin(f(c)))))(coefficients)
        for f in (denoise.median_magnitude, jax_median)
    )
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=0)
    assert np.count_nonzero(actual) == 2 * 2 * (1 if np.prod(size) % 2 else 2)


@pytest.mark.fast
def test_equal_middle_elements_share_the_gradient():
    coefficients = jnp.asarray([1.0, -2, 2, 2, 9]).reshape(1, 1, 5, 1)
    gradient = jax.jit(jax.grad(lambda c: jnp.sum(median(c))))(coefficients)
    np.testing.assert_allclose(gradient.ravel(), np.array([0, -1, 1, 1, 0]) / 3)


@pytest.mark.fast
def test_no_gradient_on_demand():
    coefficients = jnp.asarray([1.0, -2, 3]).reshape(1, 1, 3, 1)

    def total(c):
        return jnp.sum(denoise.median_magnitude(c, stop_gradient=True))

    value, gradient = jax.jit(jax.value_and_grad(total))(coefficients)
    assert value == 2
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.fast
@pytest.mark.parametrize("value", [0.0, 0.3])
def test_gradient_is_finite_on_constants(value):
    constant = jnp.full((1, 4, 4, 1), value)
    gradient = jax.jit(jax.grad(lambda c: jnp.sum(median(c))))(constant)
    assert np.all(np.isfinite(gradient))


@pytest.mark.fast
def test_under_vmap_and_shard_map():
    coefficients = np.random.default_rng(5).normal(size=(4, 3, 6, 8, 2))
    coefficients = coefficients.astype(np.float32)
    expected = median(coefficients)
    mapped = jax.jit(jax.vmap(denoise.median_magnitude))(coefficients)
    np.testing.assert_array_equal(mapped, expected)
    mesh = Mesh(np.array(jax.devices()[:1]), ("data",))
    spec = PartitionSpec("data")
    sharded = jax.shard_map(
        denoise.median_magnitude, mesh=mesh, in_specs=spec, out_specs=spec
    )
    np.testing.assert_array_equal(jax.jit(sharded)(coefficients), expected)
