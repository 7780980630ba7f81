import numpy as np
import pytest
from scipy import ndimage

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


def test_smoothing_is_a_gaussian_blur_of_the_field():
    """A blurred field has the squared transfer function of the blur in its power."""
    settings = {"standard_deviation": 1.0, "log_slope": -2.0}
    sharp = texture.field_power_spectrum((64, 64), 2.0, **settings)
    blurred = texture.field_power_spectrum((64, 64), 2.0, smoothing_mm=3.0, **settings)
    rng = np.random.default_rng(2)
    fields = np.stack([texture.draw_field(rng, sharp) for _ in range(400)])
    fields = ndimage.gaussian_filter(fields, 3.0 / 2.0, mode="wrap", axes=(1, 2))
    power = np.mean(np.abs(np.fft.fft2(fields, norm="ortho")) ** 2, axis=0)
    # Both up to a common factor, as the deviation is fixed after the blur.
    low = blurred > 1e-3 * blurred.max()
    ratio = power[low] / power[low].mean() * blurred[low].mean() / blurred[low]
    assert low.sum() > 100
    assert ratio.mean() == pytest.approx(1.0, abs=0.03)
    assert 0.75 < ratio.min() < ratio.max() < 1.3


def test_smoothing_leaves_the_deviation():
    power = texture.field_power_spectrum(
        SHAPE, PIXEL, standard_deviation=0.3, log_slope=-4.4, smoothing_mm=12.0
    )
    assert power.mean() == pytest.approx(0.09)


def test_spectrum_is_shared_and_cannot_be_changed(spectrum):
    with pytest.raises(ValueError, match="read-only"):
        spectrum[0, 0] = 1.0
