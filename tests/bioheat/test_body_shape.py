"""Level functions of the body against the geometry that they stand for."""

import functools

import jax
import numpy as np
import pytest

from tests.bioheat import patients
from wbad_jax.bioheat import anatomy, body_shape
from wbad_jax.bioheat.body_shape import Body, Grid

pytestmark = [pytest.mark.fast, pytest.mark.usefixtures("enable_x64")]


def lumpy_body():
    """Unequal breasts, off the centre, on wavy fat."""
    rng = np.random.default_rng(0)
    torso = patients.torso(column=6.0, fat_waves=rng.normal(0, 0.15, (4, 4)))
    left = patients.breast(-1, half_width=61.0, sag=0.2, row=66.0)
    return Body(torso, left, patients.breast(1, projection=52.0))


skin_level = jax.jit(body_shape.skin_level)
breast_level = jax.jit(body_shape.breast_level)
outline = jax.jit(body_shape.outline)
fat_thickness = jax.jit(body_shape.fat_thickness)


@jax.jit
@functools.partial(jax.vmap, in_axes=(None, 0))
def level_and_slope(body, place):
    return jax.value_and_grad(lambda p: body_shape.skin_level(body, *p))(place)


def test_axes_are_centred_on_the_image_and_start_at_the_chest_wall():
    grid = Grid(shape=(3, 4, 6), spacing_mm=2.0)
    z, rows, columns = grid.axes()
    np.testing.assert_array_equal(z.ravel(), [1, 3, 5])
    np.testing.assert_array_equal(rows.ravel(), [-3, -1, 1, 3])
    np.testing.assert_array_equal(columns, [-5, -3, -1, 1, 3, 5])
    corners = grid.axes(nodes=True)
    assert [axis.size for axis in corners] == [4, 5, 7]
    for axis, corner in zip((z, rows, columns), corners, strict=True):
        middles = (corner.ravel()[1:] + corner.ravel()[:-1]) / 2
        np.testing.assert_array_equal(axis.ravel(), middles)


@pytest.mark.parametrize("inset", [0.0, 8.0])
def test_a_round_breast_has_the_distance_for_its_level(inset):
    radius = 50.0
    round_breast = patients.breast(
        1, half_width=radius, upper=radius, lower=radius, projection=radius, sag=0.0
    )
    z, x, y = np.random.default_rng(1).uniform(-70, 70, (3, 400))
    level = breast_level(round_breast, z, 60.0 + y, 82.0 + x, inset=inset)
    distance = np.sqrt(x**2 + y**2 + z**2) - (radius - inset)
    np.testing.assert_allclose(level, distance, atol=1e-9)


def test_level_is_negative_inside_an_ellipsoid_and_the_distance_near_it():
    """Points at a known distance along the normal of an ellipsoid with sag."""
    axes, sag = np.array([66.0, 60.0, 55.0]), 0.25
    breast = patients.breast(
        1, half_width=axes[0], upper=axes[1], lower=axes[1], projection=axes[2], sag=sag
    )
    on_sphere = np.random.default_rng(2).normal(size=(500, 3))
    on_sphere /= np.linalg.norm(on_sphere, axis=1, keepdims=True)
    x, y, z = (on_sphere * axes).T
    # The section sinks with z; its normal is that of the sheared ellipsoid.
    slope = on_sphere / axes
    normal = np.stack([slope[:, 0], slope[:, 1], slope[:, 2] - sag * slope[:, 1]])
    normal /= np.linalg.norm(normal, axis=0)
    y = y + sag * z
    for distance in (-3.0, -1.0, 0.0, 1.0, 3.0):
        level = breast_level(
            breast,
            z + distance * normal[2],
            60.0 + y + distance * normal[1],
            82.0 + x + distance * normal[0],
        )
        # Sag is a shear: it changes distances by up to half of it.
        np.testing.assert_allclose(level, distance, atol=0.02 + 0.17 * abs(distance))
    far = breast_level(breast, np.array([2.0, 120.0]), 60.0, 82.0)
    assert far[0] < -40
    assert far[1] > 40


def test_skin_level_has_unit_slope_near_the_skin():
    rng = np.random.default_rng(3)
    body = lumpy_body()
    places = rng.uniform((0, -190, -190), (84, 190, 190), (40000, 3))
    level, slope = level_and_slope(body, places)
    near = np.abs(level) < 3
    steepness = np.linalg.norm(slope[near], axis=1)
    assert near.sum() > 1000
    assert np.median(steepness) == pytest.approx(1.0, abs=0.03)
    # Where two surfaces meet at right angles the rounded edge slopes by 1 / sqrt(2).
    assert np.quantile(steepness, 0.01) > 0.6
    assert steepness.max() < 1.3


