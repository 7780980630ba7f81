"""Veins and warm findings: as drawn, on the grid, and in the warming of the skin."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special, stats

from wbad_jax.bioheat import vessels
from wbad_jax.bioheat.body_shape import Grid
from wbad_jax.bioheat.conduction import Surroundings, heat_balance, skin_temperature
from wbad_jax.bioheat.cut_cells import cut_cells
from wbad_jax.bioheat.medium import tissue_medium
from wbad_jax.bioheat.solver import solve
from wbad_jax.bioheat.tissue import FAT

BLOOD_HEAT = 1060.0 * 3770.0
STEP_MM, WALL_RADIUS_MM = 3.0, 0.7


def grid(spacing_mm, frame_mm=96.0, height_mm=60.0):
    edge = round(frame_mm / spacing_mm)
    return Grid(
        shape=(round(height_mm / spacing_mm), edge, edge), spacing_mm=spacing_mm
    )


def flat(height_mm, on):
    return jnp.full(on.shape[1:], height_mm)


def draw_tree(seed, **changes):
    settings = {"depth_mm": 5.0, "conductance": 1.0, "length_mm": 90.0, **changes}
    return vessels.draw_tree(np.random.default_rng(seed), 10.0, -20.0, 0.5, **settings)


def total(exchange, on):
    return float(exchange.sum()) * (on.spacing_mm * 1e-3) ** 3


def inner_points(seed=0, number=50):
    rng = np.random.default_rng(seed)
    places = rng.uniform((-30, -30, 8), (30, 30, 40), (number, 3))
    return np.column_stack([places, rng.uniform(0.001, 0.006, number)])


@pytest.mark.fast
def test_a_tree_is_connected_by_steps_of_3_mm():
    for seed in range(20):
        places = draw_tree(seed)[:, :2]
        start = np.hypot(*(places[0] - (10.0, -20.0)))
        assert start == pytest.approx(STEP_MM)
        for i in range(1, len(places)):
            nearest = np.hypot(*(places[:i] - places[i]).T).min()
            assert nearest < STEP_MM + 1e-9


@pytest.mark.fast
def test_a_tree_is_as_long_deep_and_strong_as_asked():
    for seed in range(20):
        tree = draw_tree(seed)
        trunk = tree[: int(90.0 / STEP_MM)]
        steps = np.hypot(*np.diff(trunk[:, :2], axis=0).T)
        np.testing.assert_allclose(steps, STEP_MM)
        assert trunk[0, 3] == pytest.approx(1.0 * STEP_MM * 1e-3)
        assert (tree[:, 3] <= 1.0 * STEP_MM * 1e-3 + 1e-12).all()
        assert (tree[:, 3] > 0).all()
        assert (tree[:, 2] > 5 / 1.4).all()
        assert (tree[:, 2] < 5 * 1.4).all()


@pytest.mark.fast
def test_exchange_of_a_wall_is_limited():
    np.testing.assert_array_equal(
        draw_tree(0, conductance=5.0)[:30], draw_tree(0, conductance=2.0)[:30]
    )
    strong, weak = draw_tree(0, conductance=1.0), draw_tree(0, conductance=0.5)
    np.testing.assert_allclose(strong[:, 3], 2 * weak[:, 3])


@pytest.mark.fast
def test_directions_grow_downwards_from_the_right():
    rng = np.random.default_rng(0)
    ends = np.mean(
        [
            vessels.draw_tree(
                rng, 0.0, 0.0, math.pi / 2, depth_mm=5, conductance=1, length_mm=30
            )[9, :2]
            for _ in range(200)
        ],
        axis=0,
    )
    assert abs(ends[0]) < 3
    assert ends[1] > 25


@pytest.mark.fast
def test_a_finding_shares_its_exchange_over_a_patch():
    points = vessels.draw_finding(
        np.random.default_rng(0), 30.0, 40.0, depth_mm=10, radius_mm=8, conductance=0.03
    )
    assert points[:, 3].sum() == pytest.approx(0.03)
    np.testing.assert_allclose(points[:, :3].mean(axis=0), (30, 40, 10), atol=2)
    for axis, spread in ((0, 4.0), (1, 4.0), (2, 2.0)):
        low, high = stats.chi2.ppf((1e-4, 1 - 1e-4), len(points) - 1) / len(points)
        assert low < (points[:, axis].std() / spread) ** 2 < high
    shallow = vessels.draw_finding(
        np.random.default_rng(0), 0.0, 0.0, depth_mm=1.5, radius_mm=15, conductance=0.03
    )
    assert shallow[:, 2].min() == 1.5


@pytest.mark.fast
def test_padding_keeps_points_and_adds_none_of_effect():
    parts = [inner_points(0, 5), inner_points(1, 7)]
    padded = vessels.pad_points(parts, 20)
    assert padded.shape == (20, 4)
    assert padded.dtype == np.float32
    np.testing.assert_array_equal(padded[:12], np.concatenate(parts).astype(np.float32))
    assert not padded[12:].any()
    assert not vessels.pad_points([], 4).any()
    with pytest.raises(ValueError, match="room for 11 points, got 12"):
        vessels.pad_points(parts, 11)


def corrected(exchange, spacing_mm):
    """In series: the wall of 3 mm of vein, and fat out to where the cell's value is."""
    ratio = vessels._SPREAD * spacing_mm / WALL_RADIUS_MM
    shell = math.log(ratio) / (2 * math.pi * FAT.conductivity * STEP_MM * 1e-3)
    return 1 / (1 / exchange + shell)


