"""The noise level against NumPy's and JAX's medians and against scikit-image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.restoration import estimate_sigma

from wbad_jax import denoise

median = jax.jit(denoise.median_magnitude)
# The mean of the two middle elements is rounded once; the order statistic is exact.
RTOL = 2e-7


def numpy_median(coefficients):
    return np.median(np.abs(coefficients), axis=(-3, -2), keepdims=True)


@pytest.mark.fast
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (5, 7), (6, 8), (3, 4), (32, 32)])
def test_median_of_odd_and_even_counts(size):
    rng = np.random.default_rng(0)
    coefficients = rng.normal(size=(2, *size, 3)).astype(np.float32)
    actual = median(coefficients)
    assert actual.shape == (2, 1, 1, 3)
    np.testing.assert_allclose(actual, numpy_median(coefficients), rtol=RTOL)


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
            st.sampled_from([0.0, 0.5, 1.0, -1.0]),
            st.floats(-1e6, 1e6, width=32, allow_subnormal=False),
        ),
    )
)
def test_median_of_anything(coefficients):
    """Also where a few huge coefficients stand beside many tiny ones."""
    np.testing.assert_allclose(
        median(coefficients), numpy_median(coefficients), rtol=RTOL
    )


@pytest.mark.fast
def test_median_of_numbers_of_many_scales(enable_x64):
    rng = np.random.default_rng(3)
    for dtype in (np.float32, np.float64):
        scales = 10.0 ** rng.uniform(-15, 3, (4, 5, 7, 1))
        coefficients = (scales * rng.normal(size=scales.shape)).astype(dtype)
        np.testing.assert_array_equal(median(coefficients), numpy_median(coefficients))


@pytest.mark.fast
@pytest.mark.parametrize("size", [(5, 5), (4, 6)])
def test_gradient_is_that_of_the_median(size):
    rng = np.random.default_rng(1)
    coefficients = rng.normal(size=(2, *size, 2)).astype(np.float32)

    def stock(c):
        return jnp.median(jnp.abs(c), axis=(-3, -2), keepdims=True)

    actual, expected = (
        jax.jit(jax.grad(lambda c, f=f: jnp.sum(jnp.sin(f(c)))))(coefficients)
        for f in (denoise.median_magnitude, stock)
    )
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=0)
    assert np.count_nonzero(actual) == 2 * 2 * (1 if np.prod(size) % 2 else 2)


@pytest.mark.fast
@pytest.mark.parametrize("value", [0.0, 0.3])
def test_gradient_is_finite_on_constants(value):
    constant = jnp.full((1, 4, 4, 1), value)
    gradient = jax.jit(jax.grad(lambda c: jnp.sum(median(c))))(constant)
    assert np.all(np.isfinite(gradient))


@pytest.mark.fast
@pytest.mark.parametrize("shape", [(2, 32, 48, 1), (1, 33, 47, 3)])
def test_sigma_matches_scikit_image(shape):
    images = np.random.default_rng(2).normal(0.5, 0.1, shape).astype(np.float32)
    # scikit-image fixes the wavelet db2 and the mode symmetric.
    actual = jax.jit(denoise.noise_sigma, static_argnums=1)(images, "db2")
    assert actual.shape == (shape[0], 1, 1, shape[3])
    for image, sigmas in zip(images, actual, strict=True):
        expected = estimate_sigma(image, channel_axis=-1)
        np.testing.assert_allclose(sigmas.ravel(), expected, rtol=1e-5)


@pytest.mark.fast
def test_sigma_of_white_noise_is_its_standard_deviation():
    images = np.random.default_rng(4).normal(0.5, 0.02, (1, 256, 256, 1))
    # Standard error of the estimate: 1.17 / sqrt(128 * 128), about 1 %.
    actual = jax.jit(denoise.noise_sigma)(images.astype(np.float32))
    np.testing.assert_allclose(actual, 0.02, rtol=0.03)
