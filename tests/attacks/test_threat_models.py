import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wbad_jax.attacks import threat_models
from wbad_jax.attacks.l1_ball import sparse_direction

pytestmark = pytest.mark.fast
SHAPE = (4, 9, 11, 3)
each_norm = pytest.mark.parametrize("norm", threat_models.NORMS)


def numpy_norm(x, norm):
    flat = np.asarray(x, np.float64).reshape(len(x), -1)
    order = {"linf": np.inf, "l2": 2, "l1": 1}[norm]
    return np.linalg.norm(flat, order, axis=1)


@each_norm
@pytest.mark.parametrize("scale", [1e-25, 1e-4, 1.0, 1e25])
def test_norm_agrees_with_numpy_at_any_scale(norm, scale, rng_images):
    x = (rng_images - 0.5) * scale
    actual = threat_models.perturbation_norm(x, norm)
    np.testing.assert_allclose(actual, numpy_norm(x, norm), rtol=1e-6)


@each_norm
def test_projection_keeps_what_is_inside_and_shortens_the_rest(norm, rng_images):
    x = rng_images - 0.5
    length = numpy_norm(x, norm)
    epsilon = jnp.asarray(length * [0.0, 0.5, 1.1, np.inf], jnp.float32)
    projected = threat_models.project(x, norm, epsilon)
    assert np.all(numpy_norm(projected, norm) <= epsilon)
    np.testing.assert_array_equal(projected[0], 0)
    np.testing.assert_array_equal(projected[2:], x[2:])
    np.testing.assert_allclose(numpy_norm(projected, norm)[1], epsilon[1], rtol=1e-6)
    if norm == "l2":
        np.testing.assert_allclose(projected[1], x[1] / 2, rtol=1e-5)


@each_norm
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_steepest_ascent_has_unit_norm_whatever_the_gradient(norm, scale, rng_images):
    gradient = (rng_images - 0.5) * scale
    direction = threat_models.steepest_ascent(gradient, norm)
    np.testing.assert_allclose(numpy_norm(direction, norm), 1, rtol=1e-5)
    assert np.all(direction * jnp.sign(gradient) >= 0)


@each_norm
def test_zero_and_missing_gradients_give_no_direction(norm):
    zero = jnp.zeros(SHAPE)
    np.testing.assert_array_equal(threat_models.steepest_ascent(zero, norm), 0)
    gradient = zero.at[:, 0, 0, 0].set(jnp.nan).at[:, 1, 1, 1].set(-jnp.inf)
    direction = threat_models.steepest_ascent(gradient, norm)
    np.testing.assert_array_equal(direction[:, 1, 1, 1], -1)
    assert np.count_nonzero(direction) == SHAPE[0]


@each_norm
def test_samples_fill_the_ball(norm, key):
    like = jnp.zeros((500, 3, 4, 1))
    epsilon = jnp.linspace(0.1, 0.5, 500)
    noise = threat_models.sample(key, like, norm, epsilon)
    relative = numpy_norm(noise, norm) / epsilon
    assert relative.max() <= 1 + 1e-6
    assert relative.mean() > 0.85
    np.testing.assert_allclose(np.mean(noise), 0, atol=0.02)
    mask = jnp.zeros((3, 4, 1)).at[1, 2].set(1)
    masked = threat_models.sample(key, like, norm, epsilon, mask=mask)
    assert np.count_nonzero(masked) == 500
    if norm == "l2":
        np.testing.assert_allclose(numpy_norm(masked, norm), epsilon, rtol=1e-6)


@each_norm
def test_a_key_per_example_makes_draws_independent_of_the_batch(norm, key):
    keys = jax.random.split(key, 3)
    like = jnp.zeros((3, 5, 5, 1))
    noise = threat_models.sample(keys, like, norm, 0.1)
    alone = threat_models.sample(keys[1:2], like[1:2], norm, 0.1)
    np.testing.assert_array_equal(noise[1:2], alone)