@pytest.mark.usefixtures("enable_x64")
@pytest.mark.parametrize("spacing", [6.0, 4.0, 3.0])
def test_deposit_conserves_exchange_and_place(spacing):
    on, points = grid(spacing), inner_points()
    result = np.asarray(vessels.deposit(points, flat(50.0, on), on))
    assert (result >= 0).all()
    expected = corrected(points[:, 3], spacing)
    assert total(result, on) == pytest.approx(expected.sum(), rel=1e-9)
    z, rows, columns = map(np.asarray, on.axes())
    for axis, place in ((columns, 0), (rows, 1), (50.0 - z, 2)):
        centre = (result * axis).sum() / result.sum()
        exact = (points[:, place] * expected).sum() / expected.sum()
        assert centre == pytest.approx(exact, abs=1e-9)


@pytest.mark.usefixtures("enable_x64")
def test_a_point_reaches_its_eight_cells_only():
    on = grid(3.0)
    result = np.asarray(
        vessels.deposit(np.array([[4.0, -7.0, 12.0, 0.002]]), flat(50.0, on), on)
    )
    z, rows, columns = (axis.ravel() for axis in on.axes())
    for axis, place, used in zip(
        (z, rows, columns), (38.0, -7.0, 4.0), np.nonzero(result), strict=True
    ):
        assert np.abs(axis[used] - place).max() < 3.0
    assert (result > 0).sum() == 8


@pytest.mark.usefixtures("enable_x64")
def test_depth_is_below_the_skin_above_the_point():
    on = grid(3.0)
    height = 30.0 + 0.2 * on.axes()[2] + jnp.zeros(on.shape[1:])
    points = np.array([[-21.0, 6.0, 10.0, 0.002], [24.0, 6.0, 10.0, 0.002]])
    for point in points:
        result = np.asarray(vessels.deposit(point[None], height, on))
        centre = (result * on.axes()[0]).sum() / result.sum()
        assert centre == pytest.approx(30.0 + 0.2 * point[0] - 10.0)


@pytest.mark.usefixtures("enable_x64")
@pytest.mark.parametrize(
    "outside",
    [
        (-60.0, 0.0, 10.0, 0.005),
        (60.0, 0.0, 10.0, 0.005),
        (0.0, -60.0, 10.0, 0.005),
        (0.0, 500.0, 10.0, 0.005),
        (0.0, 0.0, 60.0, 0.005),
        (0.0, 0.0, -30.0, 0.005),
        (0.0, 0.0, 10.0, 0.0),
    ],
)
def test_points_outside_the_frame_and_those_of_no_effect_add_nothing(outside):
    on, points = grid(6.0), inner_points()
    both = vessels.deposit(np.vstack([points, [outside]]), flat(50.0, on), on)
    alone = vessels.deposit(points, flat(50.0, on), on)
    np.testing.assert_array_equal(both, alone)


@pytest.mark.usefixtures("enable_x64")
def test_exchange_stays_positive_on_any_grid():
    strongest = np.array([[0.0, 0.0, 20.0, 2.0 * STEP_MM * 1e-3]])
    for spacing in (12.0, 6.0, 3.0, 1.5, 0.75):
        on = grid(spacing, frame_mm=24.0)
        result = vessels.deposit(strongest, flat(50.0, on), on)
        assert 0 < total(result, on) < 4 * strongest[0, 3]


