"""The discrete heat balance against a matrix assembled link by link in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import sparse

from tests.bioheat.bodies import jitted_balance, jitted_cut, jitted_medium, surroundings
from wbad_jax.bioheat.conduction import (
    Medium,
    apply,
    diagonal,
    heat_balance,
    skin_temperature,
)
from wbad_jax.bioheat.tissue import Tissue

pytestmark = pytest.mark.fast

SPACING = 2e-3
# Differs from the reference of 37 degrees in every temperature.
OUTSIDE = (12.0, 20.0, 36.5, 36.8)
jitted_apply = jax.jit(apply)


def random_body(seed=0, shape=(4, 5, 6)):
    """A ragged body with holes, touching the bottom, of a random medium."""
    rng = np.random.default_rng(seed)
    level = rng.normal(size=[size + 1 for size in shape]) + 0.5
    cells = jitted_cut(jnp.asarray(level))

    def between(low, high, size=shape):
        return jnp.asarray(rng.uniform(low, high, size))

    medium = Medium(
        resistivity=(between(2, 5), between(2, 5), between(2, 5)),
        base_resistivity=between(2, 5, shape[1:]),
        skin_resistance=between(-2e-3, 5e-3),
        perfusion=between(1e3, 1e4),
        heat=between(300, 800),
        capacity=between(3e6, 4e6),
    )
    return cells, medium


def assembled(cells, medium, outside, spacing):
    """Sparse matrix and right-hand side, by loops over the cells: W/K and W."""
    shape = cells.volume.shape
    number = np.arange(np.prod(shape)).reshape(shape)
    matrix = sparse.lil_matrix((number.size, number.size))
    source = np.zeros(number.size)
    opened = [np.asarray(f) for f in (cells.open_z, cells.open_y, cells.open_x)]
    for where, i in np.ndenumerate(number):

        def fixed(conductance, celsius, i=i):
            matrix[i, i] += conductance
            source[i] += conductance * (celsius - 37)

        for axis in range(3):
            after = tuple(np.add(where, np.eye(3, dtype=int)[axis]))
            if after[axis] == shape[axis]:
                continue  # insulated
            j = number[after]
            area = opened[axis][after] * spacing**2
            link = area / (medium.resistivity[axis][where] * spacing)
            matrix[i, i] += link
            matrix[j, j] += link
            matrix[i, j] -= link
            matrix[j, i] -= link
        if where[0] == 0:
            below = medium.base_resistivity[where[1:]] * spacing / 2
            fixed(opened[0][where] * spacing**2 / below, outside.core)
        volume = cells.volume[where] * spacing**3
        fixed(volume * medium.perfusion[where], outside.blood)
        series = 1 / outside.heat_transfer + medium.skin_resistance[where]
        fixed(cells.skin_area[where] * spacing**2 / series, outside.air)
        source[i] += volume * medium.heat[where]
    return matrix.tocsc(), source.reshape(shape)


@pytest.mark.usefixtures("enable_x64")
def test_operator_and_source_equal_the_assembled_ones():
    cells, medium = random_body()
    outside = surroundings(*OUTSIDE)
    matrix, source = assembled(cells, medium, outside, SPACING)
    balance = jitted_balance(cells, medium, outside, SPACING)
    np.testing.assert_allclose(balance.source, source, rtol=1e-12, atol=1e-18)
    units = jnp.eye(source.size).reshape(-1, *source.shape)
    dense = np.asarray(jitted_apply(balance.operator, units)).reshape(len(units), -1)
    np.testing.assert_allclose(dense, matrix.toarray(), rtol=1e-12, atol=1e-18)
    np.testing.assert_allclose(
        diagonal(balance.operator).ravel(), np.diag(dense), rtol=1e-12
    )


@pytest.mark.usefixtures("enable_x64")
def test_operator_is_symmetric_and_positive():
    cells, medium = random_body(seed=1)
    operator = jitted_balance(cells, medium, surroundings(), SPACING).operator
    units = jnp.eye(operator.sink.size).reshape(-1, *operator.sink.shape)
    dense = np.asarray(jitted_apply(operator, units)).reshape(len(units), -1)
    np.testing.assert_array_equal(dense, dense.T)
    inside = np.diag(dense) > 0
    assert 60 < inside.sum() < inside.size  # the body has holes
    assert (dense[~inside] == 0).all()
    assert np.linalg.eigvalsh(dense[np.ix_(inside, inside)]).min() > 0


@pytest.mark.usefixtures("enable_x64")
def test_without_sinks_equal_temperatures_exchange_no_heat():
    cells, medium = random_body()
    operator = jitted_balance(cells, medium, surroundings(), SPACING).operator
    closed = operator._replace(sink=jnp.zeros_like(operator.sink))
    heat = jitted_apply(closed, jnp.full_like(closed.sink, 5.0))
    np.testing.assert_allclose(heat, 0, atol=1e-16)
    # The test would see a sink.
    assert np.abs(jitted_apply(operator, jnp.full_like(closed.sink, 5.0))).max() > 1e-4


@pytest.mark.usefixtures("enable_x64")
def test_heat_is_conserved():
    # Heat exchanged between cells cancels: only sinks remain of the sum.
    cells, medium = random_body()
    operator = jitted_balance(cells, medium, surroundings(), SPACING).operator
    theta = jnp.asarray(np.random.default_rng(2).normal(size=operator.sink.shape))
    total = jitted_apply(operator, theta).sum()
    np.testing.assert_allclose(total, (operator.sink * theta).sum(), rtol=1e-10)


INNER, OUTER = Tissue(0.2, 0.0, 0.0), Tissue(0.5, 0.0, 0.0)


def slanted_slab(normal, skin, skin_thickness, shape=(20, 7, 6)):
    """Bloodless layers under a plane; its normal and the centres' depth, in cells."""
    normal = np.array(normal) / np.linalg.norm(normal)
    centre = np.array([0.6 * shape[0], shape[1] / 2, shape[2] / 2])

    def below(axes):
        points = np.stack(np.meshgrid(*axes, indexing="ij"))
        return -np.tensordot(normal, points - centre[:, None, None, None], 1)

    nodes = [np.arange(size + 1.0) for size in shape]
    cells = jitted_cut(jnp.asarray(-below(nodes)))
    medium = jitted_medium(cells.depth, INNER, [], skin, skin_thickness, SPACING)
    return cells, medium, normal, below([x[:-1] + 0.5 for x in nodes])


