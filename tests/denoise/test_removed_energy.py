"""Energy that a denoiser removes: known where coefficients are known."""

import jax
import numpy as np
import pytest
import pywt

from wbad_jax import denoise

SHAPE = (16, 24)
SETTINGS = denoise.DenoiserSettings(
    wavelet="db2", mode="periodization", level=2, threshold_rule="fixed", threshold=0.1
)


def image_of(band, coefficients):
    """An image all of whose details lie in one subband (level, orientation)."""
    level, orientation = band
    details = []
    for number in (2, 1):
        shape = (SHAPE[0] >> number, SHAPE[1] >> number)
        bands = [np.zeros(shape) for _ in range(3)]
        if number == level:
            bands[orientation][:] = coefficients(shape)
        details.append(tuple(bands))
    approx = np.full((SHAPE[0] // 4, SHAPE[1] // 4), 2.0)
    image = pywt.waverec2([approx, *details], "db2", mode="periodization")
    return np.float32(image[None, :, :, None])


@jax.jit
def energies(images):
    denoised = denoise.wavelet_denoise(images, SETTINGS)
    return denoise.removed_energy(images, denoised, SETTINGS)


@pytest.mark.fast
@pytest.mark.parametrize("level", [1, 2])
@pytest.mark.parametrize("orientation", [0, 1, 2])
def test_what_soft_thresholding_takes_out_of_one_subband(level, orientation):
    rng = np.random.default_rng(level + 3 * orientation)
    kept = []

    def draw(shape):
        kept.append(rng.normal(0, 0.2, shape))
        return kept[0]

    found = energies(image_of((level, orientation), draw))[0]
    # Soft thresholding takes min(|c|, t) off each coefficient.
    removed = np.sum(np.minimum(np.abs(kept[0]), 0.1) ** 2) / (SHAPE[0] * SHAPE[1])
    names = denoise.subband_names(2)
    word = ("horizontal", "vertical", "diagonal")[orientation]
    index = names.index(f"level{level}_{word}")
    expected = np.zeros(6)
    expected[index] = removed
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-9)


@pytest.mark.fast
def test_the_approximation_band_adds_nothing():
    bump = np.kron(np.random.default_rng(0).normal(size=(4, 6)), np.ones((4, 4)))
    settings = denoise.DenoiserSettings(
        wavelet="haar", level=2, threshold_rule="fixed", threshold=0.1
    )
    images = np.float32(bump[None, :, :, None])
    denoised = denoise.wavelet_denoise(images, settings)
    found = denoise.removed_energy(images, denoised, settings)
    np.testing.assert_allclose(found, 0, atol=1e-12)


@pytest.mark.fast
def test_channels_add_up_and_neighbours_do_not_matter():
    rng = np.random.default_rng(1)
    images = np.float32(rng.normal(size=(3, *SHAPE, 2)))
    together = np.asarray(energies(images))
    assert together.shape == (3, 6)
    alone = np.concatenate([energies(images[i : i + 1]) for i in range(3)])
    np.testing.assert_allclose(together, alone, rtol=1e-6)
    apart = sum(np.asarray(energies(images[..., c : c + 1])) for c in range(2))
    np.testing.assert_allclose(together, apart, rtol=1e-5)


@pytest.mark.fast
def test_averages_over_shifts_are_measured_too():
    settings = denoise.DenoiserSettings(
        wavelet="haar", mode="periodization", level=1, max_shifts=1, sigma=0.05
    )
    rng = np.random.default_rng(2)
    images = np.float32(rng.normal(size=(1, *SHAPE, 1)))
    denoised = denoise.wavelet_denoise(images, settings)
    found = denoise.removed_energy(images, denoised, settings)
    # The transform keeps energy; what of it is in the approximation is not counted.
    approx, details = pywt.dwt2(
        np.asarray(images - denoised)[0, ..., 0], "haar", mode="periodization"
    )
    expected = [np.sum(band**2) / images[0].size for band in details]
    np.testing.assert_allclose(found[0], expected, rtol=1e-4)
    assert np.sum(approx**2) > 0
