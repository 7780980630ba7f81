import math

import numpy as np
import pytest
import pywt

from wbad_jax.data import errors, statistics

# 5 pixels of 3 mm: the outline is outside the mask's interior.
BORDER = 5


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def mask():
    """A body of 120 x 180 pixels whose arms reach the upper corners of the frame."""
    mask = np.zeros((130, 200), bool)
    mask[:40] = True
    mask[:120, 10:190] = True
    mask[:20, 90:110] = False
    return mask


def full_mask(shape):
    return np.ones(shape, bool)


def power_law_field(rng, side, pixel_mm, slope, shortest_mm=0.0):
    """A periodic Gaussian field without content below a wavelength."""
    frequency = np.hypot(
        np.fft.fftfreq(side, pixel_mm)[:, None], np.fft.fftfreq(side, pixel_mm)
    )
    frequency[0, 0] = np.inf
    amplitude = frequency ** (slope / 2)
    if shortest_mm:
        amplitude[frequency > 1 / shortest_mm] = 0.0
    white = np.fft.fft2(rng.standard_normal((side, side)))
    field = np.fft.ifft2(white * amplitude).real
    return 30 + field / field.std()


def test_level_and_spread_are_those_of_the_body(rng, mask):
    celsius = rng.normal(30.5, 1.2, mask.shape)
    measured = statistics.thermogram_statistics(celsius, mask, 3.0)
    assert measured["body_mean"] == pytest.approx(np.mean(celsius[mask]))
    assert measured["body_sd"] == pytest.approx(np.std(celsius[mask]))
    assert measured["maximum"] == celsius[mask].max()


@pytest.mark.parametrize("outside", [0.0, 22.0, 1e6, math.nan, math.inf])
def test_what_lies_outside_the_mask_does_not_matter(rng, mask, outside):
    celsius = rng.normal(30, 1, mask.shape)
    expected = statistics.thermogram_statistics(celsius, mask, 3.0)
    celsius[~mask] = outside
    assert statistics.thermogram_statistics(celsius, mask, 3.0) == expected


def test_an_added_constant_changes_only_level_and_maximum(rng, mask):
    celsius = rng.normal(30, 1, mask.shape)
    before = statistics.thermogram_statistics(celsius, mask, 3.0)
    after = statistics.thermogram_statistics(celsius + 2, mask, 3.0)
    for name in ("body_mean", "maximum"):
        assert after.pop(name) == pytest.approx(before.pop(name) + 2)
    assert after == pytest.approx(before, abs=1e-9)


