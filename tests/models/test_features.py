"""Feature images: linear, complete, and of the promised shape."""

import functools

import jax
import numpy as np
import pytest
import pywt

from wbad_jax import models

# Float32 transforms of numbers of order 1.
ATOL = 3e-6


@functools.partial(jax.jit, static_argnames=("wavelet", "mode", "level", "mirrored"))
def run(images, **options):
    return models.feature_images(images, **options)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.fast
@pytest.mark.parametrize("mode", ["periodization", "symmetric"])
def test_linear(mode):
    first, second = draw(2, 13, 10, 1), draw(2, 13, 10, 1, seed=1)
    features = functools.partial(run, wavelet="haar", mode=mode)
    expected = 2 * features(first) - 3 * features(second)
    actual = features(2 * first - 3 * second)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=10 * ATOL)
    assert np.max(np.abs(actual)) > 1


@pytest.mark.fast
@pytest.mark.parametrize(("wavelet", "level"), [("haar", 1), ("haar", 3), ("db2", 2)])
def test_energy_is_preserved_up_to_the_scale(wavelet, level):
    images = draw(3, 16, 24, 2)
    features = run(images, wavelet=wavelet, level=level, mirrored=False)
    assert features.shape == (3, 16 // 2**level, 24 // 2**level, 2 * 4**level)
    # As many numbers as pixels: with equal energy for all images, nothing is lost.
    assert features.size == images.size
    energy = np.sum(np.square(features), axis=(1, 2, 3)) * 4**level
    np.testing.assert_allclose(energy, np.sum(images**2, axis=(1, 2, 3)), rtol=1e-5)


@pytest.mark.fast
def test_channels_are_the_subbands_coarsest_first():
    images = draw(1, 8, 12, 1)
    features = np.asarray(run(images, wavelet="haar", level=2, mirrored=False))
    approx, coarse, fine = pywt.wavedec2(images[0, ..., 0], "haar", "periodization", 2)
    folded = [
        band[row::2, column::2] for band in fine for row in (0, 1) for column in (0, 1)
    ]
    expected = np.stack([approx, *coarse, *folded], axis=-1) / 4
    np.testing.assert_allclose(features[0], expected, rtol=0, atol=ATOL)


@pytest.mark.fast
def test_approximation_keeps_the_range_of_the_image():
    flat = np.full((1, 16, 16, 1), 0.7, np.float32)
    features = np.asarray(run(flat, level=3, mirrored=False))
    np.testing.assert_allclose(features[..., 0], 0.7, rtol=1e-6)
    np.testing.assert_allclose(features[..., 1:], 0, atol=ATOL)


@pytest.mark.fast
@pytest.mark.parametrize("mode", ["periodization", "symmetric", "zero"])
@pytest.mark.parametrize(("size", "wavelet"), [((13, 10), "haar"), ((7, 9), "db2")])
def test_odd_sizes_lose_nothing(mode, size, wavelet):
    """Each pixel has a say: the map's matrix has as many independent rows as pixels."""
    pixels = size[0] * size[1]
    identity = np.eye(pixels, dtype=np.float32).reshape(pixels, *size, 1)
    features = run(identity, wavelet=wavelet, mode=mode, level=1)
    assert features.shape[-1] == models.num_features(1, 1, mirrored=True)
    if mode == "periodization":
        assert features.shape[1:3] == tuple(-(-n // 2) for n in size)
    plain = np.asarray(features)[..., ::2]  # Without the differences.
    assert np.linalg.matrix_rank(plain.reshape(pixels, -1), tol=1e-3) == pixels


@pytest.mark.fast
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("level", [1, 2])
def test_channel_count(channels, level):
    for mirrored in (False, True):
        features = jax.eval_shape(
            functools.partial(models.feature_images, level=level, mirrored=mirrored),
            jax.ShapeDtypeStruct((2, 24, 16, channels), np.float32),
        )
        assert features.shape[-1] == models.num_features(channels, level, mirrored)


@pytest.mark.fast
def test_mirrored_channels_change_sign_with_a_flip():
    """Of a flipped image, only the sign of the left-right difference changes."""
    images = draw(2, 8, 12, 1)
    straight = np.asarray(run(images, level=2))
    flipped = np.asarray(run(images[:, :, ::-1], level=2))
    np.testing.assert_allclose(flipped[..., 1::2], -straight[..., 1::2], atol=ATOL)
    assert np.max(np.abs(flipped[..., ::2] + straight[..., ::2])) > 0.1


@pytest.mark.fast
def test_symmetric_images_have_no_mirrored_features():
    half = draw(2, 8, 6, 1)
    images = np.concatenate([half, half[:, :, ::-1]], axis=2)
    features = np.asarray(run(images, level=2))
    np.testing.assert_array_equal(features[..., 1::2], 0)
    assert np.max(np.abs(features[..., ::2])) > 0.1
