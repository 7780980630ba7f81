"""Disturbances of the sensor chain: members of their family, and optimal in it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from wbad_jax import attacks
from wbad_jax.attacks.sensor_fields import FAMILIES, Scene

BATCH, SHAPE = 4, (9, 12, 1)
each_family = pytest.mark.parametrize("family", FAMILIES)


@functools.partial(jax.jit, static_argnames="attack")
def run(attack, weights, images, labels, epsilon, body=None, mask=None):
    return attack(
        functools.partial(linear, weights), jax.random.key(0), images, labels,
        epsilon=epsilon, body=body, mask=mask,
    )  # fmt: skip


def linear(weights, images):
    score = jnp.sum(weights * images, axis=(1, 2, 3))
    return jnp.stack([-score / 2, score / 2], axis=-1)


def make_problem(seed=0):
    rng = np.random.default_rng(seed)
    weights = ndimage.gaussian_filter(rng.normal(size=SHAPE[:2]), 1.5)[..., None]
    images = np.float32(rng.uniform(0.3, 0.7, (BATCH, *SHAPE)))
    return np.float32(weights), images, np.arange(BATCH, dtype=np.int32) % 2


def gains(result, weights, images, labels):
    """By how much the margin fell, by image."""
    clean = attacks.margin(linear(weights, images), labels)
    return np.asarray(clean - result.margin)


def half_plane_body():
    body = np.zeros((1, *SHAPE), bool)
    body[:, :, 3:10] = True
    return body


def basis(family, images):
    """Fields that span a linear family, `[batch, fields, pixels]`, independently."""
    rows, columns = np.meshgrid(
        np.linspace(-1, 1, SHAPE[0]), np.linspace(-1, 1, SHAPE[1]), indexing="ij"
    )
    if family == "offset":
        fields = [np.ones_like(images)]
    elif family == "gain":
        fields = [images]  # Of a pivot at zero, the lower bound.
    elif family == "gradient":
        fields = [np.broadcast_to(f[..., None], images.shape) for f in (rows, columns)]
    else:
        share = ndimage.gaussian_filter(
            half_plane_body()[0, ..., 0].astype(float), 0.05 * 9, mode="nearest",
            truncate=12,
        )  # fmt: skip
        share = np.broadcast_to(share[..., None], images.shape)
        fields = [share, 1 - share]
    return np.stack([np.reshape(f, (len(images), -1)) for f in fields], axis=1)


@pytest.mark.parametrize("family", ["offset", "gain", "gradient", "room"])
def test_a_linear_family_is_kept_and_its_optimum_found(family):
    weights, images, labels = make_problem()
    attack = attacks.PhysicalAttack(family=family, num_steps=20, restarts=2)
    epsilon = 0.05
    result = run(attack, weights, images, labels, epsilon, half_plane_body())
    change = np.asarray(result.adversarial - images).reshape(BATCH, -1)
    fields = basis(family, images)
    flat = weights.ravel()
    for i in range(BATCH):
        fit, *_ = np.linalg.lstsq(fields[i].T, change[i], rcond=None)
        # At the frame's sides, the blur of the body takes the border for body or not.
        tolerance = 2e-3 if family == "room" else 1e-6
        np.testing.assert_allclose(fields[i].T @ fit, change[i], atol=tolerance * 0.05)
    response = fields @ flat
    if family == "gain":
        best = np.abs(response[:, 0]) / images.reshape(BATCH, -1).max(1)
    elif family == "room":
        best = np.abs(response).sum(1)
    else:
        best = np.abs(response).max(1)
    found = gains(result, weights, images, labels)
    np.testing.assert_allclose(found, epsilon * best, rtol=5e-3)


def test_a_gain_error_is_zero_at_the_pivot():
    weights, images, labels = make_problem()
    images[:, 2, 3] = 0.45
    attack = attacks.PhysicalAttack(family="gain", pivot=0.45, num_steps=10, restarts=1)
    result = run(attack, weights, images, labels, 0.05)
    change = np.asarray(result.adversarial - images)
    assert np.all(np.abs(change[:, 2, 3]) < 1e-7)
    ratio = change / np.where(np.abs(images - 0.45) < 1e-3, np.nan, images - 0.45)
    spread = np.nanmax(ratio, axis=(1, 2, 3)) - np.nanmin(ratio, axis=(1, 2, 3))
    assert np.all(spread < 1e-3 * np.nanmax(np.abs(ratio), axis=(1, 2, 3)))
    np.testing.assert_allclose(result.distance, np.full(BATCH, 0.05), rtol=1e-4)


def bump(row, column, width):
    rows, columns = np.indices(SHAPE[:2])
    squared = (rows - row) ** 2 + (columns - column) ** 2
    return np.exp(-0.5 * squared / width**2)


def line(start, end, width):
    """The profile of a line, by its distance from many points of it."""
    rows, columns = np.indices(SHAPE[:2])
    way = np.linspace(0, 1, 400)[:, None, None]
    squared = (rows - start[0] - way * (end[0] - start[0])) ** 2
    squared = squared + (columns - start[1] - way * (end[1] - start[1])) ** 2
    return np.exp(-0.5 * squared.min(0) / width**2)


def test_one_patch_is_a_bump_near_the_best_of_all_places():
    weights, images, labels = make_problem()
    attack = attacks.PhysicalAttack(
        family="patches", shapes=1, widths=(0.15, 0.15), restarts=8
    )
    result = run(attack, weights, images, labels, 0.05)
    change = np.asarray(result.adversarial - images)[..., 0]
    width = 0.15 * 9
    for i in range(BATCH):
        # The logarithm of a Gaussian is a parabola, -(distance / width)**2 / 2.
        rows, columns = np.indices(SHAPE[:2])
        seen = np.abs(change[i]) > 1e-4
        terms = np.stack([np.ones_like(rows), rows, columns])[:, seen]
        left = np.log(np.abs(change[i][seen]))
        left = left + (rows**2 + columns**2)[seen] / (2 * width**2)
        fit, *_ = np.linalg.lstsq(terms.T, left, rcond=None)
        np.testing.assert_allclose(terms.T @ fit, left, atol=0.02)
        assert len(np.unique(np.sign(change[i][seen]))) == 1
    places = np.stack(
        [
            bump(r, c, width)
            for r in np.linspace(0, 8, 33)
            for c in np.linspace(0, 11, 45)
        ]
    )
    best = np.abs(np.tensordot(places, weights[..., 0], 2)).max()
    found = gains(result, weights, images, labels)
    assert np.all(found >= 0.97 * 0.05 * best)


def test_patches_and_lines_are_as_wide_as_asked_for():
    image = jnp.zeros(SHAPE)
    family = FAMILIES["patches"]
    for parameter, width in ((-1, 0.9), (0, 1.8), (1, 3.6)):
        shape = jnp.asarray([0.5, -0.2, parameter, 0.8])
        field = family.field(shape, _scene(image, (0.9, 3.6)))
        np.testing.assert_allclose(
            field[..., 0], 0.8 * bump(6.0, 4.4, width), atol=1e-5
        )
    shape = jnp.asarray([-0.5, -0.8, 0.25, 0.6, -1, -0.7])
    field = FAMILIES["vessels"].field(shape, _scene(image, (0.9, 3.6)))
    expected = -0.7 * line((2.0, 1.1), (5.0, 8.8), 0.9)
    np.testing.assert_allclose(field[..., 0], expected, atol=1e-3)


def _scene(image, widths):
    return Scene(image, jnp.zeros(()), jnp.ones((*SHAPE[:2], 1)), widths)


def test_a_line_on_a_linear_model_beats_most_lines():
    weights, images, labels = make_problem(3)
    attack = attacks.PhysicalAttack(
        family="vessels", shapes=1, widths=(0.1, 0.1), restarts=8
    )
    result = run(attack, weights, images, labels, 0.05)
    rng = np.random.default_rng(0)
    ends = rng.uniform(0, 1, (400, 2, 2)) * [8, 11]
    lines = np.stack([line(start, end, 0.9) for start, end in ends])
    best = np.abs(np.tensordot(lines, weights[..., 0], 2)).max()
    assert np.all(gains(result, weights, images, labels) >= 0.97 * 0.05 * best)


@each_family
def test_a_field_is_never_larger_than_the_radius(family):
    kind = FAMILIES[family]
    count = kind.parameters * (5 if kind.shapes else 1)
    rng = np.random.default_rng(2)
    image = jnp.asarray(rng.uniform(size=SHAPE), jnp.float32)
    body = jnp.asarray(rng.uniform(size=(*SHAPE[:2], 1)), jnp.float32)
    scene = _scene(image, (0.5, 4.0))._replace(body=body, pivot=jnp.float32(0.3))
    corners = np.sign(rng.normal(size=(100, count)))
    drawn = np.concatenate([corners, rng.uniform(-1, 1, (100, count))])
    fields = jax.vmap(lambda p: kind.field(p, scene))(jnp.asarray(drawn, jnp.float32))
    highest = np.max(np.abs(fields), axis=(1, 2, 3))
    assert highest.max() <= 1 + 1e-6
    assert highest.max() > 0.9


@each_family
def test_derivatives_agree_with_finite_differences(family):
    kind = FAMILIES[family]
    rng = np.random.default_rng(4)
    image = jnp.asarray(rng.uniform(size=SHAPE), jnp.float32)
    weights = jnp.asarray(rng.normal(size=SHAPE), jnp.float32)
    scene = _scene(image, (1.0, 3.0))
    # Small heights: overlapping shapes do not reach the scale that is held fixed.
    parameters = jnp.asarray(rng.uniform(-0.4, 0.4, kind.parameters), jnp.float32)

    def total(parameters):
        return jnp.sum(weights * kind.field(parameters, scene))

    gradient = jax.jit(jax.grad(total))(parameters)
    for i in range(kind.parameters):
        step = jnp.zeros(kind.parameters).at[i].set(0.01)
        slope = (total(parameters + step) - total(parameters - step)) / 0.02
        np.testing.assert_allclose(gradient[i], slope, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("scale", [1e-4, 1e5])
def test_the_scale_and_shift_of_logits_do_not_matter(scale):
    weights, images, labels = make_problem()

    @functools.partial(jax.jit, static_argnames="attack")
    def gain(attack, scale, shift):
        def model(images):
            return scale * linear(weights, images) + shift

        key = jax.random.key(0)
        found = attack(model, key, images, labels, epsilon=0.05).adversarial
        return attacks.margin(linear(weights, found), labels)

    for attack in (
        attacks.PhysicalAttack(num_steps=20, restarts=2),
        attacks.SparsePixels(num_pixels=4, num_steps=2),
    ):
        plain = gain(attack, 1.0, 0.0)
        # What is added to small logits is rounded; a shift is tried on large ones.
        other = gain(attack, scale, 20.0 if scale > 1 else 0.0)
        np.testing.assert_allclose(plain, other, atol=1e-3)


def test_without_a_body_the_mask_is_the_body():
    weights, images, labels = make_problem()
    attack = attacks.PhysicalAttack(family="room", num_steps=10, restarts=1)
    body = half_plane_body()
    told = run(attack, weights, images, labels, 0.05, body, body)
    untold = run(attack, weights, images, labels, 0.05, None, body)
    np.testing.assert_array_equal(told.adversarial, untold.adversarial)
    changed = np.asarray(told.adversarial != images)
    assert not np.any(changed & ~body)


@pytest.mark.fast
def test_degrees_become_a_radius_by_the_window():
    assert attacks.epsilon_of_celsius(0.5) == pytest.approx(0.5 / 16)
    kelvin = attacks.epsilon_of_celsius(1.0, window=(20.0, 36.0), bounds=(20.0, 36.0))
    assert kelvin == 1.0
    with pytest.raises(ValueError, match="low < high"):
        attacks.epsilon_of_celsius(1.0, window=(38.0, 22.0))


@pytest.mark.fast
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"family": "fog"}, "family must be one of .*got 'fog'"),
        ({"shapes": 0}, "shapes must be at least 1"),
        ({"restarts": 0}, "restarts must be at least 1"),
        ({"step_size": -1.0}, "step_size must be positive"),
        ({"widths": (0.2, 0.1)}, "0 < low <= high"),
        ({"loss": "logit"}, "loss must be one of"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        attacks.PhysicalAttack(**settings)
