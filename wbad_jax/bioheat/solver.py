"""Steady temperatures by conjugate gradients with a multigrid preconditioner."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from wbad_jax.bioheat import conduction
from wbad_jax.bioheat.conduction import HeatOperator
from wbad_jax.bioheat.cut_cells import AXES, Cells
from wbad_jax.bioheat.multigrid import hierarchy, v_cycle
from wbad_jax.stages import default_stage


class NotConvergedError(RuntimeError):
    """A solve did not reach its tolerance."""


class SolveReport(NamedTuple):
    """How a solve ended, per body.

    Attributes:
        iterations: Preconditioned iterations, of the slowest body of a batch; one of
            each body under `jax.vmap`.
        residual: Relative to the right-hand side.
        converged: Whether that is within the tolerance.
    """

    iterations: Array
    residual: Array
    converged: Array


def solve(
    operator: HeatOperator,
    source: Cells,
    *,
    tolerance: float = 1e-6,
    max_iterations: int = 50,
) -> tuple[Cells, SolveReport]:
    """Solves the heat balance for the temperatures of the cells.

    Derivatives, in both modes, are solves of the same kind: the operator is symmetric.

    Args:
        operator: Of one body, or of a batch along leading axes.
        source: Right-hand side, W.
        tolerance: On the residual, relative to the source, in the Euclidean norm.
        max_iterations: Of preconditioned conjugate gradients.

    Returns:
        Temperatures relative to 37 degrees, 0 outside the body, and how the solve
        ended. Where it did not converge, temperatures are NaN and so are derivatives,
        so that no image can come of it; `check_converged` turns that into an error.

    Reference:
        Saad (2003), Iterative methods for sparse linear systems, algorithm 9.1.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.bioheat import (
        ...     FAT, SKIN, Surroundings, cut_cells, heat_balance, solve, tissue_medium
        ... )
        >>> below = jnp.arange(-8.0, 1.0)[:, None, None]  # the skin is at 0
        >>> cells = cut_cells(jnp.broadcast_to(below, (9, 3, 3)))
        >>> medium = tissue_medium(
        ...     cells.depth, background=FAT, regions=[], skin=SKIN, skin_thickness=0.5,
        ...     extra_perfusion=0.0, spacing=0.003,
        ... )
        >>> outside = Surroundings(heat_transfer=10.0, air=21.0, core=37.0, blood=37.0)
        >>> balance = heat_balance(cells, medium, outside, spacing=0.003)
        >>> theta, report = solve(balance.operator, balance.source)
        >>> bool(report.converged), theta.shape
        (True, (8, 2, 2))
    """

    def matvec(theta):
        return conduction.apply(operator, theta)

    def inner(_, right):
        return _conjugate_gradients(operator, right, tolerance, max_iterations)

    theta, report = jax.lax.custom_linear_solve(
        matvec, source, inner, symmetric=True, has_aux=True
    )
    # Cells outside the body have no equation: no derivative may be asked of them.
    outside = conduction.diagonal(operator) == 0
    return jnp.where(outside, 0.0, theta), report


def check_converged(report: SolveReport, name: str) -> None:
    """Refuses the result of a solve that did not converge.

    Args:
        report: Concrete, of one body or a batch.
        name: Of what was solved, for the error.

    Raises:
        NotConvergedError: With the residual and the number of iterations.

    Examples:
        >>> from wbad_jax.bioheat import check_converged
        >>> check_converged(report, "the slab")  # see `solve`
    """
    if not np.all(report.converged):
        raise NotConvergedError(
            f"{name}: the heat solver stopped after {np.max(report.iterations)} "
            "iterations at a relative residual of "
            f"{float(np.max(report.residual)):.2g}."
        )


def _conjugate_gradients(operator, right, tolerance, max_iterations):
    levels = hierarchy(operator)
    stage = default_stage()
    # Of single cells' heat as it is, squares could be below single precision.
    unit = jnp.max(jnp.abs(right), axis=AXES, keepdims=True)
    unit = jnp.where(unit == 0, 1.0, unit)
    right = right / unit

    def dot(a, b):
        return jnp.sum(a * b, axis=AXES, keepdims=True)

    scale = dot(right, right)
    limit = tolerance**2 * scale

    def unfinished(state):
        iteration, _, residual, *_ = state
        return (iteration < max_iterations) & jnp.any(dot(residual, residual) > limit)

    def step(state):
        iteration, theta, residual, direction, old = state
        correction = v_cycle(levels, residual)
        new = dot(residual, correction)
        direction = stage(_turn, correction, _ratio(new, old), direction)
        image = stage(conduction.apply, operator, direction)
        length = _ratio(new, dot(direction, image))
        theta, residual = stage(_advance, theta, residual, direction, image, length)
        return iteration + 1, theta, residual, direction, new

    zero = jnp.zeros_like(right)
    start = (jnp.array(0), zero, right, zero, jnp.zeros_like(scale))
    iteration, theta, residual, *_ = jax.lax.while_loop(unfinished, step, start)
    # NaN in the source stays NaN here, and counts as not converged.
    relative = jnp.sqrt(dot(residual, residual) / jnp.where(scale == 0, 1.0, scale))
    theta = jnp.where(relative <= tolerance, theta * unit, jnp.nan)
    relative = relative[..., 0, 0, 0]
    return theta, SolveReport(iteration, relative, relative <= tolerance)


def _turn(correction, share, direction):
    return correction + share * direction


def _advance(theta, residual, direction, image, length):
    return theta + length * direction, residual - length * image


def _ratio(a, b):
    return jnp.where(b > 0, a / jnp.where(b > 0, b, 1), 0)
