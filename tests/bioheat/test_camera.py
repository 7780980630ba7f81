import dataclasses
from typing import Any

import numpy as np
import pytest

from wbad_jax.bioheat import camera
from wbad_jax.bioheat.camera import Camera, draw_exposure, take_image

WINDOW = (22.0, 38.0)
ROOM = 22.6
SILENT: dict[str, Any] = {
    "noise_celsius": 0.0,
    "column_celsius": 0.0,
    "drift_celsius": 0.0,
    "gain": 0.0,
    "quantum_celsius": 0.0,
}


def scene(size=32, seed=0):
    """A body, seen face on in the middle and slanted at its sides, before a wall."""
    columns = np.linspace(-1, 1, size)
    mask = np.zeros((size, size), bool)
    mask[3:, size // 8 : -size // 8] = True
    facing = np.broadcast_to(np.sqrt(1 - columns**2), mask.shape)
    skin = 31 + np.random.default_rng(seed).normal(0, 1, mask.shape)
    return np.where(mask, skin, np.nan), mask, facing


def exposure(shape, settings, seed=0, **more):
    return draw_exposure(np.random.default_rng(seed), shape, settings, **more)


def picture(settings, seed=0, **more):
    skin, mask, facing = scene()
    return take_image(
        skin, mask, facing, ROOM, exposure(mask.shape, settings, seed, **more), settings
    )


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


def test_a_camera_without_flaws_shows_skin_and_wall():
    settings = Camera(**SILENT, psf_sigma_pixels=0, emissivity=1)
    skin, mask, _ = scene()
    np.testing.assert_allclose(
        picture(settings), np.where(mask, skin, ROOM), atol=1e-12
    )


def test_noise_has_the_variance_of_its_parts():
    settings = Camera(noise_celsius=0.05, column_celsius=0.1)
    drawn = exposure((200, 400), settings)
    assert drawn.white.std() == pytest.approx(0.05, rel=0.02)
    assert drawn.columns.std() == pytest.approx(0.1, rel=0.1)
    neighbours = (drawn.white[:, 1:] * drawn.white[:, :-1]).mean() / 0.05**2
    assert abs(neighbours) < 0.02


def test_offset_and_gain_have_their_spread_and_are_independent():
    settings = Camera(drift_celsius=0.2, gain=0.01)
    rng = np.random.default_rng(1)
    drawn = [draw_exposure(rng, (2, 2), settings) for _ in range(2000)]
    offset, gain = np.array([(one.offset, one.gain) for one in drawn]).T
    assert offset.std() == pytest.approx(0.2, rel=0.06)
    assert gain.std() == pytest.approx(0.01, rel=0.06)
    assert abs(offset.mean()) < 4 * 0.2 / 2000**0.5
    assert abs(gain.mean()) < 4 * 0.01 / 2000**0.5
    assert abs(np.corrcoef(offset, gain)[0, 1]) < 0.09


def test_each_part_enters_the_picture_as_stated():
    flawless = Camera(**SILENT)
    skin, mask, facing = scene()
    ideal = take_image(
        skin, mask, facing, ROOM, exposure(mask.shape, flawless), flawless
    )
    drawn = exposure(mask.shape, Camera())
    image = take_image(skin, mask, facing, ROOM, drawn, flawless)
    wall = (image - drawn.white)[:2]
    np.testing.assert_allclose(
        wall, ROOM + drawn.offset + drawn.columns[None] + 0 * wall
    )
    flat = image - drawn.white - drawn.columns - drawn.offset
    np.testing.assert_allclose(
        flat - ROOM, (1 + drawn.gain) * (ideal - ROOM), atol=1e-9
    )


def explicit_blur(image, mask, sigma):
    """Gaussian mean over the same part of the scene, by loops over the kernel."""
    radius = int(4 * sigma + 0.5)
    height, width = mask.shape
    padded, part = np.pad(image, radius, "edge"), np.pad(mask, radius, "edge")
    total, weights = np.zeros(mask.shape), np.zeros(mask.shape)
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            rows = slice(radius + dy, radius + dy + height)
            columns = slice(radius + dx, radius + dx + width)
            weight = np.exp(-(dy**2 + dx**2) / (2 * sigma**2))
            same = weight * (part[rows, columns] == mask)
            total += same * padded[rows, columns]
            weights += same
    return total / weights


@pytest.mark.parametrize("sigma", [0.6, 1.3])
def test_blur_is_the_gaussian_mean_within_each_part(sigma):
    skin, mask, _ = scene()
    image = np.where(mask, skin, 20.0)
    np.testing.assert_allclose(
        camera.blur(image, mask, Camera(psf_sigma_pixels=sigma)),
        explicit_blur(image, mask, sigma),
        rtol=1e-12,
    )


def test_blur_and_detector_do_not_mix_body_and_background():
    mask = np.zeros((16, 16), bool)
    mask[:, 5:] = True
    settings = Camera(**SILENT, psf_sigma_pixels=1.0, emissivity=1, detector_pixels=4)
    skin = np.full(mask.shape, 31.0)
    drawn = exposure(mask.shape, settings)
    image = take_image(skin, mask, np.ones(mask.shape), 20.0, drawn, settings)
    np.testing.assert_allclose(image, np.where(mask, 31.0, 20.0))


@pytest.mark.parametrize("tag", [False, True])
def test_twins_differ_by_the_excess_as_seen(tag):
    settings = Camera(quantum_celsius=0, gain=0.05, reference_tag=tag)
    skin, mask, facing = scene()
    y, x = np.mgrid[:32, :32]
    excess = 2 * np.exp(-((y - 16) ** 2 + (x - 20) ** 2) / 30)
    drawn = exposure(mask.shape, settings)
    images = take_image(
        np.stack([skin, skin + excess]), mask, facing, ROOM, drawn, settings
    )
    ratio = camera.relative_emissivity(facing, settings)
    seen = np.where(mask, ratio * excess, 0.0)
    if tag:
        sharp = Camera(**SILENT, psf_sigma_pixels=0, emissivity=1)
        alone = dataclasses.replace(exposure(mask.shape, sharp), tag=drawn.tag)
        plate = take_image(skin, mask, facing, ROOM, alone, sharp) == ROOM
        assert 2 <= (plate & mask).sum() <= 4
        seen[plate] = 0.0
    expected = (1 + drawn.gain) * explicit_blur(seen, mask, 0.6)
    np.testing.assert_allclose(images[1] - images[0], expected, atol=1e-12)
    assert expected.max() > 1.5


def test_quantum_rounds_to_the_nearest_step():
    fine, coarse = (picture(Camera(quantum_celsius=q)) for q in (0.0, 0.01))
    np.testing.assert_allclose(coarse * 100, np.round(coarse * 100), atol=1e-9)
    assert np.abs(coarse - fine).max() <= 0.005 + 1e-9
    assert (coarse - fine).std() == pytest.approx(0.01 / 12**0.5, rel=0.1)


def test_coarse_detector_averages_scene_and_keeps_the_noise_of_an_element():
    skin, mask, facing = scene()
    full = np.ones(mask.shape, bool)
    settings = Camera(**SILENT, psf_sigma_pixels=0, emissivity=1, detector_pixels=4)
    skin = np.where(mask, skin, 30.0)
    drawn = exposure(mask.shape, settings)
    image = take_image(skin, full, facing, ROOM, drawn, settings)
    for row, column in ((0, 0), (8, 12), (28, 28)):
        block = np.s_[row : row + 4, column : column + 4]
        np.testing.assert_allclose(image[block], skin[block].mean())
    noisy = exposure((400, 400), Camera(detector_pixels=4))
    assert noisy.white.std() == pytest.approx(0.045, rel=0.03)
    assert np.unique(noisy.white).size == 100 * 100
    assert np.unique(noisy.columns).size == 100


def facet_average(degrees, index, slope, count=400_000):
    """Emissivity of a rough dielectric from random facets, independent formulas."""
    tilt = np.random.default_rng(2).normal(0, slope, (2, count))
    normal = np.stack([-tilt[0], -tilt[1], np.ones(count)])
    view = np.array([np.sin(np.radians(degrees)), 0, np.cos(np.radians(degrees))])
    area = np.maximum(view @ normal, 0)
    seen = area > 0
    angle = np.arccos(area[seen] / np.linalg.norm(normal, axis=0)[seen])
    inner = np.arcsin(np.sin(angle) / index)
    across = (np.sin(angle - inner) / np.sin(angle + inner)) ** 2
    along = (np.tan(angle - inner) / np.tan(angle + inner)) ** 2
    return np.average(1 - (across + along) / 2, weights=area[seen])


def test_emissivity_is_the_average_over_facets():
    index = 1.3294313392598152  # of reflectance 0.02 face on
    front = facet_average(1e-3, index, 0.3)
    for degrees in (20, 45, 60, 70, 80, 88):
        ratio = camera.relative_emissivity(np.cos(np.radians(degrees)), Camera())
        expected = facet_average(degrees, index, 0.3) / front
        assert ratio == pytest.approx(expected, abs=2e-3), degrees


def test_emissivity_falls_towards_the_rim():
    degrees = np.arange(0, 91, 5)
    ratio = camera.relative_emissivity(np.cos(np.radians(degrees)), Camera())
    assert ratio[0] == 1
    assert (np.diff(ratio) < 0).all()
    assert ratio[degrees == 45] > 0.975
    assert ratio[degrees == 80] == pytest.approx(0.9, abs=0.04)
    flat = camera.relative_emissivity(np.cos(np.radians(degrees)), Camera(emissivity=1))
    np.testing.assert_allclose(flat, 1)


def test_smooth_skin_would_reflect_by_fresnel(monkeypatch):
    monkeypatch.setattr(camera, "_SKIN_SLOPE", 1e-3)
    table = camera._emissivity_table.__wrapped__(0.98)
    index = 1.3294313392598152
    assert table[-1] == pytest.approx(0.98, abs=1e-4)
    # At Brewster's angle one polarisation is not reflected at all.
    brewster = np.interp(1 / np.sqrt(1 + index**2), np.linspace(0, 1, 129), table)
    reflected = ((index**2 - 1) / (index**2 + 1)) ** 2 / 2
    assert brewster == pytest.approx(1 - reflected, abs=1e-4)


def test_linear_radiance_is_close_to_the_fourth_power():
    ratio = camera.relative_emissivity(np.cos(np.radians(80)), Camera())
    room, skin = ROOM + 273.15, ROOM + 273.15 + 9
    exact = (room**4 + ratio * (skin**4 - room**4)) ** 0.25
    linear = room + ratio * (skin - room)
    assert 0.04 < exact - linear < 0.05


def test_tag_is_a_cold_plate_on_the_body():
    settings = Camera(**SILENT, psf_sigma_pixels=0, emissivity=1, reference_tag=True)
    skin, mask, _ = scene(64)
    places = set()
    for seed in range(40):
        drawn = exposure(mask.shape, settings, seed)
        image = take_image(skin, mask, np.ones(mask.shape), ROOM, drawn, settings)
        rows, columns = np.nonzero(mask & (image == ROOM))
        assert rows.size > 4
        assert np.ptp(rows) < 4
        assert np.ptp(columns) < 4
        assert rows.min() >= 52
        assert not ((columns > 20) & (columns < 43)).any()
        places.add((rows.min(), columns.min()))
    assert len(places) > 8


def test_tag_changes_nothing_else_of_the_exposure():
    plain, tagged = (
        exposure((8, 8), Camera(reference_tag=tag)) for tag in (False, True)
    )
    assert plain.tag is None
    assert tagged.tag is not None
    np.testing.assert_array_equal(plain.white, tagged.white)
    assert (plain.offset, plain.gain) == (tagged.offset, tagged.gain)


def test_no_body_means_no_tag():
    settings = Camera(reference_tag=True, **SILENT)
    empty = np.zeros((8, 8), bool)
    drawn = exposure((8, 8), settings)
    image = take_image(np.full((8, 8), np.nan), empty, empty, 20.0, drawn, settings)
    np.testing.assert_allclose(image, 20.0)


def test_frames_differ_in_white_noise_only():
    settings = Camera(quantum_celsius=0)
    drawn = exposure((32, 32), settings, frames=3)
    images = picture(settings, frames=3)
    assert images.shape == (3, 32, 32)
    np.testing.assert_allclose(
        np.diff(images, axis=0), np.diff(drawn.white, axis=0), atol=1e-12
    )
    skin, mask, facing = scene()
    twins = take_image(
        np.stack([skin, skin])[:, None], mask, facing, ROOM, drawn, settings
    )
    assert twins.shape == (2, 3, 32, 32)
    np.testing.assert_array_equal(twins[0], twins[1])
    with pytest.raises(ValueError, match="frames or 1"):
        take_image(np.stack([skin, skin]), mask, facing, ROOM, drawn, settings)


def test_equal_seeds_give_equal_pictures():
    np.testing.assert_array_equal(picture(Camera(), 3), picture(Camera(), 3))
    assert (picture(Camera(), 3) != picture(Camera(), 4)).mean() > 0.5


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("psf_sigma_pixels", -1, "finite psf_sigma_pixels >= 0, got -1"),
        ("noise_celsius", float("nan"), "finite noise_celsius >= 0, got nan"),
        ("column_celsius", float("inf"), "finite column_celsius >= 0, got inf"),
        ("drift_celsius", -0.1, "finite drift_celsius >= 0, got -0.1"),
        ("gain", -0.1, "finite gain >= 0, got -0.1"),
        ("quantum_celsius", -0.1, "finite quantum_celsius >= 0, got -0.1"),
        ("emissivity", 0, "0 < emissivity <= 1, got 0"),
        ("emissivity", 1.1, "0 < emissivity <= 1, got 1.1"),
        ("detector_pixels", 0, "integer detector_pixels >= 1, got 0"),
        ("detector_pixels", 1.5, "integer detector_pixels >= 1, got 1.5"),
    ],
)
def test_camera_rejects(field, value, rule):
    with pytest.raises(ValueError, match=rule):
        Camera(**{field: value})


