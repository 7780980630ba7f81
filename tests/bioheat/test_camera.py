import numpy as np
import pytest

from wbad_jax.bioheat import camera

WINDOW = (22.0, 38.0)


def test_quantiser_keeps_a_temperature_within_half_a_level():
    celsius = np.linspace(22, 38, 1001)
    levels = camera.quantise(camera.to_window(celsius, WINDOW))
    assert levels.dtype == np.uint16
    back = camera.dequantise(levels) * 16 + 22
    np.testing.assert_allclose(back, celsius, atol=8 / 65535 + 4e-6)


def test_window_clips():
    np.testing.assert_array_equal(
        camera.to_window(np.array([0.0, 22, 30, 38, 50]), WINDOW), [0, 0, 0.5, 1, 1]
    )


def test_window_rejects_an_empty_range():
    with pytest.raises(ValueError, match="low < high"):
        camera.to_window(np.zeros(1), (30.0, 30.0))


def test_noise_has_the_variance_of_its_parts():
    rng = np.random.default_rng(0)
    settings = camera.Camera(noise_celsius=0.05, column_celsius=0.1, drift_celsius=0)
    noise = camera.draw_noise(rng, (200, 400), settings)
    columns = noise.mean(axis=0)
    assert (noise - columns).std() == pytest.approx(0.05, rel=0.02)
    assert columns.std() == pytest.approx(0.1, rel=0.15)


def test_blur_does_not_mix_body_and_background():
    mask = np.zeros((16, 16), bool)
    mask[:, 5:] = True
    scene = np.where(mask, 31.0, 20.0)
    blurred = camera.blur(scene, mask, camera.Camera(psf_sigma_pixels=1.0))
    np.testing.assert_allclose(blurred, scene)


def test_rejects_negative_noise():
    with pytest.raises(ValueError, match="noise_celsius >= 0, got -1"):
        camera.Camera(noise_celsius=-1)