def test_the_centre_of_a_breast_is_inside_and_has_a_slope():
    """It may be a corner of a cell, where radius and slope vanish."""
    body = patients.body()
    right = body.right
    assert breast_level(right, 0.0, right.row, right.column) < 0
    place = np.array([[0.0, right.row, right.column]])
    level, slope = level_and_slope(body, place)
    assert level[0] < -20
    assert np.isfinite(slope).all()


def test_a_symmetric_body_has_a_symmetric_level():
    z, rows, columns = Grid(shape=(14, 64, 64), spacing_mm=6.0).axes(nodes=True)
    level = skin_level(patients.body(), z, rows, columns)
    np.testing.assert_allclose(level, level[..., ::-1], atol=1e-9)
    lumpy = skin_level(lumpy_body(), z, rows, columns)
    assert np.abs(lumpy - lumpy[..., ::-1]).max() > 3
    twin = patients.mirrored(patients.twin()._replace(body=lumpy_body()))
    other = skin_level(twin.body, z, rows, columns)
    np.testing.assert_allclose(other, lumpy[..., ::-1], atol=1e-9)


@pytest.mark.parametrize(
    ("name", "row", "column", "inside"),
    [
        ("breastbone", 40.0, 0.0, True),
        ("flank", 40.0, 130.0, True),
        ("beside the flank", 100.0, 170.0, False),
        ("neck", -180.0, 0.0, True),
        ("beside the neck", -180.0, 90.0, False),
        ("shoulder", -80.0, 100.0, True),
        ("raised arm", -150.0, 180.0, True),
        ("beyond the elbow", 0.0, 300.0, False),
    ],
)
def test_outline_is_that_of_a_torso_with_raised_arms(name, row, column, inside):
    for side in (-1, 1):
        level = outline(patients.torso(), row, side * column)
        assert (level < 0) == inside, name
        assert abs(level) > 3


def test_outline_grows_with_the_person():
    rng = np.random.default_rng(4)
    rows, columns = rng.uniform(-190, 190, (2, 300))
    average = patients.torso(row=0.0)
    large = average._replace(
        scale=1.2, chest=1.2 * average.chest, waist=1.2 * average.waist
    )
    level = outline(large, 1.2 * rows, 1.2 * columns)
    expected = 1.2 * outline(average, rows, columns)
    np.testing.assert_allclose(level, expected, atol=1e-9)
    slimmer = outline(average._replace(waist=100.0), rows, columns)
    assert (slimmer >= outline(average, rows, columns) - 1e-9).all()


def test_fat_is_positive_and_in_proportion_to_its_mean():
    _, rows, columns = patients.MIDDLE.axes()
    rng = np.random.default_rng(5)
    for _ in range(20):
        torso = patients.torso(fat=8.0, fat_waves=rng.normal(0, 1, (4, 4)))
        thickness = fat_thickness(torso, rows, columns)
        assert thickness.min() > 0
        double = fat_thickness(torso._replace(fat=16.0), rows, columns)
        np.testing.assert_allclose(double, 2 * thickness, rtol=1e-12)


def test_fat_is_thinnest_on_the_breastbone():
    columns = np.linspace(-120.0, 120.0, 41)
    thickness = fat_thickness(patients.torso(), 0.0, columns)
    assert thickness.argmin() == 20
    assert thickness[0] == pytest.approx(thickness[-1])


def test_rim_is_where_the_breast_meets_the_chest():
    breast = patients.breast(1)
    angle = np.linspace(0, 2 * np.pi, 50)
    y = np.where(np.sin(angle) < 0, breast.upper, breast.lower) * np.sin(angle)
    x = breast.half_width * np.cos(angle)
    _, v, radius = body_shape.rim_position(breast, breast.row + y, breast.column + x)
    np.testing.assert_allclose(radius, 1, atol=1e-9)
    np.testing.assert_allclose(v, np.sin(angle), atol=1e-9)
    level = breast_level(breast, 0.0, breast.row + y, breast.column + x)
    np.testing.assert_allclose(level, 0, atol=1e-6)


def test_drawn_bodies_have_skin_between_chest_wall_and_camera():
    """The level changes sign once along every line of sight through the trunk."""
    z, rows, columns = Grid(shape=(28, 24, 24), spacing_mm=3.0).axes(nodes=True)
    for seed in range(5):
        settings = anatomy.HealthySettings()
        body = anatomy.draw_body(np.random.default_rng(seed), settings)
        level = skin_level(body, z, 3 * rows, 3 * columns)
        assert (level[0] < 0).all()
        changes = np.diff(np.sign(level), axis=0)
        assert ((changes == 2).sum(axis=0) <= 1).all()
        assert (changes >= 0).all()
