"""Denoising in the stationary transform: an average over all shifts, level by level."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wbad_jax import denoise, wavelets
from wbad_jax.denoise.decomposition import decompose, recompose
from wbad_jax.denoise.settings import PADDING

ATOL = 2e-6


def draw(shape=(2, 16, 24, 1), seed=0):
    images = np.random.default_rng(seed).normal(0.5, 0.1, shape)
    return images.astype(np.float32)


def settings_of(rule="universal", **changes):
    return denoise.DenoiserSettings(threshold_rule=rule, stationary=True, **changes)


@functools.partial(jax.jit, static_argnames="settings")
def run(images, settings):
    return denoise.wavelet_denoise(images, settings)


@pytest.mark.fast
@pytest.mark.parametrize("shrinkage", ["soft", "hard"])
@pytest.mark.parametrize(("wavelet", "level"), [("haar", 1), ("haar", 2), ("db2", 1)])
def test_equals_the_mean_over_all_shifts(wavelet, level, shrinkage):
    """Of the decimated transform with periodization, under a fixed threshold."""
    fixed = {
        "wavelet": wavelet,
        "level": level,
        "shrinkage": shrinkage,
        "threshold": 0.15,
    }
    actual = run(draw(), settings_of("fixed", **fixed))
    shifting = denoise.DenoiserSettings(
        threshold_rule="fixed",
        mode="periodization",
        max_shifts=2**level - 1,
        **fixed,
    )
    expected = run(draw(), shifting)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=ATOL)
    assert np.max(np.abs(actual - draw())) > 0.05


@pytest.mark.fast
@pytest.mark.parametrize("mode", sorted(PADDING))
@pytest.mark.parametrize("size", [(16, 24), (13, 18), (5, 31)])
def test_zero_threshold_is_the_identity_at_any_size(size, mode):
    images = draw((2, *size, 2))
    actual = run(images, settings_of("fixed", mode=mode))
    assert actual.shape == images.shape
    np.testing.assert_allclose(actual, images, rtol=0, atol=ATOL)


@pytest.mark.fast
def test_images_are_filled_up_by_their_boundary_mode():
    images = draw((1, 6, 7, 1))
    approx, details = decompose(images, settings_of(mode="symmetric"))
    filled = np.pad(images, [(0, 0), (0, 2), (0, 1), (0, 0)], mode="symmetric")
    expected = wavelets.swt2(filled, "haar", 2, trim_approx=True)
    for actual, want in zip(
        jax.tree.leaves((approx, details)), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_allclose(actual, want, rtol=0, atol=ATOL)


@pytest.mark.fast
@pytest.mark.parametrize("wavelet", ["haar", "db2"])
def test_white_noise_has_one_sigma_in_all_subbands(wavelet):
    """So that one sigma, estimated from the finest subband, serves every level."""
    images = draw((4, 128, 128, 1))
    _, details = decompose(images, settings_of(wavelet=wavelet, level=3))
    # Standard error of the coarsest: a hundredth, for 4 x 16 x 16 free coefficients
    # several times over.
    for bands in details:
        for band in bands:
            np.testing.assert_allclose(np.std(band), 0.1, rtol=0.06)
    sigma = denoise.noise_sigma(images, wavelet)
    np.testing.assert_allclose(sigma, 0.1, rtol=0.05)


@pytest.mark.fast
def test_removes_more_noise_than_the_decimated_transform():
    rows, columns = np.indices((64, 64)) / 64
    clean = (0.3 + 0.4 * ((rows - 0.5) ** 2 + (columns - 0.4) ** 2 < 0.07))[..., None]
    noisy = (clean + draw((4, 64, 64, 1)) - 0.5).astype(np.float32)
    error = {
        stationary: np.mean(
            np.square(
                run(noisy, denoise.DenoiserSettings(level=3, stationary=stationary))
                - clean
            )
        )
        for stationary in (False, True)
    }
    assert error[True] < 0.8 * error[False]


@pytest.mark.fast
@pytest.mark.parametrize("rule", [r for r in denoise.RULES if r != "fixed"])
def test_every_rule_runs_and_commutes_with_shifts(rule):
    """Shifted images give shifted results, which no decimated transform offers."""
    settings = settings_of(rule)
    images = draw((1, 16, 16, 2))
    denoiser = jax.jit(denoise.Denoiser(settings, 16 * 16, 2))
    plain = denoiser(images)
    shifted = denoiser(jnp.roll(images, (1, 3), (1, 2)))
    np.testing.assert_allclose(
        shifted, jnp.roll(plain, (1, 3), (1, 2)), rtol=0, atol=ATOL
    )
    assert np.max(np.abs(plain - images)) > 0.01


@pytest.mark.fast
@pytest.mark.parametrize("stationary", [False, True])
def test_recompose_inverts_decompose(stationary):
    settings = denoise.DenoiserSettings(stationary=stationary, wavelet="db2", level=1)
    images = draw((2, 9, 14, 1))
    again = recompose(*decompose(images, settings), settings, (9, 14))
    np.testing.assert_allclose(again, images, rtol=0, atol=ATOL)