def test_exposure_rejects_what_does_not_fit():
    with pytest.raises(ValueError, match=r"multiples of detector_pixels 3: \(9, 8\)"):
        exposure((9, 8), Camera(detector_pixels=3))
    with pytest.raises(ValueError, match="frames needs >= 1, got 0"):
        exposure((8, 8), Camera(), frames=0)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"mask": np.ones((32, 32))}, "mask needs bool"),
        ({"skin_celsius": np.zeros((32, 16))}, "skin_celsius needs shape"),
        ({"facing": np.zeros((16, 32))}, "facing needs shape"),
        ({"exposure": exposure((16, 32), Camera())}, "exposure needs shape"),
        ({"skin_celsius": np.full((32, 32), np.nan)}, "finite"),
        ({"room_celsius": float("nan")}, "finite"),
        ({"facing": np.full((32, 32), 1.1)}, "cosines from 0 to 1"),
        ({"facing": np.full((32, 32), -0.1)}, "cosines from 0 to 1"),
        ({"facing": np.full((32, 32), np.nan)}, "cosines from 0 to 1"),
    ],
)
def test_take_image_rejects(change, rule):
    skin, mask, facing = scene()
    arguments = {
        "skin_celsius": skin,
        "mask": mask,
        "facing": facing,
        "room_celsius": ROOM,
        "exposure": exposure(mask.shape, Camera()),
        "camera": Camera(),
    }
    with pytest.raises(ValueError, match=rule):
        take_image(**(arguments | change))
