"""Threshold rules against closed forms, slow NumPy twins and scikit-image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from skimage.restoration import _denoise as skimage_internals

from wbad_jax import denoise

SIGMA = 0.3
bayes = jax.jit(denoise.bayes_threshold)
sure = jax.jit(denoise.sure_threshold)


def subband(signal=1.0, size=(9, 10), seed=0):
    """A sparse signal in white noise of level `SIGMA`."""
    rng = np.random.default_rng(seed)
    shape = (3, *size, 2)
    sparse = signal * rng.normal(size=shape) * (rng.uniform(size=shape) < 0.2)
    return (sparse + SIGMA * rng.normal(size=shape)).astype(np.float32)


def sigmas(value=SIGMA):
    return np.full((3, 1, 1, 2), value, np.float32)


@pytest.mark.fast
@pytest.mark.parametrize("num_pixels", [1, 64, 4096])
def test_universal_in_closed_form(num_pixels):
    actual = jax.jit(denoise.universal_threshold, static_argnums=1)(
        sigmas(), num_pixels
    )
    expected = SIGMA * np.sqrt(2 * np.log(num_pixels))
    np.testing.assert_allclose(actual, np.full((3, 1, 1, 2), expected), rtol=1e-6)


def bayes_twin(coefficients, sigma):
    """Chang, Yu and Vetterli's equations 12 to 17, for one subband."""
    clean_variance = max(np.mean(coefficients**2) - sigma**2, 0)
    if clean_variance == 0:
        return np.abs(coefficients).max()
    return sigma**2 / np.sqrt(clean_variance)


@pytest.mark.fast
@pytest.mark.parametrize("signal", [0.0, 0.3, 3.0])
def test_bayes_matches_a_numpy_twin(signal):
    coefficients = subband(signal)
    actual = bayes(coefficients, sigmas())
    for i in range(3):
        for channel in range(2):
            one = coefficients[i, ..., channel].astype(np.float64)
            # Never above the largest coefficient, where all are zeroed anyway.
            expected = min(bayes_twin(one, SIGMA), np.abs(one).max())
            # Where signal and noise nearly cancel, float32 leaves three digits.
            np.testing.assert_allclose(actual[i, 0, 0, channel], expected, rtol=1e-3)


@pytest.mark.fast
def test_bayes_matches_scikit_image():
    coefficients = subband(3.0)
    actual = bayes(coefficients, sigmas())
    for i in range(3):
        expected = skimage_internals._bayes_thresh(coefficients[i, ..., 0], SIGMA**2)
        np.testing.assert_allclose(actual[i, 0, 0, 0], expected, rtol=1e-5)


@pytest.mark.fast
def test_bayes_takes_a_subband_weaker_than_the_noise_for_noise():
    coefficients = subband(0.0)
    actual = bayes(coefficients, sigmas(10 * SIGMA))
    largest = np.abs(coefficients).max(axis=(1, 2), keepdims=True)
    np.testing.assert_array_equal(actual, largest)


@pytest.mark.fast
def test_bayes_without_noise_is_zero():
    np.testing.assert_array_equal(bayes(subband(), sigmas(0.0)), 0)


@pytest.mark.fast
def test_bayes_gradient_against_differences(enable_x64):
    coefficients = jnp.asarray(subband(1.0), jnp.float64)
    sigma = jnp.asarray(sigmas(), jnp.float64)
    check_grads(bayes, (coefficients, sigma), order=1, modes=("rev",), rtol=1e-5)


def risk(coefficients, sigma, threshold):
    """Stein's estimate as Donoho and Johnstone (1995) write it, in float64."""
    size = np.abs(coefficients.astype(np.float64))
    noise = sigma**2
    return (
        size.size * noise
        - 2 * noise * np.count_nonzero(size <= threshold)
        + np.sum(np.minimum(size, threshold) ** 2)
    )


@pytest.mark.fast
@pytest.mark.parametrize("signal", [0.0, 0.5, 3.0])
def test_sure_is_minimal_on_a_fine_grid(signal):
    coefficients = subband(signal)
    actual = np.asarray(sure(coefficients, sigmas()))
    limit = SIGMA * np.sqrt(2 * np.log(90))
    assert np.all((actual >= 0) & (actual <= limit * (1 + 1e-6)))
    for i in range(3):
        for channel in range(2):
            one = coefficients[i, ..., channel]
            # Between coefficients the risk only grows, so the grid need not hold them.
            best = min(risk(one, SIGMA, t) for t in np.linspace(0, limit, 2001))
            ours = risk(one, SIGMA, float(actual[i, 0, 0, channel]))
            # Float32 sums of some 90 terms of order sigma**2.
            assert ours <= best + 1e-5 * one.size * SIGMA**2


@pytest.mark.fast
def test_sure_never_exceeds_the_universal_threshold():
    """Coefficients so spaced that the risk falls up to the largest one, at 3.1 sigma.

    From one coefficient to the next with m left, it changes by m times the difference
    of their squares less 2 sigma**2: here that difference is 1.9 sigma**2 / m.
    """
    count = 90
    squares = 1.9 * np.cumsum(1 / np.arange(count, 0, -1))
    sizes = (SIGMA * np.sqrt(squares)).astype(np.float32)
    risks = [risk(sizes, SIGMA, size) for size in sizes]
    assert np.all(np.diff(risks) < 0)
    limit = SIGMA * np.sqrt(2 * np.log(count))
    assert sizes[-1] > limit
    one = np.random.default_rng(0).permutation(sizes).reshape(1, 9, 10, 1)
    actual = sure(one, np.full((1, 1, 1, 1), SIGMA, np.float32))
    assert actual.item() == sizes[sizes <= limit][-1]