# A straight vein in fat that fills a half-space, against its closed form.
AIR, CORE, HEAT_TRANSFER = 22.0, 37.0, 14.0
DEPTH_MM = 6.0


def exact_warming(x, conductance):
    """Of the skin by a cylinder along y that exchanges heat with blood, degrees.

    The temperature at the vein's wall is the undisturbed one and what its own heat
    adds: a line source in the half-space, Carslaw and Jaeger (1959), chapter 14.
    """
    k, d = FAT.conductivity, DEPTH_MM * 1e-3
    m = math.sqrt(FAT.perfusion * BLOOD_HEAT / k)
    biot = HEAT_TRANSFER / k

    l = np.linspace(0, 40 / d, 20001)  # noqa: E741 - the symbol of the formula
    mu = np.hypot(l, m)
    kernel = np.exp(-mu * d) / (mu + biot)
    image = (mu - biot) / (mu + biot) * np.exp(-2 * mu * d) / mu
    own = special.k0(m * WALL_RADIUS_MM * 1e-3) + integrate.simpson(image, x=l)
    own /= 2 * math.pi * k
    undisturbed = CORE - (CORE - AIR) * biot / (biot + m) * math.exp(-m * d)
    watts = conductance * (CORE - undisturbed) / (1 + conductance * own)
    waves = np.cos(np.outer(x, l))
    return watts / (math.pi * k) * integrate.simpson(waves * kernel, x=l)


@functools.partial(jax.jit, static_argnames=("on", "height_mm"))
def slab_skin(points, on, height_mm):
    """Skin of a slab of fat on a warm base, across the middle of the vein."""
    shape = tuple(size + 1 for size in on.shape)
    z = on.axes(nodes=True)[0]
    cells = cut_cells(jnp.broadcast_to((z - height_mm) / on.spacing_mm, shape))
    spacing = on.spacing_mm * 1e-3
    medium = tissue_medium(
        cells.depth,
        background=FAT._replace(metabolic_heat=0.0),
        regions=[],
        skin=FAT,
        skin_thickness=0.0,
        extra_perfusion=vessels.deposit(points, jnp.full(on.shape[1:], height_mm), on),
        spacing=spacing,
    )
    outside = Surroundings(HEAT_TRANSFER, AIR, CORE, CORE)
    balance = heat_balance(cells, medium, outside, spacing)
    theta, report = solve(balance.operator, balance.source, tolerance=1e-6)
    return skin_temperature(balance, theta, cells, outside).mean(axis=0), report


def warming(spacing, shift_mm, conductance, height_mm=64.0):
    # Along the vein a few cells with insulated ends do, points going on beyond them.
    shape = tuple(round(edge / spacing) for edge in (66, 12, 144))
    on = Grid(shape=shape, spacing_mm=spacing)
    y = np.arange(-10.5, 11, STEP_MM)
    points = np.column_stack(
        [np.full((y.size, 3), (shift_mm, 0.0, DEPTH_MM)), np.zeros(y.size)]
    )
    points[:, 1] = y
    cold, _ = slab_skin(points, on, height_mm)
    points[:, 3] = conductance * STEP_MM * 1e-3
    warm, report = slab_skin(points, on, height_mm)
    assert report.converged
    return np.asarray(on.axes()[2]), np.asarray(warm - cold)


def error(spacing, conductance):
    """Largest error of the warming near the vein, as a share of its peak."""
    peak = exact_warming([0.0], conductance)[0]
    worst = 0.0
    for share in (0.0, 0.25, 0.5):
        x, change = warming(spacing, share * spacing, conductance)
        near = np.abs(x) < 40
        exact = exact_warming((x[near] - share * spacing) * 1e-3, conductance)
        worst = max(worst, np.abs(change[near] - exact).max() / peak)
    return worst


def test_warming_by_a_vein_agrees_with_theory_on_all_grids():
    """Within a sixth of the peak; between the grids the total within a tenth."""
    totals = []
    for spacing in (6.0, 3.0, 1.5):
        assert error(spacing, 1.3) < 0.17
        _, change = warming(spacing, 0.0, 1.3)
        totals.append(change.sum() * spacing)
    assert max(totals) < 1.1 * min(totals)


def test_without_the_correction_coarse_grids_warm_too_much(monkeypatch):
    monkeypatch.setattr(vessels, "_RADIAL_RESISTANCE", 0.0)
    slab_skin.clear_cache()
    assert error(6.0, 1.3) > 0.5
    assert error(3.0, 1.3) > 0.2
    slab_skin.clear_cache()