@pytest.mark.usefixtures("enable_x64")
@pytest.mark.parametrize(
    ("normal", "skin_thickness"),
    [
        ([1, 0, 0], 0.0),
        ([2, 1, 0], 0.0),
        ([1, 0.5, -0.7], 0.0),
        ([1, 0, 0], 1.7),
        ([1, 1, 0], 1.7),
        ([1, 0.8, -0.9], 1.7),
    ],
)
def test_a_uniform_flux_to_a_slanted_skin_is_exact(normal, skin_thickness):
    heat_transfer, air, skin = 10.0, 21.0, 33.0
    outermost = OUTER if skin_thickness else INNER
    cells, medium, normal, depth = slanted_slab(normal, outermost, skin_thickness)
    flux = heat_transfer * (skin - air)
    outer = np.minimum(depth, skin_thickness) / outermost.conductivity
    inner = np.maximum(depth - skin_thickness, 0) / INNER.conductivity
    celsius = skin + flux * SPACING * (outer + inner)
    # The base is held at the field's own temperature, the sides let its flux through.
    core = celsius[:1] + flux * SPACING * normal[0] / 2 / INNER.conductivity
    outside = surroundings(heat_transfer, air, jnp.asarray(core))
    balance = heat_balance(cells, medium, outside, SPACING)
    source = np.array(balance.source)
    through = flux * normal * SPACING**2
    opened = [np.asarray(cells.open_y), np.asarray(cells.open_x)]
    source[:, 0] += through[1] * opened[0][:, 0]
    source[:, -1] -= through[1] * opened[0][:, -1]
    source[:, :, 0] += through[2] * opened[1][:, :, 0]
    source[:, :, -1] -= through[2] * opened[1][:, :, -1]
    theta = np.where(np.asarray(diagonal(balance.operator)) > 0, celsius - 37, 0)
    # The operator is positive: what balances is the solution.
    heat = apply(balance.operator, jnp.asarray(theta))
    np.testing.assert_allclose(heat, source, atol=1e-9 * np.abs(source).max())
    seen = skin_temperature(balance, jnp.asarray(theta), cells, outside)
    np.testing.assert_allclose(seen, skin, atol=1e-9)


def test_camera_sees_air_beside_the_body_and_skin_by_its_projection():
    # Column 0: skin in two cells, column 1: skin away from the camera, column 2: none.
    def column(*values):
        return jnp.array(values).reshape(2, 1, 3)

    cells, medium = random_body(shape=(2, 1, 3))
    outside = surroundings(air=20.0)
    cells = cells._replace(skin_facing=column(0.25, -0.5, 0.0, 0.75, 0.0, 0.0))
    balance = heat_balance(cells, medium, outside, SPACING)
    balance = balance._replace(skin_share=column(0.5, 0.5, 0.5, 1.0, 1.0, 1.0))
    theta = column(3.0, 9.0, 9.0, -1.0, 9.0, 9.0)  # 40 and 36 degrees
    seen = skin_temperature(balance, theta, cells, outside)
    np.testing.assert_allclose(seen, [[0.25 * 30 + 0.75 * 36, 20, 20]], rtol=1e-6)


def test_a_centre_far_outside_a_warm_skin_keeps_the_resistance_positive():
    cells, medium = random_body()
    medium = medium._replace(skin_resistance=jnp.full_like(medium.heat, -1.0))
    balance = heat_balance(cells, medium, surroundings(), SPACING)
    area = cells.skin_area * SPACING**2
    np.testing.assert_allclose(balance.skin_conductance, area * 100.0, rtol=1e-5)


def test_surroundings_may_differ_from_column_to_column():
    cells, medium = random_body()
    heat_transfer = jnp.asarray(np.random.default_rng(3).uniform(5, 15, (1, 5, 6)))
    whole = heat_balance(
        cells, medium, surroundings()._replace(heat_transfer=heat_transfer), SPACING
    )
    alone = heat_balance(
        cells, medium, surroundings(heat_transfer=heat_transfer[0, 2, 3]), SPACING
    )
    np.testing.assert_allclose(
        whole.operator.sink[:, 2, 3], alone.operator.sink[:, 2, 3], rtol=1e-6
    )
