"""Smooth surrogates: their stated distance from the originals, and finite gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

from wbad_jax import denoise
from wbad_jax.denoise import surrogates

# Surrogate, original, and the stated largest deviation in units of the width.
BOUNDED = {
    "softplus": (denoise.softplus_soft_threshold, "soft", np.log(2)),
    "zhang": (denoise.zhang_soft_threshold, "soft", 0.5),
    "garrote": (denoise.smooth_garrote_threshold, "garrote", 1.0),
    "firm": (denoise.smooth_firm_threshold, "firm", 1.0),
}
FUNCTIONS = {name: row[0] for name, row in BOUNDED.items()}
FUNCTIONS["sigmoid"] = denoise.sigmoid_hard_threshold
each_function = pytest.mark.parametrize("name", sorted(FUNCTIONS))
run = {name: jax.jit(function) for name, function in FUNCTIONS.items()}
originals = {name: jax.jit(function) for name, function in denoise.SHRINKAGE.items()}
# Dense, and holding the corners: the bounds are approached there.
GRID = np.linspace(-4, 4, 16001)
# Roundings of float64 numbers of order 1.
ATOL = 1e-13


@pytest.mark.fast
@pytest.mark.parametrize("width", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("threshold", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", sorted(BOUNDED))
def test_stated_bounds_hold_and_are_nearly_attained(name, threshold, width, enable_x64):
    _, original, bound = BOUNDED[name]
    expected = np.asarray(originals[original](jnp.asarray(GRID), threshold))
    actual = np.asarray(run[name](jnp.asarray(GRID), threshold, width))
    largest = np.max(np.abs(actual - expected))
    assert largest <= bound * width + ATOL
    if threshold == 0:
        np.testing.assert_allclose(actual, GRID, rtol=0, atol=ATOL)
    if threshold >= 10 * width:
        assert largest >= 0.85 * bound * width


@pytest.mark.fast
@pytest.mark.parametrize("width", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("threshold", [0.0, 0.5, 1.0])
def test_sigmoid_is_hard_away_from_the_jump(threshold, width, enable_x64):
    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    expected = np.asarray(originals["hard"](jnp.asarray(GRID), threshold))
    actual = np.asarray(run["sigmoid"](jnp.asarray(GRID), threshold, width))
    deviation, size = np.abs(actual - expected), np.abs(GRID)
    distance = np.abs(size - threshold)
    bound = size * (sigmoid(-distance / width) + sigmoid(-(size + threshold) / width))
    assert np.all(deviation <= bound + ATOL)
    assert np.all(deviation <= 2 * size * np.exp(-distance / width) + ATOL)
    # The grid holds the threshold itself, which is inside the dead zone.
    inside = size <= threshold
    np.testing.assert_allclose(deviation[inside], bound[inside], rtol=0, atol=ATOL)
    if threshold:
        at_jump = np.isclose(size, threshold)
        assert np.all(deviation[at_jump] >= threshold / 2)


@pytest.mark.fast
@each_function
def test_odd_smooth_and_tending_to_the_original(name, enable_x64):
    c = jnp.asarray(np.random.default_rng(0).normal(size=40))
    original = BOUNDED[name][1] if name in BOUNDED else "hard"
    np.testing.assert_allclose(run[name](-c, 0.7, 0.2), -run[name](c, 0.7, 0.2))
    sharp = run[name](c, 0.7, 1e-6)
    np.testing.assert_allclose(sharp, originals[original](c, 0.7), atol=1e-5)
    for modes in (("fwd",), ("rev",)):
        check_grads(
            lambda c, t: FUNCTIONS[name](c, t, 0.2), (c, 0.7), order=2, modes=modes,
            rtol=1e-5,
        )  # fmt: skip


@pytest.mark.fast
@each_function
def test_the_dead_zone_passes_gradient(name):
    """A quarter of the threshold, as the denoiser has it, lets some percent through."""
    slopes = jax.vmap(jax.grad(FUNCTIONS[name]), (0, None, None))
    centre, edge = jax.jit(slopes)(jnp.asarray([0.0, 1.0]), 1.0, 0.25)
    assert (0.02 if name != "softplus" else 0.01) < centre < 0.2
    assert edge > 0.4


@pytest.mark.fast
def test_zhang_slope_is_the_derivative(enable_x64):
    c = jnp.asarray(np.random.default_rng(1).normal(size=50))
    slope = jax.jit(jax.vmap(jax.grad(denoise.zhang_soft_threshold), (0, None, None)))
    actual = jax.jit(surrogates.zhang_slope)(c, 0.6, 0.1)
    np.testing.assert_allclose(actual, slope(c, 0.6, 0.1), rtol=1e-12)


@jax.jit
def values_and_gradients(c, t, w):
    def both(function):
        value, transpose = jax.vjp(function, c, t, w)
        return value, *transpose(jnp.ones_like(c))

    return {name: both(function) for name, function in FUNCTIONS.items()}


SIZES = [0.0, 1e-45, 1e-40, 1e-38, 1e-30, 1e-20, 1e-19, 1e-10, 1e-3, 1.0, 1e6]
sizes = st.one_of(st.sampled_from(SIZES), st.floats(0, 1e6, width=32))


@pytest.mark.fast
@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(st.tuples(sizes, sizes, sizes, st.booleans()), max_size=8))
def test_values_and_gradients_are_finite_at_all_scales(rows):
    rows = (rows + [(0.0, 0.0, 0.0, False)] * 8)[:8]
    c, t, w, negative = np.array(rows, np.float32).T
    c = np.where(negative == 1, -c, c)
    for name, arrays in values_and_gradients(c, t, w).items():
        assert all(np.all(np.isfinite(array)) for array in arrays), (name, c, t, w)


@pytest.mark.fast
@pytest.mark.parametrize("threshold", [-0.1, np.float32(-1), np.array([0.2, -3])])
@each_function
def test_negative_thresholds_are_refused(name, threshold):
    with pytest.raises(ValueError, match="threshold must not be negative, got"):
        FUNCTIONS[name](jnp.ones(2), threshold, 0.1)


@pytest.mark.fast
def test_every_shrinkage_has_its_surrogate():
    assert set(denoise.SMOOTH_SHRINKAGE) == set(denoise.SHRINKAGE)
