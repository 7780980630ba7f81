"""Augmentation against scipy.ndimage and closed forms."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import ndimage, stats

from wbad_jax import training
from wbad_jax.training import AugmentationSettings, augment
from wbad_jax.training.augmentation import recalibrate, rotate_and_shift
from wbad_jax.types import Batch

ALL = AugmentationSettings(
    flip=True,
    max_rotation_degrees=15.0,
    max_shift_pixels=2.5,
    max_gain=0.2,
    max_offset=0.1,
)
# Positions in float32, some 1e-6 pixels off, times differences of pixels up to 1.
ATOL = 2e-5
run = jax.jit(augment, static_argnums=(2, 3))


def draw(n=6, height=11, width=8, channels=2, low=0.0, high=1.0):
    rng = np.random.default_rng(0)
    images = rng.uniform(low, high, (n, height, width, channels))
    return images.astype(np.float32)


@pytest.mark.fast
@pytest.mark.parametrize("size", [(11, 8), (8, 8), (9, 9)])
def test_rotation_and_shift_match_scipy(size):
    images = draw(5, *size)
    degrees = np.array([0.0, 90.0, -13.0, 37.5, 171.0])
    shifts = np.array([[1.5, -2.0], [0, 0], [0.25, 3.0], [-4.5, 1.0], [20.0, 0.0]])
    actual = jax.jit(rotate_and_shift)(images, degrees, shifts)
    for index, (angle, shift) in enumerate(zip(degrees, shifts, strict=True)):
        turned = np.deg2rad(angle)
        matrix = np.array(
            [[np.cos(turned), np.sin(turned)], [-np.sin(turned), np.cos(turned)]]
        )
        centre = (np.array(size) - 1) / 2
        offset = centre - matrix @ (centre + shift)
        for channel in range(2):
            expected = ndimage.affine_transform(
                images[index, ..., channel].astype(np.float64), matrix, offset,
                order=1, mode="nearest",
            )  # fmt: skip
            np.testing.assert_allclose(
                actual[index, ..., channel], expected, rtol=0, atol=ATOL
            )


@pytest.mark.fast
def test_directions_are_those_of_scipy_rotate_and_shift():
    image = draw(1, 9, 9, 1)
    turned = rotate_and_shift(image, np.array([20.0]), np.zeros((1, 2)))
    moved = rotate_and_shift(image, np.zeros(1), np.array([[2.0, -1.5]]))
    options = {"order": 1, "mode": "nearest"}
    plain = image[0, ..., 0].astype(np.float64)
    expected = ndimage.rotate(plain, 20.0, reshape=False, **options)
    np.testing.assert_allclose(turned[0, ..., 0], expected, rtol=0, atol=ATOL)
    expected = ndimage.shift(plain, (2.0, -1.5), **options)
    np.testing.assert_allclose(moved[0, ..., 0], expected, rtol=0, atol=ATOL)


@pytest.mark.fast
@pytest.mark.parametrize("each", [1, 2])
def test_gain_and_offset_in_closed_form(each):
    images = draw()
    gains = np.repeat([0.5, 1.0, 1.8], 2) + np.tile([0, 0.1 * (each == 1)], 3)
    offsets = np.repeat([-0.2, 0.0, 0.3], 2)
    actual = recalibrate(images, gains, offsets, each)
    groups = images.astype(np.float64).reshape(6 // each, -1).mean(axis=1)
    means = np.repeat(groups, each)[:, None, None, None]
    gains, offsets = gains[:, None, None, None], offsets[:, None, None, None]
    unclipped = means + gains * (images - means) + offsets
    assert unclipped.min() < -0.1
    assert unclipped.max() > 1.1
    np.testing.assert_allclose(actual, np.clip(unclipped, 0, 1), rtol=0, atol=1e-6)


@pytest.mark.fast
def test_flips_mirror_half_of_the_groups_alike(key):
    images = draw(400, 3, 4, 1)
    changed = np.asarray(run(key, images, AugmentationSettings(flip=True), 2))
    mirrored = np.all(changed == images[:, :, ::-1], axis=(1, 2, 3))
    kept = np.all(changed == images, axis=(1, 2, 3))
    assert np.all(mirrored ^ kept)
    np.testing.assert_array_equal(mirrored[::2], mirrored[1::2])
    assert 70 < mirrored[::2].sum() < 130  # 200 fair coins: 6 in 100,000 fall outside


@pytest.mark.fast
def test_draws_are_uniform_up_to_the_limit_and_each_its_own(key):
    # One pixel differs in a constant image: values stay far from the clipping.
    images = np.full((500, 4, 4, 1), 0.5, np.float32)
    images[:, 0, 0] = 0.6
    settings = AugmentationSettings(max_gain=0.2, max_offset=0.1)
    changed = np.asarray(run(key, images, settings, 1), np.float64)
    gains = (changed[:, 0, 0, 0] - changed[:, 1, 1, 0]) / 0.1
    offsets = changed.mean(axis=(1, 2, 3)) - images[0].mean()
    for draws, middle, size in ((gains, 1.0, 0.2), (offsets, 0.0, 0.1)):
        assert np.all(np.abs(draws - middle) <= size + 1e-5)
        assert len(np.unique(np.round(draws, 6))) > 450
        np.testing.assert_allclose(draws.mean(), middle, atol=size / 6)
        np.testing.assert_allclose(draws.std(), size / np.sqrt(3), rtol=0.1)
    assert abs(np.corrcoef(gains, offsets)[0, 1]) < 0.2


@pytest.mark.fast
def test_rotation_and_shift_stay_within_their_limits(key):
    """A ramp tells the shift, its slope the angle."""
    rows, columns = np.mgrid[:41, :41].astype(np.float32)
    ramps = np.stack([rows, columns], axis=-1)[None] / 40
    images = np.broadcast_to(ramps, (200, *ramps.shape[1:]))
    settings = AugmentationSettings(max_rotation_degrees=12.0, max_shift_pixels=3.0)
    changed = 40 * np.asarray(run(key, images, settings, 1), np.float64)
    middle = changed[:, 20, 20]
    slopes = (changed[:, 22, 20] - changed[:, 18, 20]) / 4
    angles = np.rad2deg(np.arctan2(-slopes[:, 1], slopes[:, 0]))
    turns = np.deg2rad(angles)
    moved = 20 - middle
    rotation = [[np.cos(turns), -np.sin(turns)], [np.sin(turns), np.cos(turns)]]
    shifts = np.einsum("ijn,nj->ni", rotation, moved)
    assert np.all(np.abs(angles) <= 12.01)
    assert np.all(np.abs(shifts) <= 3.01)
    for draws, size in ((angles, 12), (shifts[:, 0], 3), (shifts[:, 1], 3)):
        np.testing.assert_allclose(draws.std(), size / np.sqrt(3), rtol=0.15)
        assert abs(draws.mean()) < size / 6
    assert abs(np.corrcoef(shifts.T)[0, 1]) < 0.25


@pytest.mark.fast
def test_twins_keep_their_difference(key):
    """No gain, offset or motion of one twin alone could be taken for a tumour."""
    healthy = draw(4, 12, 12, 1, low=0.4, high=0.5)
    tumour = np.zeros_like(healthy)
    tumour[:, 5:7, 5:7] = 0.05
    images = np.stack([healthy, healthy + tumour], axis=1).reshape(8, 12, 12, 1)
    changed = np.asarray(run(key, images, ALL, 2))
    difference = changed[1::2] - changed[::2]
    # Nothing where there was nothing, and the tumour times a gain where it was.
    assert np.all(np.abs(difference[:, :2]) < 1e-6)
    assert np.all(difference > -1e-6)
    total = difference.sum(axis=(1, 2, 3)) / tumour[0].sum()
    assert np.all((total > 0.75) & (total < 1.3))
    assert np.ptp(total) > 0.01
    alone = np.asarray(run(key, images, ALL, 1))
    assert np.max(np.abs((alone[1::2] - alone[::2])[:, :2])) > 1e-2


@pytest.mark.fast
def test_noise_is_normal_not_clipped_and_each_image_s_own(key):
    images = np.zeros((40, 16, 16, 1), np.float32)
    images[::2] = 1.0
    settings = AugmentationSettings(noise_sigma=0.25)
    changed = np.asarray(run(key, images, settings, 2), np.float64)
    noise = (changed - images) / 0.25
    assert stats.kstest(noise.ravel(), "norm").pvalue > 1e-3
    flat = noise.reshape(40, -1)
    correlations = np.corrcoef(flat) - np.eye(40)
    assert np.abs(correlations).max() < 0.3  # also of the images of one group
    assert changed.min() < -0.5
    assert changed.max() > 1.5
    # It comes last: what the others make is the same without it.
    plain = np.asarray(run(key, images, ALL, 2))
    both = np.asarray(run(key, images, dataclasses.replace(ALL, noise_sigma=0.25), 2))
    np.testing.assert_allclose(both - plain, 0.25 * noise, atol=1e-5)


@pytest.mark.fast
def test_a_function_of_the_key_in_one_trace(key):
    traces = []

    @jax.jit
    def counted(key, images):
        traces.append(None)
        return augment(key, images, ALL)

    images = draw()
    first, again = counted(key, images), counted(key, images)
    other = counted(jax.random.fold_in(key, 1), images * 0.9)
    np.testing.assert_array_equal(first, again)
    assert np.max(np.abs(first - other)) > 0.05
    assert len(traces) == 1
    assert first.shape == images.shape
    assert first.dtype == images.dtype
    assert np.all((first >= 0) & (first <= 1))


@pytest.mark.fast
def test_off_is_the_identity(key):
    images = jnp.asarray(draw()) * 2  # not even clipped
    settings = AugmentationSettings()
    assert not settings.active
    assert augment(key, images, settings) is images
    assert ALL.active


@pytest.mark.fast
def test_one_change_does_not_alter_the_draws_of_another(key):
    images = draw(6, 9, 9, 1, low=0.4, high=0.6)
    gain = AugmentationSettings(max_gain=0.2)
    both = AugmentationSettings(max_gain=0.2, max_rotation_degrees=10.0, flip=True)
    # The gain scales the spread of values about the mean, whatever else is done first.
    moved = run(key, images, AugmentationSettings(
        max_rotation_degrees=10.0, flip=True), 1)  # fmt: skip
    expected = run(key, moved, gain, 1)
    np.testing.assert_allclose(run(key, images, both, 1), expected, atol=1e-6)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_rotation_degrees", -1.0),
        ("max_rotation_degrees", 181.0),
        ("max_shift_pixels", float("inf")),
        ("max_gain", 1.5),
        ("max_offset", float("nan")),
        ("noise_sigma", -0.1),
    ],
)
def test_settings_refuse(field, value):
    with pytest.raises(ValueError, match=f"{field} must be between 0 and .*{value}"):
        AugmentationSettings(**{field: value})


@pytest.mark.fast
@pytest.mark.parametrize("each", [0, 4])
def test_groups_divide_the_batch(each, key):
    with pytest.raises(ValueError, match=f"divide a batch of 6, got {each}"):
        augment(key, draw(), ALL, each)


def make_step(settings):
    """A step whose metrics show what the objective was given."""

    def craft(params, key, batch, budgets):
        del params, budgets
        return {"draw": jax.random.uniform(key), "images": batch.images}

    def value(params, batch, versions):
        del batch
        seen = jnp.sum(versions["images"] ** 2, axis=(1, 2, 3))
        loss = jnp.sum(params["w"] * seen)
        return loss, {"draw": versions["draw"], "seen": jnp.sum(seen)}

    objective = training.Objective(craft, value)
    optimizer = optax.sgd(1e-3)
    state = training.init_state({"w": jnp.ones(6)}, optimizer)
    change = functools.partial(augment, settings=settings, each=2)
    augmenting = change if settings.active else None
    return training.make_train_step(objective, optimizer, augment=augmenting), state


def batch_at(step):
    images = draw() * (1 - 0.05 * step)
    return Batch(images, np.zeros(6, np.int32), np.ones(6, np.float32))


@pytest.mark.fast
def test_steps_augment_anew_and_leave_other_draws_alone(key):
    metrics = {}
    for name, settings in {"on": ALL, "off": AugmentationSettings()}.items():
        step, state = make_step(settings)
        metrics[name] = []
        for _ in range(3):
            state, values = step(state, batch_at(0), key, {})
            metrics[name].append(values)
        assert step._cache_size() == 1
    for on, off in zip(metrics["on"], metrics["off"], strict=True):
        assert on["draw"] == off["draw"]
        assert on["seen"] != off["seen"]
    assert len({float(values["seen"]) for values in metrics["on"]}) == 3
    np.testing.assert_allclose(
        metrics["off"][0]["seen"], np.sum(np.square(draw())), rtol=1e-5
    )


@pytest.mark.fast
def test_a_resumed_run_sees_the_same_images(key):
    step, state = make_step(ALL)
    for index in range(2):
        state, _ = step(state, batch_at(index), key, {})
    saved = jax.tree.map(np.array, state)
    finished = []
    for start in (state, jax.tree.map(jnp.asarray, saved)):
        continued, _ = make_step(ALL)
        for index in range(2, 4):
            start, values = continued(start, batch_at(index), key, {})
        finished.append((start, values))
    jax.tree.map(np.testing.assert_array_equal, *finished)
