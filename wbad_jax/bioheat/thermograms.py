"""Solves a patient with and without tumour, and refuses what physics cannot answer.

The compiled functions are pure; this is where their results are looked at, so that a
tumour outside the breast or a solve that did not converge never becomes an image.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from wbad_jax.bioheat import twin as twins
from wbad_jax.bioheat.body_shape import Grid
from wbad_jax.bioheat.patient import Tumour, Twin
from wbad_jax.bioheat.solver import SolveReport, check_converged
from wbad_jax.bioheat.tissue import check_tissue
from wbad_jax.bioheat.transient import evolve
from wbad_jax.bioheat.twin import Discretised, View

# A ball of fewer cells across is no ball.
_LEAST_CELLS = 1.5


class TumourPlacementError(ValueError):
    """A tumour lies where no breast tissue is."""


class ColdStress(NamedTuple):
    """A protocol: the skin is cooled by a fan, then watched while it recovers.

    Attributes:
        heat_transfer: Factor on the skin's heat transfer while the fan blows.
        air_celsius: Change of the air's temperature meanwhile.
        cooling_seconds: Duration of the cooling.
        frame_seconds: From one picture to the next.
        num_frames: Pictures during the recovery; the first at its start.
        step_seconds: Time step; divides the two durations.

    Examples:
        >>> from wbad_jax.bioheat import ColdStress
        >>> ColdStress(num_frames=10).frame_seconds
        15.0
    """

    heat_transfer: float = 2.5
    air_celsius: float = -3.0
    cooling_seconds: float = 180.0
    frame_seconds: float = 15.0
    num_frames: int = 20
    step_seconds: float = 7.5


def least_diameter(spacing_mm: float) -> float:
    """Diameter in mm of the smallest tumour that a grid resolves."""
    return _LEAST_CELLS * spacing_mm


def check_patient(twin: Twin, grid: Grid) -> None:
    """Refuses tissues and temperatures that no patient has.

    Raises:
        ValueError: Naming the property, the rule and the value.
    """
    for name, kind in twin.tissues._asdict().items():
        check_tissue(kind, name)
    if not float(twin.skin.heat_transfer) > 0:
        raise ValueError(
            f"skin needs heat_transfer > 0, got {float(twin.skin.heat_transfer)}."
        )
    if not float(twin.air) < float(twin.core):
        raise ValueError(
            f"A patient needs air colder than the core, got {float(twin.air):g} and "
            f"{float(twin.core):g} degrees."
        )
    highest = max(float(breast.projection) for breast in twin.body.breasts)
    room = (grid.shape[0] - 1) * grid.spacing_mm
    if highest > room:
        raise ValueError(
            f"A breast of {highest:.1f} mm needs a higher grid than {room:g} mm."
        )


def check_tumour(tumour: Tumour, grid: Grid) -> None:
    """Refuses tumours that break the skin or that the grid cannot resolve.

    Raises:
        ValueError: Naming the property, the rule and the value.
    """
    check_tissue(tumour.tissue, "tumour")
    diameter, depth = float(tumour.diameter), float(tumour.depth)
    least = least_diameter(grid.spacing_mm)
    if not diameter >= least:
        raise ValueError(
            f"A grid of {grid.spacing_mm:g} mm needs tumours of at least {least:g} mm, "
            f"got a diameter of {diameter:g} mm."
        )
    if not depth > diameter / 2:
        raise TumourPlacementError(
            f"A tumour must lie under the skin: depth > {diameter / 2:g} mm for a "
            f"diameter of {diameter:g} mm, got {depth:g} mm."
        )


def solve_healthy(twin: Twin, grid: Grid) -> tuple[Discretised, Array, View]:
    """Steady state of a patient without tumour.

    Args:
        twin: The patient.
        grid: Its plane is the image.

    Returns:
        The patient on the grid, the temperatures of the cells relative to 37 degrees,
        and the view of the camera.

    Raises:
        ValueError: If the patient is impossible.
        NotConvergedError: If the solver stops before its tolerance.

    Examples:
        >>> from wbad_jax.bioheat import CohortSettings, draw_healthy, solve_healthy
        >>> settings = CohortSettings()
        >>> twin, _ = draw_healthy(7, settings)
        >>> patient, theta, view = solve_healthy(twin, settings.grid)  # doctest: +SKIP
    """
    check_patient(twin, grid)
    healthy, theta, view, report = _healthy(_as_arrays(twin), grid)
    check_converged(report, "healthy patient")
    return healthy, theta, view


def solve_tumour(
    twin: Twin, tumour: Tumour, grid: Grid, healthy: Discretised, theta: Array
) -> tuple[Discretised, Array, View]:
    """Steady state of the same patient with a tumour.

    Args:
        twin: The patient.
        tumour: Of the patient.
        grid: As in `solve_healthy`.
        healthy: Of `solve_healthy`.
        theta: Likewise.

    Returns:
        As `solve_healthy`.

    Raises:
        TumourPlacementError: If the centre is outside the breasts, or the tumour
            reaches through the skin or the chest wall.
        ValueError: If it is too small for the grid, or its tissue impossible.
        NotConvergedError: If the solver stops before its tolerance.

    Examples:
        >>> from wbad_jax.bioheat import solve_tumour
        >>> ill = solve_tumour(twin, tumour, grid, well, theta)  # doctest: +SKIP
    """
    check_tumour(tumour, grid)
    ill, theta, view, report, place = _ill(
        _as_arrays(twin), _as_arrays(tumour), grid, healthy, theta
    )
    z, level = map(float, place)
    if not level < 0:
        raise TumourPlacementError(
            f"A tumour must lie inside a breast, but its centre is {level:.1f} mm "
            "outside."
        )
    if not z > float(tumour.diameter) / 2:
        raise TumourPlacementError(
            f"A tumour must lie above the chest wall, but its lowest point is at "
            f"{z - float(tumour.diameter) / 2:.1f} mm."
        )
    check_converged(report, "patient with tumour")
    return ill, theta, view


def cold_stress(
    patient: Discretised, theta: Array, grid: Grid, protocol: ColdStress
) -> np.ndarray:
    """Skin temperatures of a patient recovering from the cold.

    Args:
        patient: With or without tumour.
        theta: Steady state from which cooling starts.
        grid: Of both.
        protocol: Timing and cooling.

    Returns:
        Degrees Celsius, `[frames, rows, columns]` float32.

    Raises:
        NotConvergedError: If the solver stops before its tolerance.

    Examples:
        >>> from wbad_jax.bioheat import ColdStress, cold_stress
        >>> frames = cold_stress(patient, theta, grid, ColdStress())  # doctest: +SKIP
    """
    skin, report = _recovery(patient, theta, grid, protocol)
    check_converged(report, "cold stress")
    return np.asarray(skin)


def _as_arrays(description: Any) -> Any:
    """All numbers of one type: a Python float among arrays would compile anew."""
    kind = jax.dtypes.canonicalize_dtype(float)
    return jax.tree.map(lambda number: np.asarray(number, kind), description)


@functools.partial(jax.jit, static_argnames="grid")
def _healthy(twin: Twin, grid: Grid):
    healthy = twins.discretise(twin, grid)
    theta, report = twins.steady_state(healthy)
    return healthy, theta, twins.view(healthy, theta), report


@functools.partial(jax.jit, static_argnames="grid")
def _ill(twin: Twin, tumour: Tumour, grid: Grid, healthy: Discretised, theta: Array):
    ill = twins.with_tumour(twin, tumour, grid, healthy)
    change, report = twins.tumour_change(healthy, ill, theta, tumour, grid)
    theta = theta + change
    place = twins.tumour_place(tumour, twin, healthy.height, grid)
    return ill, theta, twins.view(ill, theta), report, place


@functools.partial(jax.jit, static_argnames=("grid", "protocol"))
def _recovery(
    patient: Discretised, theta: Array, grid: Grid, protocol: ColdStress
) -> tuple[Array, SolveReport]:
    at_rest = patient.surroundings
    cold = at_rest._replace(
        heat_transfer=at_rest.heat_transfer * protocol.heat_transfer,
        air=at_rest.air + protocol.air_celsius,
    )
    per_frame = round(protocol.frame_seconds / protocol.step_seconds)
    cooling = round(protocol.cooling_seconds / protocol.step_seconds)
    watched = per_frame * (protocol.num_frames - 1)
    parts, reports = [], []
    for surroundings, steps, every in (
        (cold, cooling, cooling),
        (at_rest, watched, per_frame),
    ):
        theta, skin, report = evolve(
            patient.cells, patient.medium, surroundings, theta,
            spacing=grid.spacing, step=protocol.step_seconds,
            num_steps=steps, keep_every=every,
        )  # fmt: skip
        parts.append(skin)
        reports.append(report)
    worst = jax.tree.map(lambda a, b: jnp.stack([a, b]), *reports)
    return jnp.concatenate(parts), worst
