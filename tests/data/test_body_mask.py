import numpy as np
import pytest

from wbad_jax.data import body_mask, errors


@pytest.fixture
def exposure():
    """A warm body in the middle, a cool wall."""
    celsius = np.full((48, 64), 22.0)
    celsius += np.random.default_rng(0).normal(0, 0.1, celsius.shape)
    celsius[8:, 16:48] += 9.0
    return celsius


def test_finds_the_body(exposure):
    mask = body_mask.find_body(exposure, "T0001.txt")
    expected = np.zeros_like(mask)
    expected[8:, 16:48] = True
    np.testing.assert_array_equal(mask, expected)


def test_another_warm_object_does_not_matter(exposure):
    alone = body_mask.find_body(exposure, "T0001.txt")
    exposure[2:14, 2:12] = 31.0
    np.testing.assert_array_equal(body_mask.find_body(exposure, "x"), alone)


def test_fills_cool_skin_but_not_a_gap_to_the_wall(exposure):
    exposure[20:24, 20:24] = 26.0
    exposure[20:24, 30:34] = 22.0
    mask = body_mask.find_body(exposure, "T0001.txt")
    assert mask[20:24, 20:24].all()
    assert not mask[20:24, 30:34].any()


def test_rejects_a_constant_image():
    with pytest.raises(errors.DataError, match="T0009.txt: .*every temperature is 30"):
        body_mask.find_body(np.full((8, 8), 30.0), "T0009.txt")


def test_rejects_a_body_of_implausible_size():
    celsius = np.full((40, 40), 22.0)
    celsius[:5, :5] = 33.0
    with pytest.raises(errors.DataError, match="T0009.txt: .* covers 1.6%"):
        body_mask.find_body(celsius, "T0009.txt")


def test_shrink_keeps_the_wall_out_of_the_body(exposure):
    mask = body_mask.find_body(exposure, "T0001.txt")
    exposure[mask] = 31.0
    small, inside = body_mask.shrink(exposure, mask, (13, 17))
    np.testing.assert_allclose(small[inside], 31.0, atol=1e-9)
    assert not small[~inside].any()
    assert inside.mean() == pytest.approx(mask.mean(), abs=0.05)


def test_shrink_averages_noise_away(exposure):
    everywhere = np.ones_like(exposure, bool)
    noise = np.random.default_rng(0).normal(30, 0.5, exposure.shape)
    small, _ = body_mask.shrink(noise, everywhere, (12, 16))
    assert small.std() < 0.2


@pytest.fixture
def plate():
    """Skin with a cold fold, and a tilted plate below it."""
    celsius = np.full((240, 320), 32.0)
    celsius[:, 100:220] -= 2.0 * np.exp(-(((np.arange(120) - 60) / 25) ** 2))
    rows, columns = np.mgrid[:240, :320]
    tilted = abs(rows - 170) + abs(columns - 150) < 18
    celsius[tilted] = 26.0
    return celsius, tilted


def test_the_marker_is_found_with_its_rim(plate):
    celsius, tilted = plate
    found = body_mask.find_marker(celsius, np.ones_like(tilted), 1.4)
    assert found[tilted].all()
    assert found.sum() < 2 * tilted.sum()


def test_skin_without_a_marker_has_none(plate):
    celsius, tilted = plate
    celsius[tilted] = 31.0
    assert not body_mask.find_marker(celsius, np.ones_like(tilted), 1.4).any()


def test_a_cold_spot_away_from_the_midline_is_no_marker(plate):
    celsius, tilted = plate
    body = np.ones_like(tilted)
    shifted = np.roll(celsius, 120, axis=1)
    assert not body_mask.find_marker(shifted, body, 1.4).any()
