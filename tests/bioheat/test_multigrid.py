"""The preconditioner: symmetric, positive, and how fast it makes the solver."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.bioheat.bodies import (
    jitted_balance,
    jitted_cut,
    jitted_medium,
    jitted_steady,
    slab,
    sphere,
    surroundings,
)
from tests.bioheat.reference_solutions import GLAND_SLAB
from wbad_jax.bioheat.conduction import HeatOperator, apply, diagonal
from wbad_jax.bioheat.multigrid import hierarchy, v_cycle
from wbad_jax.bioheat.tissue import FAT, SKIN

SPACING = 2e-3


@jax.jit
def jitted_cycle(operator, residual):
    return v_cycle(hierarchy(operator), residual)


def hilly_body(shape, seed=0):
    """Skin over the lower half of the grid and random hills; FAT with skin."""
    rng = np.random.default_rng(seed)
    z, y, x = np.meshgrid(*[np.arange(n + 1.0) for n in shape], indexing="ij")
    phases = rng.uniform(0, 6, 4)
    hills = np.sin(0.7 * y + phases[0]) + np.sin(0.5 * x + phases[1])
    level = z - 0.55 * shape[0] - hills
    cells = jitted_cut(jnp.asarray(level))
    medium = jitted_medium(cells.depth, FAT, [], SKIN, 0.8, SPACING)
    return jitted_balance(cells, medium, surroundings(), SPACING).operator


def matrix(function, shape):
    units = jnp.eye(int(np.prod(shape))).reshape(-1, *shape)
    return np.asarray(jax.jit(jax.vmap(function))(units)).reshape(len(units), -1)


# Even, and odd, once merged too.
@pytest.mark.usefixtures("enable_x64")
@pytest.mark.parametrize("shape", [(8, 8, 6), (18, 3, 9)])
def test_a_cycle_is_symmetric_positive_and_near_the_inverse(shape):
    operator = hilly_body(shape)
    assert len(hierarchy(operator)) == (3 if 18 in shape else 2)
    inverse = matrix(lambda unit: jitted_cycle(operator, unit), shape)
    inside = np.asarray(diagonal(operator)).ravel() > 0
    assert 0.3 < inside.mean() < 0.9
    inverse = inverse[np.ix_(inside, inside)]
    np.testing.assert_allclose(inverse, inverse.T, atol=1e-12 * inverse.max())
    assert np.linalg.eigvalsh(inverse).min() > 0
    forward = matrix(lambda unit: apply(operator, unit), shape)[np.ix_(inside, inside)]
    # Eigenvalues of the preconditioned operator: 1 if the inverse were exact.
    root = np.linalg.cholesky(inverse)
    values = np.linalg.eigvalsh(root.T @ forward @ root)
    assert values.min() > 0.45
    assert values.max() < 1.5


@pytest.mark.usefixtures("enable_x64")
@pytest.mark.parametrize("shape", [(8, 8, 8), (17, 9, 4)])
def test_coarse_operators_are_heat_balances(shape):
    finest, *coarser = [level.operator for level in hierarchy(hilly_body(shape))]
    assert coarser
    for operator in coarser:
        assert operator.sink.shape == tuple(-(-n // 2) if n >= 8 else n for n in shape)
        shape = operator.sink.shape
        # Sinks add up, and no link leaves the grid.
        np.testing.assert_allclose(operator.sink.sum(), finest.sink.sum())
        assert (operator.link_z[-1] == 0).all()
        assert (operator.link_y[:, -1] == 0).all()
        assert (operator.link_x[:, :, -1] == 0).all()


@pytest.mark.fast
def test_merged_links_are_halved_and_side_by_side_ones_add_up():
    one = jnp.ones((8, 8, 4))
    operator = HeatOperator(*[_without_last(one, axis) for axis in range(3)], sink=one)
    coarse = hierarchy(operator)[1].operator
    for link, axis, value in zip(coarse.links, range(3), (1, 1, 4), strict=True):
        expected = value * _without_last(jnp.ones((4, 4, 4)), axis)
        np.testing.assert_array_equal(link, expected)


def _without_last(links, axis):
    return links.at[(slice(None),) * axis + (-1,)].set(0.0)


@pytest.mark.parametrize(("spacing", "lateral"), [(1e-3, 64), (2e-3, 64), (3e-3, 65)])
def test_convergence_on_a_slab_hardly_depends_on_the_grid(spacing, lateral):
    body = slab(spacing=spacing, lateral=lateral)
    *_, report = jitted_steady(body, surroundings())
    assert report.converged
    assert report.iterations <= 10  # asked for: 15
    assert float(report.residual) ** (1 / int(report.iterations)) <= 0.2


def test_convergence_under_a_curved_skin():
    body = sphere(GLAND_SLAB[0], radius=0.07, spacing=4e-3)
    *_, report = jitted_steady(body, surroundings())
    assert report.iterations <= 8
    assert float(report.residual) ** (1 / int(report.iterations)) <= 0.2