@pytest.mark.parametrize("width", [200, 201])
def test_asymmetry_of_two_halves(width):
    mask = full_mask((100, width))
    celsius = np.full(mask.shape, 30.0)
    celsius[:, : width // 2] += 0.7
    measured = statistics.thermogram_statistics(celsius, mask, 3.0)
    assert measured["asymmetry"] == pytest.approx(0.7)
    mirrored = statistics.thermogram_statistics(celsius[:, ::-1], mask, 3.0)
    assert mirrored["asymmetry"] == pytest.approx(0.7)


def test_the_midline_follows_the_body_and_a_pose_is_no_asymmetry(mask):
    """A symmetric pattern off the centre, one hot arm that has no counterpart."""
    mask = np.pad(mask, ((0, 0), (0, 60)))
    columns = np.arange(mask.shape[1])
    celsius = np.broadcast_to(30 + np.cos((columns - 99.5) / 20), mask.shape).copy()
    extra = np.s_[:4, 200:206]
    mask[extra], celsius[extra] = True, 40.0
    measured = statistics.thermogram_statistics(celsius, mask, 3.0)
    assert measured["asymmetry"] == pytest.approx(0.0, abs=1e-9)


def test_asymmetry_needs_pixels_on_both_sides():
    mask = np.zeros((90, 90), bool)
    mask[:30, :30] = mask[60:, 60:] = True
    celsius = np.full(mask.shape, 30.0)
    measured = statistics.thermogram_statistics(celsius, mask, 3.0)
    assert math.isnan(measured["asymmetry"])


@pytest.mark.parametrize("sigma_mm", [6, 12, 24])
def test_detail_of_a_wave(sigma_mm):
    """A Gaussian leaves exp(-(2 pi f sigma)^2 / 2) of a wave of frequency f."""
    wavelength_mm = 60.0
    columns = 3.0 * np.arange(320)
    celsius = 30 + np.broadcast_to(
        np.sin(2 * np.pi * columns / wavelength_mm), (320, 320)
    )
    measured = statistics.thermogram_statistics(celsius, full_mask((320, 320)), 3.0)
    removed = 1 - math.exp(-((2 * math.pi * sigma_mm / wavelength_mm) ** 2) / 2)
    assert measured[f"detail_sd_{sigma_mm}mm"] == pytest.approx(
        removed / math.sqrt(2), rel=0.03
    )


def test_neither_outline_nor_cool_rim_are_detail(mask):
    celsius = np.full(mask.shape, 30.0)
    rim = mask & ~np.roll(mask, 1, 1)
    celsius[rim] = 25.0
    measured = statistics.thermogram_statistics(celsius, mask, 3.0)
    # 12 mm inside, 4 sigma of 3 mm, where the filter ends.
    assert measured["detail_sd_3mm"] == pytest.approx(0.0, abs=1e-4)
    celsius[:] = 30.0
    measured = statistics.thermogram_statistics(celsius, mask, 3.0)
    for sigma_mm in (3, 6, 12, 24):
        assert measured[f"detail_sd_{sigma_mm}mm"] < 1e-9


def test_white_noise_has_its_sigma_at_every_haar_level(rng):
    mask = full_mask((400, 500))
    mask[150:200, 100:300] = False
    celsius = 30 + rng.normal(0, 0.05, mask.shape)
    measured = statistics.thermogram_statistics(celsius, mask, 3.0)
    haar = {name: value for name, value in measured.items() if "haar" in name}
    assert len(haar) == 9
    for name, value in haar.items():
        assert value == pytest.approx(0.05, rel=0.04), name


@pytest.mark.parametrize("level", [1, 2, 3])
def test_haar_details_are_those_of_pywavelets(rng, level):
    """Of a periodic image PyWavelets' blocks, in all shifts, are the same details."""
    block = 2**level
    tile = rng.normal(30, 1, (block, block)) * [[1.0, 3.0] * (block // 2)]
    celsius = np.tile(tile, (32 // block, 32 // block))
    shifts = [
        pywt.wavedec2(np.roll(celsius, (row, column), (0, 1)), "haar", level=level)[1]
        for row in range(block)
        for column in range(block)
    ]
    # The mask shows one period of every shift, and no pixel more.
    side = 2 * block - 1
    mask = np.zeros_like(celsius, bool)
    mask[:side, :side] = True
    pixel_mm = 100.0 / side
    measured = statistics.thermogram_statistics(celsius, mask, pixel_mm)
    for index, name in enumerate(("horizontal", "vertical", "diagonal")):
        details = np.array([bands[index] for bands in shifts])
        expected = np.median(np.abs(details)) / 0.6745
        assert measured[f"haar_{level}_{name}"] == pytest.approx(expected)


def test_haar_details_at_the_outline_do_not_count():
    mask = np.zeros((64, 64), bool)
    mask[8:56, 8:56] = True
    celsius = np.where(mask, 30.0, 22.0)
    measured = statistics.thermogram_statistics(celsius, mask, 3.0)
    assert all(value == 0 for name, value in measured.items() if "haar" in name)


@pytest.mark.parametrize("slope", [0.0, -3.0, -4.4])
def test_slope_of_a_power_law(rng, slope):
    """One image scatters by 0.4 and 0.2, the mean of a hundred by a tenth of that."""
    mask = full_mask((150, 150))
    measured = [
        statistics.thermogram_statistics(field[:150, :150], mask, 3.0)
        for field in (power_law_field(rng, 300, 3.0, slope) for _ in range(100))
    ]
    for name in ("log_slope_60_25mm", "log_slope_25_10mm"):
        mean = np.mean([values[name] for values in measured])
        assert mean == pytest.approx(slope, abs=0.15), name


def test_slope_does_not_see_a_plane(rng, mask):
    celsius = power_law_field(rng, 256, 3.0, -3.0)[: mask.shape[0], : mask.shape[1]]
    rows, columns = np.indices(mask.shape)
    tilted = celsius + 0.05 * columns - 0.03 * rows
    before = statistics.thermogram_statistics(celsius, mask, 3.0)
    after = statistics.thermogram_statistics(tilted, mask, 3.0)
    for name in ("log_slope_60_25mm", "log_slope_25_10mm"):
        assert after[name] == pytest.approx(before[name], abs=1e-6)


def test_one_scene_on_two_grids(rng):
    """A scene without content that the coarse grid could not hold."""
    fine = power_law_field(rng, 400, 1.5, -3.5, shortest_mm=7.0)[:240, :240]
    on_fine = statistics.thermogram_statistics(fine, full_mask(fine.shape), 1.5)
    coarse = fine[::2, ::2]
    on_coarse = statistics.thermogram_statistics(coarse, full_mask(coarse.shape), 3.0)
    for name in ("log_slope_60_25mm", "log_slope_25_10mm"):
        assert on_coarse[name] == pytest.approx(on_fine[name], abs=0.15), name
    for name in ("detail_sd_6mm", "detail_sd_12mm", "detail_sd_24mm"):
        assert on_coarse[name] == pytest.approx(on_fine[name], rel=0.03), name


def test_a_coarse_grid_lacks_what_it_does_not_resolve(rng):
    mask = full_mask((60, 80))
    celsius = rng.normal(30, 1, mask.shape)
    fine = statistics.thermogram_statistics(celsius, mask, 3.0)
    coarse = statistics.thermogram_statistics(celsius, mask, 6.0)
    assert list(coarse) == list(fine)
    assert all(map(math.isfinite, fine.values()))
    lacking = {name for name, value in coarse.items() if math.isnan(value)}
    assert lacking == {"detail_sd_3mm", "log_slope_25_10mm"}


def test_a_small_body_lacks_long_waves_and_large_details(rng):
    mask = np.zeros((40, 40), bool)
    mask[5:12, 5:12] = True
    celsius = rng.normal(30, 1, mask.shape)
    measured = statistics.thermogram_statistics(celsius, mask, 6.0)
    for name in ("log_slope_60_25mm", "haar_3_diagonal"):
        assert math.isnan(measured[name])
    assert math.isfinite(measured["haar_2_diagonal"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"celsius": np.zeros((40, 40, 1))},
            r"celsius .*\[height, width\].*\(40, 40, 1",
        ),
        ({"mask": np.ones((40, 41), bool)}, r"mask .*one shape.*\(40, 41\)"),
        ({"mask": np.ones((40, 40))}, "mask of bool.*float64"),
        ({"mask": np.zeros((40, 40), bool)}, "mask must reach .*12 mm.*got 0 mm"),
        ({"millimetres_per_pixel": 0.0}, "millimetres_per_pixel .*positive, got 0.0"),
        ({"millimetres_per_pixel": -3.0}, "positive, got -3.0"),
        ({"millimetres_per_pixel": math.nan}, "positive, got nan"),
        ({"millimetres_per_pixel": math.inf}, "positive, got inf"),
        ({"millimetres_per_pixel": 0.5}, "more than 12 mm .*got 10 mm"),
        ({"celsius": np.full((40, 40), math.nan)}, "celsius must be finite.*got nan"),
        ({"celsius": np.full((40, 40), math.inf)}, "celsius must be finite.*got inf"),
    ],
)
def test_rejects_bad_input(rng, change, message):
    arguments = {
        "celsius": rng.normal(30, 1, (40, 40)),
        "mask": full_mask((40, 40)),
        "millimetres_per_pixel": 3.0,
    }
    with pytest.raises(errors.DataError, match=message):
        statistics.thermogram_statistics(**(arguments | change))


def test_compares_medians_with_quartiles():
    real = [{"a": float(value), "b": 1.0} for value in range(5)]
    simulated = [{"a": value, "b": 1.5} for value in (2.5, 2.9, 3.5)]
    first, second = statistics.compare(simulated, real)
    assert first == statistics.StatisticComparison(
        name="a",
        simulated_median=2.9,
        simulated_quartiles=(pytest.approx(2.7), pytest.approx(3.2)),
        real_median=2.0,
        real_quartiles=(1.0, 3.0),
        inside=True,
    )
    assert (second.name, second.inside) == ("b", False)


@pytest.mark.parametrize(
    ("median", "inside"), [(0.9, False), (1.0, True), (3.1, False)]
)
def test_inside_is_within_the_real_quartiles(median, inside):
    real = [{"a": float(value)} for value in range(5)]
    (row,) = statistics.compare([{"a": median}], real)
    assert row.inside == inside


def test_comparison_leaves_nan_out():
    real = [{"a": 1.0, "b": 1.0}, {"a": math.nan, "b": 2.0}]
    (row,) = statistics.compare([{"a": 1.0, "b": math.nan}], real)
    assert (row.name, row.real_median, row.inside) == ("a", 1.0, True)


def test_comparison_rejects_nothing_and_other_names():
    with pytest.raises(errors.DataError, match="real must hold .*got none"):
        statistics.compare([{"a": 1.0}], [])
    with pytest.raises(errors.DataError, match="simulated must hold"):
        statistics.compare([], [{"a": 1.0}])
    with pytest.raises(errors.DataError, match=r"real\[1\] .*differs in b"):
        statistics.compare([{"a": 1.0}], [{"a": 1.0}, {"a": 1.0, "b": 2.0}])
