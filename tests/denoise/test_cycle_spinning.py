"""Averages over shifts against scikit-image and against every shift written out."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec
from skimage import restoration

from wbad_jax import denoise

ATOL = 1e-6


def ramp_filter(images, xp=jnp):
    """Depends on the position, so that no shift is like another."""
    rows = xp.arange(images.shape[-3])[:, None, None]
    columns = xp.arange(images.shape[-2])[:, None]
    return xp.where((rows + 2 * columns) % 3 == 0, images**2, 0.5 * images)


def draw(shape=(2, 5, 7, 2)):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.fast
@pytest.mark.parametrize("max_shifts", [0, 1, (2, 3), (0, 2), (3, 0)])
def test_matches_scikit_image(max_shifts):
    images = draw()
    spin = functools.partial(denoise.cycle_spin, ramp_filter, max_shifts=max_shifts)
    actual = jax.jit(spin)(images)
    for image, mean in zip(images, actual, strict=True):
        expected = restoration.cycle_spin(
            image,
            functools.partial(ramp_filter, xp=np),
            max_shifts,
            workers=1,
            channel_axis=-1,
        )
        np.testing.assert_allclose(mean, expected, rtol=0, atol=ATOL)


@pytest.mark.fast
def test_the_function_is_traced_a_fixed_number_of_times():
    def traces(max_shifts):
        calls = []

        def function(images):
            calls.append(images.shape)
            return images

        jax.make_jaxpr(lambda x: denoise.cycle_spin(function, x, max_shifts))(draw())
        return len(calls)

    assert traces(1) == traces(7)


@pytest.mark.fast
def test_gradients_in_both_modes(enable_x64):
    images = jnp.asarray(draw((1, 4, 5, 1)), jnp.float64)

    def spun(x):
        return denoise.cycle_spin(ramp_filter, x, (1, 2))

    def written_out(x):
        shifts = [(i, j) for i in range(2) for j in range(3)]
        results = [
            jnp.roll(ramp_filter(jnp.roll(x, s, (1, 2))), (-s[0], -s[1]), (1, 2))
            for s in shifts
        ]
        return sum(results) / len(results)

    for jacobian in (jax.jacfwd, jax.jacrev):
        actual, expected = (jax.jit(jacobian(f))(images) for f in (spun, written_out))
        np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.fast
def test_random_shifts_average_over_the_drawn_shifts(key):
    images = draw()

    @jax.jit
    def shifted(images):
        return denoise.random_shifts(ramp_filter, images, key, 4)

    drawn = np.asarray(jax.random.randint(key, (4, 2), 0, jnp.asarray([5, 7])))
    assert len({tuple(shift) for shift in drawn}) > 2
    expected = np.mean(
        [
            np.roll(ramp_filter(np.roll(images, s, (1, 2)), np), -s, (1, 2))
            for s in drawn
        ],
        axis=0,
    )
    np.testing.assert_allclose(shifted(images), expected, rtol=0, atol=ATOL)
    # In a loop, as an attack calls it.
    looped = jax.jit(lambda x: jax.lax.fori_loop(0, 2, lambda _, y: shifted(y), x))
    np.testing.assert_allclose(looped(images), shifted(shifted(images)), atol=ATOL)


@pytest.mark.fast
def test_under_shard_map(key):
    mesh = Mesh(np.array(jax.devices()[:1]), ("data",))
    spec = PartitionSpec("data")

    def both(images):
        return (
            denoise.cycle_spin(ramp_filter, images, 1),
            denoise.random_shifts(ramp_filter, images, key, 2),
        )

    sharded = jax.shard_map(both, mesh=mesh, in_specs=spec, out_specs=spec)
    for actual, expected in zip(jax.jit(sharded)(draw()), both(draw()), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=0, atol=ATOL)


@pytest.mark.fast
def test_shifts_that_cannot_be_are_refused(key):
    with pytest.raises(ValueError, match=r"max_shifts must not be negative, got \(1,"):
        denoise.cycle_spin(ramp_filter, draw(), (1, -2))
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        denoise.random_shifts(ramp_filter, draw(), key, 0)


@pytest.mark.fast
def test_the_denoiser_spins():
    images = draw((1, 8, 10, 1))
    settings = denoise.DenoiserSettings(threshold_rule="fixed", threshold=0.8, level=1)
    spinning = denoise.DenoiserSettings(
        threshold_rule="fixed", threshold=0.8, level=1, max_shifts=1
    )
    plain = functools.partial(denoise.wavelet_denoise, settings=settings)
    actual = jax.jit(functools.partial(denoise.wavelet_denoise, settings=spinning))(
        images
    )
    expected = jax.jit(lambda x: denoise.cycle_spin(plain, x, 1))(images)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=ATOL)
    assert np.max(np.abs(actual - plain(images))) > 0.01