@pytest.mark.fast
def test_sure_depends_on_the_signal():
    """A dense signal calls for a low threshold, pure noise for a high one."""
    noise, dense = sure(subband(0.0), sigmas()), sure(10 * subband(0.0), sigmas())
    assert np.all(noise > 2 * dense)


@pytest.mark.fast
def test_sure_gradient_is_that_of_the_chosen_coefficient():
    coefficients = subband(1.0)
    gradient = jax.jit(jax.grad(lambda c: jnp.sum(sure(c, sigmas()))))(coefficients)
    chosen = np.abs(coefficients) == np.asarray(sure(coefficients, sigmas()))
    np.testing.assert_array_equal(gradient, np.where(chosen, np.sign(coefficients), 0))
    assert np.count_nonzero(gradient)


risk_of = jax.jit(denoise.sure_risk)


@pytest.mark.fast
@pytest.mark.parametrize("signal", [0.0, 3.0])
@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.9, 100.0])
def test_sure_risk_is_the_exact_estimate(signal, threshold):
    coefficients = subband(signal)
    actual = risk_of(coefficients, sigmas(threshold), sigmas())
    assert actual.shape == (3, 1, 1, 2)
    for i, channel in np.ndindex(3, 2):
        expected = risk(coefficients[i, ..., channel], SIGMA, np.float32(threshold))
        np.testing.assert_allclose(
            actual[i, 0, 0, channel], expected, rtol=1e-5, atol=1e-5
        )


def known_signal():
    """Clean and noisy coefficients, many enough for derivatives of a few percent."""
    rng = np.random.default_rng(0)
    shape = (4, 256, 256, 1)
    clean = 0.5 * rng.laplace(size=shape) * (rng.uniform(size=shape) < 0.3)
    noisy = clean + SIGMA * rng.normal(size=shape)
    return clean, noisy.astype(np.float32)


@pytest.mark.fast
def test_sure_risk_has_the_derivative_of_the_true_error():
    """By the threshold; the plain derivative of the estimate has the wrong sign."""
    clean, noisy = known_signal()
    size, sign = np.abs(noisy), np.sign(noisy)
    sigma = np.full((4, 1, 1, 1), SIGMA, np.float32)

    @jax.jit
    def derivatives(t):
        def plain(t):
            count = jnp.sum(size <= t)
            return jnp.sum(jnp.minimum(size, t) ** 2) - 2 * SIGMA**2 * count

        smooth = jax.grad(lambda t: jnp.sum(risk_of(noisy, t + 0 * sigma, sigma)))
        return smooth(t), jax.grad(plain)(t)

    def true(t):
        shrunk = sign * np.maximum(size - t, 0)
        return np.sum(-2 * (shrunk - clean) * sign * (size > t))

    scale = abs(true(0.5 * SIGMA))
    for multiple in (0.5, 0.75, 1.0, 1.5, 2.0):
        ours, plain = derivatives(multiple * SIGMA)
        np.testing.assert_allclose(ours, true(multiple * SIGMA), atol=0.03 * scale)
        if multiple <= 1:
            assert true(multiple * SIGMA) < 0
            assert ours < 0 < plain


@pytest.mark.fast
def test_sure_risk_has_a_gradient_in_the_coefficients(enable_x64):
    """Of the smooth form, in every argument."""
    rng = np.random.default_rng(1)
    c = jnp.asarray(rng.normal(size=(1, 6, 5, 1)))
    t, sigma = jnp.full((1, 1, 1, 1), 0.4), jnp.full((1, 1, 1, 1), 0.5)

    def smooth(c, t, sigma):
        width = 0.1 * jax.lax.stop_gradient(sigma)
        shrunk, slope = jax.jvp(
            lambda c: denoise.zhang_soft_threshold(c, t, width), (c,), (0 * c + 1,)
        )
        noise = jnp.sum(sigma**2)
        removed = jnp.sum((shrunk - c) ** 2)
        return removed - c.size * noise + 2 * noise * jnp.sum(slope)

    def exact(c, t, sigma):
        return jnp.sum(denoise.sure_risk(c, t, sigma))

    actual, expected = (
        jax.jit(jax.grad(f, argnums=(0, 1, 2)))(c, t, sigma) for f in (exact, smooth)
    )
    for ours, theirs in zip(actual, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)


@pytest.mark.fast
def test_sure_threshold_minimises_sure_risk_over_all_candidates():
    """Brute force: the risk at 0 and at every coefficient below the limit."""
    coefficients = subband(1.0)
    chosen = sure(coefficients, sigmas())
    best = risk_of(coefficients, chosen, sigmas())
    limit = SIGMA * np.sqrt(2 * np.log(90))
    for i, channel in np.ndindex(3, 2):
        one = coefficients[i, ..., channel]
        candidates = np.append(np.abs(one[np.abs(one) <= limit]), 0)
        least = min(risk(one, SIGMA, t) for t in candidates)
        np.testing.assert_allclose(best[i, 0, 0, channel], least, rtol=1e-4, atol=1e-4)


@pytest.mark.fast
def test_sure_risk_refuses_no_smoothing():
    with pytest.raises(ValueError, match="smoothing must be positive, got 0"):
        denoise.sure_risk(subband(), sigmas(), sigmas(), smoothing=0)


@pytest.mark.fast
def test_bayes_gradient_is_zero_where_the_largest_magnitude_is_taken():
    def total(c):
        return jnp.sum(denoise.bayes_threshold(c, sigmas(10 * SIGMA)))

    gradient = jax.jit(jax.grad(total))(subband(0.0))
    np.testing.assert_array_equal(gradient, 0)
