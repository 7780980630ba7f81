"""Multigrid: the preconditioner of the heat solver.

Cells are merged two by two along each axis, the last of an odd number alone; the
conductance between merged cells is that of the fine links between them, halved because
the distance is doubled, and sinks add up. So the coarse operators are heat balances
too, on bodies of any outline and grids of any size.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jax.lax import slice_in_dim
from jaxtyping import Array

from wbad_jax.bioheat import conduction
from wbad_jax.bioheat.conduction import HeatOperator
from wbad_jax.bioheat.cut_cells import AXES, Cells
from wbad_jax.stages import Stage, default_stage

_SMALLEST = 4  # cells along an axis after merging
_LARGEST_EIGENVALUE = 2.0  # of the operator over its diagonal, by Gershgorin
_COARSEST_SWEEPS = 8


class Level(NamedTuple):
    """An operator and the inverse of its diagonal, 0 in cells outside the body."""

    operator: HeatOperator
    scale: Cells


def hierarchy(operator: HeatOperator) -> list[Level]:
    """The operator and its coarser versions, finest first."""
    stage = default_stage()
    operators = [operator]
    while any(_mergeable(operators[-1].sink)):
        operators.append(stage(_coarsen, operators[-1]))
    return [Level(each, stage(_inverse_diagonal, each)) for each in operators]


def v_cycle(levels: Sequence[Level], residual: Cells, *, sweeps: int = 2) -> Cells:
    """Approximates the inverse of the finest operator; linear, symmetric, positive.

    Args:
        levels: Of `hierarchy`.
        residual: Right-hand side on the finest level.
        sweeps: Steps of the smoother before and after.

    Returns:
        The correction, shape of `residual`.

    Reference:
        Trottenberg, Oosterlee and Schueller (2001), Multigrid, section 2.4; Tatebe
        (1993) for multigrid as a preconditioner of conjugate gradients.
    """
    stage = default_stage()
    level, *coarser = levels
    if not coarser:
        return _smooth(stage, level, None, residual, _COARSEST_SWEEPS)
    theta = _smooth(stage, level, None, residual, sweeps)
    defect = stage(_defect, level, theta, residual)
    merged = _mergeable(residual)
    coarse = v_cycle(coarser, stage(_restrict, defect, merged=merged), sweeps=sweeps)
    theta = stage(_correct, theta, coarse, merged=merged)
    return _smooth(stage, level, theta, residual, sweeps)


def _smooth(
    stage: Stage, level: Level, start: Cells | None, right: Cells, sweeps: int
) -> Cells:
    """Chebyshev iteration of the fourth kind on the diagonally scaled operator.

    Lottes (2023), Optimal polynomial smoothers for multigrid V-cycles, Numer. Linear
    Algebra Appl. 30:e2518, algorithm 1: needs the largest eigenvalue only.
    """
    if start is None:
        step, residual = stage(_first_step, level, right), right
        theta = step
    else:
        theta, step, residual = stage(_restart, level, start, right)
    for k in range(2, sweeps + 1):
        theta, step, residual = stage(_sweep, level, theta, step, residual, k=k)
    return theta


def _first_step(level: Level, residual: Cells) -> Cells:
    return _weight(1) * level.scale * residual


def _restart(level: Level, theta: Cells, right: Cells) -> tuple[Cells, Cells, Cells]:
    residual = _defect(level, theta, right)
    step = _first_step(level, residual)
    return theta + step, step, residual


def _sweep(
    level: Level, theta: Cells, step: Cells, residual: Cells, *, k: int
) -> tuple[Cells, Cells, Cells]:
    """Step k > 1; `residual` is that of before the last step."""
    residual = _defect(level, step, residual)
    step = (2 * k - 3) / (2 * k + 1) * step + _weight(k) * level.scale * residual
    return theta + step, step, residual


def _weight(k: int) -> float:
    return (8 * k - 4) / (2 * k + 1) / _LARGEST_EIGENVALUE


def _defect(level: Level, theta: Cells, right: Cells) -> Cells:
    return right - conduction.apply(level.operator, theta)


def _correct(theta: Cells, coarse: Cells, *, merged: tuple[bool, ...]) -> Cells:
    """Gives each fine cell the correction of its merged cell."""
    for axis, use in zip(AXES, merged, strict=True):
        if use:
            coarse = jnp.repeat(coarse, 2, axis=axis)
    return theta + coarse[tuple(slice(size) for size in theta.shape)]


def _mergeable(cells: Cells) -> tuple[bool, ...]:
    """Along which axes cells can be merged."""
    return tuple(size >= 2 * _SMALLEST for size in cells.shape[-3:])


def _coarsen(operator: HeatOperator) -> HeatOperator:
    merged = _mergeable(operator.sink)
    links = []
    for link, axis in zip(operator.links, AXES, strict=True):
        if merged[axis]:
            # Links that leave a merged cell, twice as long as the fine ones.
            link = _every_second(link, axis, 1) / 2
        # Merged across other axes, a link gains area.
        others = tuple(
            use and other != axis for use, other in zip(merged, AXES, strict=True)
        )
        links.append(_restrict(link, merged=others))
    return HeatOperator(*links, sink=_restrict(operator.sink, merged=merged))


def _inverse_diagonal(operator: HeatOperator) -> Cells:
    diagonal = conduction.diagonal(operator)
    inside = diagonal > 0
    return jnp.where(inside, 1 / jnp.where(inside, diagonal, 1.0), 0.0)


def _restrict(values: Array, *, merged: tuple[bool, ...]) -> Array:
    """Adds up the cells that are merged."""
    for axis, use in zip(AXES, merged, strict=True):
        if use:
            values = _every_second(values, axis, 0) + _every_second(values, axis, 1)
    return values


def _every_second(array: Array, axis: int, start: int) -> Array:
    """After the last of an odd number of cells comes an empty one."""
    pad = [(0, 0)] * array.ndim
    pad[axis] = (0, array.shape[axis] % 2)
    return slice_in_dim(jnp.pad(array, pad), start, None, stride=2, axis=axis)
