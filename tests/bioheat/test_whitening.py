import dataclasses

import numpy as np
import pytest

from wbad_jax.bioheat import texture, whitening
from wbad_jax.bioheat.camera import draw_exposure
from wbad_jax.bioheat.cohort import CohortSettings

pytestmark = pytest.mark.fast
SETTINGS = CohortSettings(shape=(24, 20), field_celsius=0.2)
POWER = whitening.residual_power_spectrum(SETTINGS)


def half_mask():
    mask = np.zeros(SETTINGS.shape, bool)
    mask[4:20, 3:15] = True
    mask[8, 9] = False
    return mask


def draw_residual(rng, settings):
    """Field and camera noise, drawn by the functions that make images."""
    exposure = draw_exposure(rng, settings.shape, settings.camera)
    noise = exposure.white + exposure.columns + exposure.offset
    return texture.draw_field(rng, settings.field_spectrum) + noise


def test_without_a_mask_it_is_division_in_the_fourier_domain():
    rest = np.random.default_rng(0).standard_normal(SETTINGS.shape)
    white = whitening.whiten_body(POWER, np.ones(SETTINGS.shape, bool))
    modes = np.fft.fft2(rest, norm="ortho")
    expected = np.sum(np.abs(modes) ** 2 / POWER)
    assert np.sum((white.matrix @ rest.ravel()) ** 2) == pytest.approx(
        expected, rel=1e-4
    )


def test_images_of_the_model_have_the_chi_square_of_their_pixels():
    # Without blur and rounding, which the draws here leave out.
    camera = dataclasses.replace(
        SETTINGS.camera, psf_sigma_pixels=0.0, quantum_celsius=0.0
    )
    settings = dataclasses.replace(SETTINGS, camera=camera)
    power = whitening.residual_power_spectrum(settings)
    white = whitening.whiten_body(power, half_mask())
    rng, draws = np.random.default_rng(1), 200
    values = [
        np.sum((white.matrix @ draw_residual(rng, settings).ravel()) ** 2)
        for _ in range(draws)
    ]
    spread = np.sqrt(2 * white.count / draws)
    assert abs(np.mean(values) - white.count) < 4 * spread
    assert np.var(values) == pytest.approx(2 * white.count, rel=0.4)


def test_nothing_outside_the_body_counts():
    white = whitening.whiten_body(POWER, half_mask())
    outside = np.where(half_mask(), 0.0, 1e3).ravel()
    assert not (white.matrix @ outside).any()
    assert white.count == half_mask().sum()


def test_coarse_bands_are_free_and_fine_ones_are_not():
    free = whitening.free_coarse_bands(POWER, SETTINGS, 20.0)
    white = whitening.whiten_body(free, half_mask())
    rows, columns = np.indices(SETTINGS.shape)
    smooth = 5 * np.cos(2 * np.pi * rows / 24)  # 72 mm
    fine = 5 * np.cos(np.pi * (rows + columns))  # 6 mm along each axis

    def chi_square(image):
        return np.sum((white.matrix @ image.ravel()) ** 2)

    assert chi_square(smooth) < 2
    assert chi_square(fine) > 1e4


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros(SETTINGS.shape, bool), r"mask needs bool \(24, 20\).* 0 pixels"),
        (np.ones((8, 8), bool), r"mask needs bool \(24, 20\).*\(8, 8\)"),
        (np.ones(SETTINGS.shape), "got float64"),
    ],
)
def test_bad_masks_are_named(mask, message):
    with pytest.raises(ValueError, match=message):
        whitening.whiten_body(POWER, mask)


def test_large_images_are_refused():
    power = np.ones((128, 128))
    with pytest.raises(ValueError, match="at most 8192 pixels, got 16384"):
        whitening.whiten_body(power, np.ones((128, 128), bool))
