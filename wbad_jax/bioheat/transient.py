"""Temperatures in time: cooling and recovery of the skin, the dynamic protocol."""

import jax
import jax.numpy as jnp

from wbad_jax.bioheat.conduction import (
    Medium,
    Surface,
    Surroundings,
    apply,
    heat_balance,
    skin_temperature,
)
from wbad_jax.bioheat.cut_cells import Cells, CutCells
from wbad_jax.bioheat.solver import SolveReport, solve


def evolve(
    cells: CutCells,
    medium: Medium,
    surroundings: Surroundings,
    theta: Cells,
    *,
    spacing: float,
    step: float,
    num_steps: int,
    keep_every: int = 1,
    tolerance: float = 1e-5,
    max_iterations: int = 50,
) -> tuple[Cells, Surface, SolveReport]:
    """Lets a body adapt to its surroundings for a while: one phase of a protocol.

    Phases follow one another by the temperatures they end with; the first starts from
    `solver.solve`. Crank-Nicolson is of second order and never grows, but what the
    surroundings change at once it leaves oscillating. So the first step is two of
    backward Euler, each half as long, which damp that. Both schemes solve for half a
    step with the same operator, and Crank-Nicolson goes twice as far.

    Args:
        cells: Geometry, in units of the spacing; of one body, or of a batch along
            leading axes.
        medium: Properties.
        surroundings: During all of the phase.
        theta: Temperatures at its start relative to 37 degrees,
            `[..., depth, rows, columns]`.
        spacing: Edge of a cell, metres.
        step: Of time, seconds; a few, for the skin's response to a change is fast.
        num_steps: How many.
        keep_every: Of how many steps the last one's skin is returned.
        tolerance: On the residual of each step, relative to the heat that the body is
            out of balance by; far from it the changes solved for are small themselves.
        max_iterations: Of the solver, in each step.

    Returns:
        Temperatures at the end relative to 37 degrees; the skin as the camera sees it,
        degrees Celsius, `[num_steps / keep_every, ..., rows, columns]`; and the worst
        of the reports of all solves. Temperatures are NaN from a solve on that did not
        converge.

    Raises:
        ValueError: If the step is not positive, or `keep_every` does not divide
            `num_steps`, or one of them is not positive.

    Reference:
        Crank and Nicolson (1947), Proc. Camb. Phil. Soc. 43:50; Rannacher (1984),
        Finite element solution of diffusion problems with irregular data, Numer. Math.
        43:309, for the start.

    Examples:
        >>> from wbad_jax.bioheat import evolve
        >>> _, skin, last = evolve(  # see `solve`
        ...     cells, medium, outside, theta, spacing=0.003, step=5.0, num_steps=2
        ... )
        >>> skin.shape, bool(last.converged)
        ((2, 2, 2), True)
    """
    _check_steps(step, num_steps, keep_every)
    balance = heat_balance(cells, medium, surroundings, spacing)
    storage = 2 / step * spacing**3 * cells.volume * medium.capacity
    operator = balance.operator._replace(sink=balance.operator.sink + storage)
    # By how many seconds centres of cells are behind the straight line to the skin that
    # `skin_temperature` draws: half the distance squared over the diffusivity.
    distance = jnp.maximum(cells.depth, 0.0) * spacing
    lag = medium.skin_resistance * medium.capacity * distance / 2

    def half_step(theta, reach):
        # Of the change, not of the state: the tolerance is then relative to it.
        imbalance = balance.source - apply(balance.operator, theta)
        change, report = solve(
            operator, imbalance, tolerance=tolerance, max_iterations=max_iterations
        )
        theta = theta + reach * change
        straight = theta - lag * 2 / step * change
        skin = skin_temperature(balance, straight, cells, surroundings)
        return theta, (skin, report)

    reach = jnp.full(num_steps + 1, 2, theta.dtype).at[:2].set(1)
    theta, (skin, reports) = jax.lax.scan(half_step, theta, reach)
    # Entry i is after step i; entry 0 halfway through the first.
    return theta, skin[keep_every::keep_every], _worst(reports)


def _worst(reports: SolveReport) -> SolveReport:
    return SolveReport(
        iterations=reports.iterations.max(axis=0),
        residual=reports.residual.max(axis=0),
        converged=reports.converged.all(axis=0),
    )


def _check_steps(step: float, num_steps: int, keep_every: int) -> None:
    if not step > 0:
        raise ValueError(f"evolve needs step > 0 s, got {step}.")
    if num_steps < 1 or keep_every < 1 or num_steps % keep_every:
        raise ValueError(
            f"evolve needs num_steps >= 1 and keep_every >= 1 that divides it, got "
            f"num_steps {num_steps} and keep_every {keep_every}."
        )
