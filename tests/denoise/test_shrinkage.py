"""Shrinkage functions against PyWavelets and against their written-out derivatives."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pywt
from hypothesis import given, settings
from hypothesis import strategies as st

from wbad_jax import denoise

THRESHOLD = 0.7
# A few float32 roundings of numbers of order 1.
ATOL = 1e-6
each_shrinkage = pytest.mark.parametrize("name", sorted(denoise.SHRINKAGE))
run = {name: jax.jit(function) for name, function in denoise.SHRINKAGE.items()}
run_firm = jax.jit(denoise.firm_threshold)


def reference(name, coefficients, threshold):
    if name == "firm":
        return pywt.threshold_firm(coefficients, threshold, 2 * threshold)
    return pywt.threshold(coefficients, threshold, mode=name)


def derivatives(name, c, t):
    """By coefficient and by threshold, where `|c|` is none of the break points."""
    size, sign = np.abs(c), np.sign(c)
    outside = size > t
    if name == "soft":
        return outside, -sign * outside
    if name == "hard":
        return outside, np.zeros_like(c)
    if name == "garrote":
        safe = np.where(outside, c, 1)
        return outside * (1 + t**2 / safe**2), outside * (-2 * t / safe)
    # upper = 2 t: slope 2 on the ramp, 2 (c - t sign c), and 1 above it.
    ramp = outside & (size <= 2 * t)
    return np.where(ramp, 2, outside), np.where(ramp, -2 * sign, 0)


@pytest.fixture
def coefficients():
    return np.random.default_rng(0).normal(size=(3, 8, 7, 2)).astype(np.float32)


@pytest.mark.fast
@each_shrinkage
def test_values_match_pywavelets(name, coefficients):
    actual = run[name](coefficients, THRESHOLD)
    expected = reference(name, coefficients, THRESHOLD)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=ATOL)
    assert actual.dtype == jnp.float32


@pytest.mark.fast
@pytest.mark.parametrize("upper", [0.8, 1.2, 3.0])
def test_firm_with_an_upper_threshold(upper, coefficients):
    actual = run_firm(coefficients, THRESHOLD, upper)
    expected = pywt.threshold_firm(coefficients, THRESHOLD, upper)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=10 * ATOL)
    size, sign = np.abs(coefficients), np.sign(coefficients)
    ramp = (size > THRESHOLD) & (size <= upper)

    @jax.jit
    def gradient(lower, upper):
        shrink = functools.partial(denoise.firm_threshold, coefficients)
        return jax.vjp(shrink, lower, upper)[1](sign)

    by_lower = np.sum(ramp * upper * (size - upper)) / (upper - THRESHOLD) ** 2
    by_upper = -np.sum(ramp * THRESHOLD * (size - THRESHOLD)) / (upper - THRESHOLD) ** 2
    actual = gradient(THRESHOLD, upper)
    np.testing.assert_allclose(actual, (by_lower, by_upper), rtol=1e-4)


@pytest.mark.fast
@pytest.mark.parametrize(("upper", "limit"), [(1e6, "soft"), (THRESHOLD, "hard")])
def test_firm_lies_between_soft_and_hard(upper, limit, coefficients):
    actual = run_firm(coefficients, THRESHOLD, upper)
    expected = reference(limit, coefficients, THRESHOLD)
    # The ramp's slope is 1 + threshold / upper; 1e6 / 1e6 loses one more digit.
    np.testing.assert_allclose(actual, expected, rtol=0, atol=10 * ATOL)


@pytest.mark.fast
@each_shrinkage
def test_derivatives_match_their_formulas(name, coefficients):
    thresholds = np.full_like(coefficients, THRESHOLD)

    @jax.jit
    def derivatives_of(c, t):
        return jax.vjp(run[name], c, t)[1](jnp.ones_like(c))

    actual = derivatives_of(coefficients, thresholds)
    for got, want in zip(
        actual, derivatives(name, coefficients, THRESHOLD), strict=True
    ):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=ATOL)


@pytest.mark.fast
@each_shrinkage
def test_thresholds_broadcast(name, coefficients):
    thresholds = np.array([0.2, 0.9], np.float32).reshape(1, 1, 1, 2)
    actual = run[name](coefficients, thresholds)
    for channel, threshold in enumerate((0.2, 0.9)):
        expected = reference(name, coefficients[..., channel], threshold)
        np.testing.assert_allclose(actual[..., channel], expected, rtol=0, atol=ATOL)


@jax.jit
def values_and_gradients(c, t):
    def both(name):
        value, transpose = jax.vjp(denoise.SHRINKAGE[name], c, t)
        return value, *transpose(jnp.ones_like(c))

    return {name: both(name) for name in denoise.SHRINKAGE}


# Every size a float32 can have: the subnormal ones too, and those whose square or
# reciprocal square is out of range.
anything = st.floats(-1e6, 1e6, width=32)
thresholds = st.one_of(st.just(0.0), st.floats(0, 1e6, width=32))
critical = st.tuples(
    st.sampled_from([0.0, 1e-45, 1e-38, 1e-30, 1e-25, 1e-20, 1e-19, 1e-10, 1.0, 1e6]),
    st.sampled_from([0.0, 1e-45, 1e-38, 1e-30, 1e-25, 1e-20, 1e-19, 1e-10, 1.0, 1e6]),
)


@pytest.mark.fast
@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.one_of(st.tuples(anything, thresholds), critical), max_size=8))
def test_values_and_gradients_are_finite_and_odd(pairs):
    pairs = (pairs + [(0.0, 0.0)] * 8)[:8]
    c, t = np.array(pairs, np.float32).T
    plus, minus = values_and_gradients(c, t), values_and_gradients(-c, t)
    for name, (value, by_c, by_t) in plus.items():
        for array in (value, by_c, by_t):
            assert np.all(np.isfinite(array)), (name, c, t)
        np.testing.assert_array_equal(value, -minus[name][0], name)
        np.testing.assert_array_equal(by_c, minus[name][1], name)
        assert np.all(np.abs(value) <= np.abs(c)), (name, c, t)


@pytest.mark.fast
@each_shrinkage
def test_gradients_are_finite_at_every_critical_pair(name):
    sizes = [0.0, 1e-45, 1e-38, 1e-30, 1e-25, 1e-20, 1e-19, 1e-10, 1e-3, 1.0, 1e6]
    grid = np.array([(a, b) for a in sizes for b in sizes], np.float32)
    c, t = np.pad(grid, ((0, 128 - len(grid)), (0, 0))).T
    for array in values_and_gradients(c, t)[name]:
        bad = ~np.isfinite(array)
        assert not bad.any(), f"at (c, t) = {grid[bad[: len(grid)]]}"


@pytest.mark.fast
@pytest.mark.parametrize(
    "threshold", [-0.1, -1, float("nan"), np.float32(-2), np.array([0.2, -3])]
)
@each_shrinkage
def test_negative_thresholds_are_refused_where_known(name, threshold):
    with pytest.raises(ValueError, match="threshold must not be negative, got"):
        denoise.SHRINKAGE[name](jnp.ones(2), threshold)


@pytest.mark.fast
@pytest.mark.parametrize("shape", [(), (2,), (7, 1), (3, 1, 1, 2), (1, 8, 7, 1)])
def test_soft_gradient_is_summed_over_what_was_broadcast(shape, coefficients):
    threshold = np.full(shape, THRESHOLD, np.float32)
    weights = np.random.default_rng(1).normal(size=coefficients.shape)
    weights = weights.astype(np.float32)

    def stock(c, t):
        return jnp.where(jnp.abs(c) > t, c - jnp.sign(c) * t, 0)

    def gradients(function):
        def total(c, t):
            return jnp.sum(weights * function(c, t))

        return jax.jit(jax.grad(total, argnums=(0, 1)))(coefficients, threshold)

    actual, expected = gradients(denoise.soft_threshold), gradients(stock)
    for ours, theirs in zip(actual, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.fast
@each_shrinkage
def test_forward_mode_and_vmap(name, coefficients):
    tangents = np.random.default_rng(2).normal(size=coefficients.shape)
    tangents = tangents.astype(np.float32)
    thresholds = np.full(3, THRESHOLD, np.float32)

    @jax.jit
    def forward(c, t, v):
        def one(c, t, v):
            return jax.jvp(denoise.SHRINKAGE[name], (c, t), (v, jnp.ones_like(t)))

        return jax.vmap(one)(c, t, v)

    value, tangent = forward(coefficients, thresholds, tangents)
    by_c, by_t = derivatives(name, coefficients, THRESHOLD)
    np.testing.assert_allclose(value, run[name](coefficients, THRESHOLD), atol=ATOL)
    np.testing.assert_allclose(tangent, by_c * tangents + by_t, rtol=1e-5, atol=1e-5)


@pytest.mark.fast
@pytest.mark.parametrize("threshold", [0.25, np.float64(0.25), np.float32(0.25)])
@each_shrinkage
def test_half_precision_is_kept(name, threshold):
    c = jnp.asarray([-1.0, 0.125, 0.5], jnp.bfloat16)
    assert denoise.SHRINKAGE[name](c, threshold).dtype == jnp.bfloat16
