"""The solver against a sparse direct one, in batches, and when it fails."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse import linalg

from tests.bioheat.bodies import Body, jitted_steady, sphere, steady, surroundings
from tests.bioheat.reference_solutions import GLAND_SLAB
from tests.bioheat.test_conduction import OUTSIDE, SPACING, assembled, random_body
from wbad_jax.bioheat.conduction import heat_balance
from wbad_jax.bioheat.solver import (
    NotConvergedError,
    SolveReport,
    check_converged,
    solve,
)

jitted_solve = jax.jit(solve, static_argnames=("tolerance", "max_iterations"))


def ball(radius=0.02):
    return sphere(GLAND_SLAB[0], radius=radius, spacing=4e-3)


def balance_of(body, outside):
    return heat_balance(body.cells, body.medium, outside, body.spacing)


@pytest.mark.usefixtures("enable_x64")
@pytest.mark.parametrize(
    "shape", [pytest.param((4, 5, 6), marks=pytest.mark.fast), (9, 8, 10)]
)
def test_equals_a_direct_solve(shape):
    cells, medium = random_body(shape=shape)
    outside = surroundings(*OUTSIDE)
    matrix, source = assembled(cells, medium, outside, SPACING)
    inside = matrix.diagonal() > 0
    exact = np.zeros(source.size)
    exact[inside] = linalg.spsolve(matrix[inside][:, inside], source.ravel()[inside])
    balance = heat_balance(cells, medium, outside, SPACING)
    theta, report = jitted_solve(balance.operator, balance.source, tolerance=1e-12)
    assert report.converged
    np.testing.assert_allclose(theta.ravel(), exact, atol=1e-9)


@pytest.mark.usefixtures("enable_x64")
def test_residual_is_that_of_the_result():
    cells, medium = random_body()
    matrix, source = assembled(cells, medium, surroundings(), SPACING)
    for tolerance in (1e-2, 1e-6):
        balance = heat_balance(cells, medium, surroundings(), SPACING)
        theta, report = jitted_solve(
            balance.operator, balance.source, tolerance=tolerance
        )
        defect = source.ravel() - matrix @ np.asarray(theta).ravel()
        true = np.linalg.norm(defect) / np.linalg.norm(source)
        assert true <= tolerance
        assert report.residual == pytest.approx(true, rel=1e-6)


def test_single_precision_is_enough():
    single, _ = steady(ball(), surroundings())
    with jax.enable_x64(True):
        double, _ = steady(ball(), surroundings(), tolerance=1e-12)
    assert (single.dtype, double.dtype) == (np.float32, np.float64)
    np.testing.assert_allclose(single, double, atol=1e-4)


@pytest.mark.usefixtures("enable_x64")
@pytest.mark.parametrize("mapped", [False, True])
def test_a_batch_equals_its_bodies_one_by_one(mapped):
    bodies = [ball(radius) for radius in (0.0181, 0.0195, 0.02)]
    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[b[:2] for b in bodies])
    run = functools.partial(jitted_steady, tolerance=1e-11)
    if mapped:
        together = jax.vmap(lambda *body: run(Body(*body, 4e-3), surroundings()))(
            *batch
        )
    else:
        together = run(Body(*batch, 4e-3), surroundings())
    skin, theta, report = together
    assert report.converged.shape == (3,)
    assert report.converged.all()
    for i, body in enumerate(bodies):
        alone, inside, _ = run(body, surroundings())
        np.testing.assert_allclose(skin[i], alone, atol=1e-8)
        np.testing.assert_allclose(theta[i], inside, atol=1e-8)
    assert np.abs(skin[0] - skin[2]).max() > 0.1


def test_a_second_call_compiles_nothing():
    traced = []

    @jax.jit
    def run(cells, medium, outside):
        traced.append(1)
        balance = heat_balance(cells, medium, outside, 4e-3)
        return solve(balance.operator, balance.source)

    for radius, air in ((0.0181, 21.0), (0.02, 25.0)):
        body = ball(radius)
        run(body.cells, body.medium, surroundings(air=air))
    assert len(traced) == 1


@pytest.mark.fast
def test_failure_is_nan_and_an_error_with_the_residual():
    skin, theta, report = jitted_steady(ball(), surroundings(), max_iterations=2)
    assert not report.converged
    assert np.isnan(theta[7, 7, 7])
    assert np.isnan(skin).any()  # beside the body it is the air's
    residual = f"{float(report.residual):.2g}"
    assert float(residual) > 1e-6
    with pytest.raises(NotConvergedError, match=f"ball.* 2 iterations .*{residual}"):
        check_converged(report, "ball")


def test_one_failure_in_a_batch_is_an_error_and_spares_the_others():
    balance = balance_of(ball(), surroundings())
    source = jnp.stack([balance.source, jnp.full_like(balance.source, jnp.nan)])
    operator = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), balance.operator)
    theta, report = jitted_solve(operator, source)
    np.testing.assert_array_equal(report.converged, [True, False])
    assert np.isfinite(theta[0]).all()
    assert np.isnan(theta[1]).sum() > 0.2 * theta[1].size
    with pytest.raises(NotConvergedError, match="nan"):
        check_converged(report, "batch")


@pytest.mark.parametrize("field", ["source", "operator"])
def test_nan_anywhere_is_no_success(field):
    balance = balance_of(ball(), surroundings())
    spoilt = jax.tree.map(lambda leaf: leaf.at[6, 6, 6].set(jnp.nan), balance)
    balance = balance._replace(**{field: getattr(spoilt, field)})
    theta, report = jitted_solve(balance.operator, balance.source)
    assert not report.converged
    assert np.isnan(theta[7, 7, 7])


def test_derivatives_that_did_not_converge_are_nan():
    balance = balance_of(ball(), surroundings())
    zero = jnp.zeros_like(balance.source)

    def total(source, max_iterations):
        theta, report = solve(balance.operator, source, max_iterations=max_iterations)
        return theta.sum(), report

    for max_iterations, finite in ((2, False), (50, True)):
        run = functools.partial(total, max_iterations=max_iterations)
        # Zero is solved without iterations, its derivative is not.
        gradient, report = jax.jit(jax.grad(run, has_aux=True))(zero)
        assert report.converged
        assert np.isfinite(gradient).all() == finite


@pytest.mark.fast
def test_no_heat_no_temperature():
    balance = balance_of(ball(), surroundings())
    theta, report = jitted_solve(balance.operator, jnp.zeros_like(balance.source))
    assert (theta == 0).all()
    assert (report.iterations, report.residual, report.converged) == (0, 0, True)


@pytest.mark.parametrize("factor", [1e-25, 1e25])
def test_the_scale_of_the_source_does_not_matter(factor):
    # Squares of 1e-25 and of 1e25 W are outside of single precision.
    balance = balance_of(ball(), surroundings())
    theta, report = jitted_solve(balance.operator, balance.source)
    scaled, scaled_report = jitted_solve(balance.operator, factor * balance.source)
    np.testing.assert_allclose(scaled / factor, theta, rtol=1e-4, atol=1e-4)
    assert scaled_report.iterations == report.iterations


def test_outside_the_body_there_is_no_temperature():
    body = ball()
    theta = steady(body, surroundings())[1]
    assert (theta[np.asarray(body.cells.depth) < -1] == 0).all()


@pytest.mark.fast
def test_a_mapped_report_is_checked_too():
    # Under vmap each body counts its own iterations.
    report = SolveReport(*map(np.asarray, ([7, 50], [1e-7, 0.25], [True, False])))
    with pytest.raises(NotConvergedError, match=r"after 50 iterations .* 0\.25"):
        check_converged(report, "batch")


def test_check_converged_is_silent_about_success():
    check_converged(SolveReport(*map(np.asarray, (7, [1e-7, 0.0], [True, True]))), "ok")
