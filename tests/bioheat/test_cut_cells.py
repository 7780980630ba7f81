"""Geometry of cut cells against planes and spheres."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.bioheat.bodies import jitted_cut, node_axis
from wbad_jax.bioheat.cut_cells import centres, cut_cells

pytestmark = pytest.mark.fast

# Towards the outside of the body: along an axis, and oblique in two and three of them.
NORMALS = ([1.0, 0.0, 0.0], [0.8, -0.6, 0.0], [0.64, 0.6, -0.48], [0.2, 0.3, 0.93])


def plane(normal, offset, shape):
    """Negative where a point is less than `offset` along the normal from the middle."""
    normal = np.array(normal) / np.linalg.norm(normal)
    axes = [node_axis(size, size / 2)[0] for size in shape]
    points = np.meshgrid(*axes, indexing="ij")
    return normal, sum(n * x for n, x in zip(normal, points, strict=True)) - offset


def ball(radius, shift=0.17, size=32):
    axes = 3 * [node_axis(size, size / 2 - shift)[0]]
    distance = np.sqrt(sum(np.square(np.meshgrid(*axes, indexing="ij"))))
    return jitted_cut(jnp.asarray(distance - radius))


@pytest.mark.usefixtures("enable_x64")
@pytest.mark.parametrize("normal", NORMALS)
@pytest.mark.parametrize("offset", [-0.41, 0.0, 0.23])
def test_a_plane_through_one_cell(normal, offset):
    normal, level = plane(normal, offset, (1, 1, 1))
    cells = jitted_cut(jnp.asarray(level))
    # Volume from 10^6 points; the area is its derivative by the offset.
    grid = (np.arange(100) + 0.5) / 100 - 0.5
    points = np.meshgrid(grid, grid, grid, indexing="ij")
    along = sum(n * x for n, x in zip(normal, points, strict=True)).ravel()
    below = [np.mean(along < offset + step) for step in (-0.02, 0.0, 0.02)]
    assert cells.volume.item() == pytest.approx(below[1], abs=0.005)
    assert cells.skin_area.item() == pytest.approx(
        (below[2] - below[0]) / 0.04, rel=0.03
    )
    assert cells.depth.item() == pytest.approx(offset)


@pytest.mark.usefixtures("enable_x64")
@pytest.mark.parametrize("normal", NORMALS[:3])
def test_a_slanted_plane_has_its_area_and_volume_exactly(normal):
    # Half a cell off the middle; it leaves the grid by its sides only.
    normal, level = plane(normal, 0.5, (20, 12, 8))
    cells = jitted_cut(jnp.asarray(level))
    assert cells.skin_area.sum() == pytest.approx(12 * 8 / normal[0])
    assert cells.skin_facing.sum() == pytest.approx(12 * 8)
    # Slivers that are closed are a few thousandths of a cell.
    volume = 12 * 8 * (10 + 0.5 / normal[0])
    assert cells.volume.sum() == pytest.approx(volume, rel=5e-6)


@pytest.mark.usefixtures("enable_x64")
def test_skin_closes_what_the_faces_leave_open():
    # Divergence identity in each cell: areas of all its faces add up to nothing.
    cells = ball(9.3)
    faces = (cells.open_z, cells.open_y, cells.open_x)
    normal = np.stack([np.diff(np.asarray(f), axis=i) for i, f in enumerate(faces)])
    np.testing.assert_allclose(cells.skin_facing, -normal[0], atol=1e-14)
    area = np.asarray(cells.skin_area)
    np.testing.assert_allclose(np.linalg.norm(normal, axis=0), area, atol=1e-3)
    np.testing.assert_allclose(normal.sum(axis=(1, 2, 3)), 0, atol=1e-12)
    # And the skin looks outwards, along the radius.
    _, middle = node_axis(32, 32 / 2 - 0.17)
    position = np.stack(np.meshgrid(*3 * [middle], indexing="ij"))
    cosine = (
        -(normal * position).sum(axis=0)[area > 0.1]
        / (area * np.linalg.norm(position, axis=0))[area > 0.1]
    )
    assert cosine.min() > 0.99


def test_area_volume_and_outline_of_a_ball_are_of_second_order():
    errors = []
    for radius in (6.3, 12.6):
        cells = ball(radius)
        facing = np.asarray(cells.skin_facing)
        measured = [cells.skin_area.sum(), cells.volume.sum(), facing.clip(min=0).sum()]
        exact = np.pi * radius**2 * np.array([4, 4 * radius / 3, 1])
        errors.append(np.abs(np.array(measured) / exact - 1))
        # What faces the camera is as large as what faces away.
        assert facing.sum() == pytest.approx(0, abs=1e-3)
    coarse, fine = errors
    assert (fine < [0.002, 0.004, 0.002]).all()
    assert (coarse / fine > 3.5).all()


def test_cells_are_empty_full_or_cut():
    cells = ball(9.3)
    volume, depth = np.asarray(cells.volume), np.asarray(cells.depth)
    assert volume.min() >= 0
    assert volume.max() <= 1
    assert (volume[depth > 1] == 1).all()
    assert (volume[depth < -1] == 0).all()
    assert (np.asarray(cells.skin_area)[np.abs(depth) > 1] == 0).all()


@pytest.mark.parametrize("overlap", [0.0, 1e-5, 1e-3, 0.03, 0.1])
def test_no_sliver_is_a_body_of_its_own(overlap):
    # The ball's pole barely enters another layer of cells, and corners of cells.
    for radius in (5.0 + overlap, 3 * np.sqrt(3) + overlap):
        cells = ball(radius, shift=0.0, size=16)
        faces = (cells.open_z, cells.open_y, cells.open_x)
        assert all(((f == 0) | (f >= 1e-3)).all() for f in map(np.asarray, faces))
        openings = sum(
            np.take(f, range(16), i) + np.take(f, range(1, 17), i)
            for i, f in enumerate(map(np.asarray, faces))
        )
        closed = openings == 0
        assert (np.asarray(cells.volume)[closed] == 0).all()
        assert (np.asarray(cells.skin_area)[closed] == 0).all()
        # All the rest has skin or a full link to others: no row near zero.
        assert openings[~closed].min() >= 1e-3


def test_centres_average_the_corners():
    nodes = np.arange(3 * 4 * 5.0).reshape(3, 4, 5) ** 2
    expected = sum(
        nodes[i : i + 2, j : j + 3, k : k + 4]
        for i in (0, 1)
        for j in (0, 1)
        for k in (0, 1)
    )
    np.testing.assert_allclose(centres(jnp.asarray(nodes)), expected / 8)


def test_a_batch_is_cut_body_by_body():
    level = np.random.default_rng(0).normal(size=(3, 5, 6, 7)).astype(np.float32)
    together = jitted_cut(jnp.asarray(level))
    for i in range(3):
        alone = jitted_cut(jnp.asarray(level[i]))
        jax.tree.map(
            lambda a, b, i=i: np.testing.assert_array_equal(a[i], b), together, alone
        )


@pytest.mark.usefixtures("enable_x64")
def test_volume_grows_with_the_skin_by_its_area():
    # d(volume) / d(outwards) is the area: the derivative used for shapes.
    nodes, _ = node_axis(24, 11.6)
    distance = np.sqrt(sum(np.square(np.meshgrid(*3 * [nodes], indexing="ij"))))

    def volume(radius):
        return cut_cells(distance - radius).volume.sum()

    slope = jax.jit(jax.grad(volume))(9.3)
    assert slope == pytest.approx(4 * np.pi * 9.3**2, rel=0.01)


@pytest.mark.usefixtures("enable_x64")
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mirrored_body_has_mirrored_cells(axis):
    """Faces on which the level is not linear too."""
    rough = np.random.default_rng(0).normal(size=(7, 6, 8))
    cells, mirror = jitted_cut(rough), jitted_cut(np.flip(rough, axis))
    for name in cells._fields:
        expected = np.flip(getattr(cells, name), axis)
        if name == "skin_facing" and axis == 0:
            expected = -expected
        np.testing.assert_allclose(getattr(mirror, name), expected, atol=1e-12)
