import numpy as np
import pytest

from wbad_jax.bioheat import texture

SHAPE, PIXEL = (48, 64), 7.0


@pytest.fixture
def spectrum():
    return texture.field_power_spectrum(
        SHAPE, PIXEL, standard_deviation=0.3, log_slope=-4.4
    )


def test_spectrum_is_the_covariance_of_the_field(spectrum):
    rng = np.random.default_rng(0)
    fields = np.stack([texture.draw_field(rng, spectrum) for _ in range(800)])
    periodogram = np.mean(np.abs(np.fft.fft2(fields, norm="ortho")) ** 2, axis=0)
    ratio = periodogram[spectrum > 0] / spectrum[spectrum > 0]
    # The mean of 800 squared normals has a standard deviation of at most 5 %.
    assert ratio.min() > 0.75
    assert ratio.max() < 1.3
    assert ratio.mean() == pytest.approx(1.0, abs=0.005)


def test_field_is_stationary_with_the_wanted_deviation(spectrum):
    rng = np.random.default_rng(1)
    fields = np.stack([texture.draw_field(rng, spectrum) for _ in range(800)])
    assert fields.std() == pytest.approx(0.3, rel=0.02)
    assert fields.std(axis=0).min() > 0.3 * 0.85
    assert fields.std(axis=0).max() < 0.3 * 1.15


def test_spectrum_has_the_wanted_slope_above_its_knee():
    power = texture.field_power_spectrum(
        (256, 256), 0.7, standard_deviation=1.0, log_slope=-4.4
    )
    slope = np.log(power[0, 60] / power[0, 30]) / np.log(2)
    assert slope == pytest.approx(-4.4, abs=0.1)


def test_no_field_for_deviation_zero():
    power = texture.field_power_spectrum(
        SHAPE, PIXEL, standard_deviation=0.0, log_slope=-4.4
    )
    assert not texture.draw_field(np.random.default_rng(0), power).any()


def test_veins_warm_and_saturate():
    rng = np.random.default_rng(3)
    veins = texture.veins(rng, SHAPE, PIXEL, [(0.0, 0.0, 1.0)] * 200)
    assert veins.min() >= 0
    assert 1.0 < veins.max() <= 1.8


def test_a_vein_has_the_same_height_on_two_grids():
    def peak(scale):
        rng = np.random.default_rng(4)
        shape = (96 * scale, 96 * scale)
        return texture.veins(rng, shape, 4.0 / scale, [(0.0, 0.0, 0.3)] * 2).max()

    assert peak(2) == pytest.approx(peak(1), rel=0.15)
