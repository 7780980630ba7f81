"""The noise level against scikit-image and against noise of a known level."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.restoration import estimate_sigma

from wbad_jax import denoise


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


@pytest.mark.fast
def test_gradient_only_on_demand():
    images = np.random.default_rng(5).normal(0.5, 0.1, (2, 16, 16, 1))
    images = images.astype(np.float32)

    def gradient(stop_gradient):
        def total(images):
            return jnp.sum(denoise.noise_sigma(images, stop_gradient=stop_gradient))

        return jax.jit(jax.grad(total))(images)

    np.testing.assert_array_equal(gradient(True), 0)
    # Two coefficients in the middle of 64, each made of four pixels.
    assert np.count_nonzero(gradient(False)) == 2 * 2 * 4