@each_norm
@pytest.mark.parametrize("epsilon", [8 / 255, 1e-4, 1e-6])
def test_rounding_never_leaves_the_ball(norm, epsilon, key, rng_images):
    """Plain addition exceeds a budget of 1e-4 by 2e-4 of itself."""
    images = 0.1 + 0.8 * rng_images  # So that the pixel range is out of reach.
    # In L1 what the ball leaves is a small difference of large numbers.
    scale = 1 if norm == "l1" else 1e3
    direction = scale * (jax.random.uniform(key, SHAPE) - 0.5)
    # With the images as an argument, and as a constant that XLA may simplify with.
    as_argument = jax.jit(lambda x, e: threat_models.move(x, direction, norm, e))
    as_constant = jax.jit(lambda e: threat_models.move(images, direction, norm, e))
    moved = as_argument(images, epsilon)
    np.testing.assert_array_equal(moved, as_constant(epsilon))
    difference = np.float64(moved) - np.float64(images)
    length = numpy_norm(difference, norm)
    assert np.all(length <= epsilon * (1 + 1e-6))
    in_float32 = threat_models.perturbation_norm(moved - images, norm)
    assert np.all(in_float32 <= np.float32(epsilon))
    # What is lost is at most the spacing of float32 numbers below 1, in each pixel.
    lost = 6e-8 * {"linf": 1, "l2": np.sqrt(np.prod(SHAPE[1:])), "l1": 30}[norm]
    assert np.all(length >= epsilon * (1 - 1e-6) - lost)


@each_norm
def test_moving_within_a_large_image_stays_in_the_ball(norm, key):
    """Float32 sums over many pixels are where an L2 norm would go wrong."""
    shape = (1, 256, 320, 3)
    draws = jax.random.uniform(key, (2 * int(np.prod(shape)),)).reshape(2, *shape)
    moved = threat_models.move(draws[0], draws[1] - 0.5, norm, 0.01)
    difference = np.float64(moved) - np.float64(draws[0])
    assert numpy_norm(difference, norm) <= 0.01 * (1 + 1e-6)


@each_norm
def test_bounds_may_differ_per_example(norm, rng_images):
    low = jnp.asarray([0.0, 0.0, -1.0, -1.0])
    high = jnp.asarray([1.0, 2.0, 1.0, 2.0])
    moved = threat_models.move(
        rng_images, 100 * (rng_images - 0.5), norm, 10.0, bounds=(low, high)
    )
    assert np.all(moved >= low[:, None, None, None])
    assert np.all(moved <= high[:, None, None, None])


@pytest.fixture
def rng_images():
    rng = np.random.default_rng(3)
    return jnp.asarray(rng.uniform(0, 1, SHAPE), jnp.float32)


def l1_projection_by_sorting(perturbation, radius, room):
    """Float64: the norm of `clip(|p| - t, 0, room)` is linear between its kinks."""
    size = np.abs(np.float64(perturbation))
    room = np.minimum(size, room)

    def shrunk(threshold):
        return np.clip(size - threshold, 0, room)

    if room.sum() <= radius:
        return np.sign(perturbation) * room
    kinks = np.unique(np.concatenate([[0], size.ravel(), (size - room).ravel()]))
    lengths = [shrunk(kink).sum() for kink in kinks]
    threshold = np.interp(-radius, -np.asarray(lengths), kinks)
    return np.sign(perturbation) * shrunk(threshold)


@pytest.mark.parametrize("radius", [0.01, 0.5, 3.0, 100.0])
@pytest.mark.parametrize("low", [0.0, -10.0])
def test_l1_projection_onto_ball_and_range_together(radius, low, rng_images, key):
    perturbation = jax.random.normal(key, SHAPE)
    bounds = (low, 1.0 - low)
    moved = threat_models.move(rng_images, perturbation, "l1", radius, bounds=bounds)
    for i in range(len(rng_images)):
        image, p = np.float64(rng_images[i]), np.asarray(perturbation[i])
        room = np.where(p > 0, 1 - low - image, image - low)
        expected = l1_projection_by_sorting(p, radius, room)
        np.testing.assert_allclose(moved[i] - image, expected, atol=2e-6)


@pytest.mark.parametrize("count", [0.2, 1, 7, 297, 1000])
def test_a_sparse_direction_takes_the_largest_gradients(count, rng_images):
    gradient = rng_images - 0.5
    direction = np.asarray(sparse_direction(gradient, count)).reshape(SHAPE[0], -1)
    order = np.argsort(-np.abs(np.asarray(gradient)).reshape(SHAPE[0], -1), axis=1)
    taken = int(np.clip(count, 1, direction.shape[1]))
    for row, first in zip(direction, order, strict=True):
        assert set(np.flatnonzero(row)) == set(first[:taken])
