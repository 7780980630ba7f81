"""Derivatives of skin temperatures by everything physical, against differences."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.bioheat.bodies import node_axis
from wbad_jax.bioheat.conduction import Surroundings, heat_balance, skin_temperature
from wbad_jax.bioheat.cut_cells import cut_cells
from wbad_jax.bioheat.medium import Region, tissue_medium
from wbad_jax.bioheat.solver import solve
from wbad_jax.bioheat.tissue import FAT, GLAND, MUSCLE, SKIN, TUMOUR, Tissue
from wbad_jax.bioheat.transient import evolve

pytestmark = pytest.mark.usefixtures("enable_x64")

SHAPE = (12, 12, 10)
SPACING = 4e-3
TISSUES = {"fat": FAT, "gland": GLAND, "muscle": MUSCLE, "skin": SKIN, "tumour": TUMOUR}
# Lengths in cells. A dome on the chest, a tumour off its axis, a vessel beside it.
PARAMETERS = {
    f"{name}.{field}": float(getattr(tissue, field))
    for name, tissue in TISSUES.items()
    for field in ("conductivity", "perfusion", "metabolic_heat")
} | {
    "tumour.metabolic_heat": 5e4,
    "tumour.radius": 1.37,
    "tumour.z": 6.21,
    "tumour.y": 6.83,
    "tumour.x": 4.29,
    "vessel.extra_perfusion": 2e4,
    "skin.thickness": 0.43,
    "dome.radius": 7.13,
    "heat_transfer": 9.3,
    "air": 20.4,
    "core": 36.7,
    "blood": 36.9,
}


def dome(values):
    """Geometry, medium and surroundings."""
    nodes, _ = zip(*[node_axis(size) for size in SHAPE], strict=True)
    level = _distance(nodes, (2.2, 6.1, 4.9)) - values["dome.radius"]
    cells = cut_cells(level)
    _, middles = zip(*[node_axis(size) for size in SHAPE], strict=True)
    place = [values[f"tumour.{axis}"] for axis in "zyx"]
    radius = values["tumour.radius"]
    height = jnp.broadcast_to(middles[0][:, None, None], SHAPE)
    tissues = {
        name: Tissue(*[values[f"{name}.{field}"] for field in Tissue._fields[:3]])
        for name in TISSUES
    }
    # Its blood flow per volume falls off around a line across the dome.
    line = jnp.hypot(height - 7.2, middles[1][:, None] - 4.6)
    medium = tissue_medium(
        cells.depth,
        background=tissues["fat"],
        regions=[
            Region(cells.depth - 1.9, tissues["gland"]),
            Region(1.8 - height, tissues["muscle"]),
            Region(
                radius - _distance(middles, place),
                tissues["tumour"],
                4 / 3 * jnp.pi * radius**3,
            ),
        ],
        skin=tissues["skin"],
        skin_thickness=values["skin.thickness"],
        extra_perfusion=values["vessel.extra_perfusion"] * jnp.exp(-(line**2)),
        spacing=SPACING,
    )
    names = ("heat_transfer", "air", "core", "blood")
    return cells, medium, Surroundings(*[values[name] for name in names])


def _distance(axes, centre):
    points = jnp.meshgrid(*map(jnp.asarray, axes), indexing="ij")
    return jnp.sqrt(sum((p - c) ** 2 for p, c in zip(points, centre, strict=True)))


def weighted(skin):
    """One number of an image that no symmetry hides anything from."""
    weights = np.random.default_rng(0).uniform(0, 1, SHAPE[1:])
    return jnp.sum(skin * weights, axis=(-2, -1)) / weights.sum()


def steady_image(values):
    cells, medium, outside = dome(values)
    balance = heat_balance(cells, medium, outside, SPACING)
    theta, _ = solve(balance.operator, balance.source, tolerance=1e-13)
    return theta, skin_temperature(balance, theta, cells, outside)


@jax.jit
def steady_number(values):
    return weighted(steady_image(values)[1])


def cooled(cells, medium, outside, theta):
    """After a minute of the surroundings."""
    settings = {"spacing": SPACING, "step": 10.0, "num_steps": 6, "keep_every": 6}
    _, skin, _ = evolve(cells, medium, outside, theta, tolerance=1e-12, **settings)
    return weighted(skin[0])


def rest_then_cooled(values):
    """All of it depends on the values but for the wind at rest."""
    cells, medium, outside = dome(values)
    theta, _ = steady_image(values | {"heat_transfer": 5.0, "air": 24.0})
    return cooled(cells, medium, outside, theta)


def differences(function, name):
    """Central, and the step it was taken with."""
    step = 1e-5 * max(abs(PARAMETERS[name]), 1e-4)
    values = [
        function(PARAMETERS | {name: PARAMETERS[name] + s}) for s in (-step, step)
    ]
    return float(values[1] - values[0]) / (2 * step)


@functools.cache
def steady_gradient():
    return jax.jit(jax.grad(steady_number))(PARAMETERS)


@pytest.mark.parametrize("name", PARAMETERS)
def test_gradient_of_a_steady_image(name):
    slope = differences(steady_number, name)
    assert abs(slope * PARAMETERS[name]) > 1e-7
    assert float(steady_gradient()[name]) == pytest.approx(slope, rel=1e-4)


def test_forward_and_reverse_mode_agree():
    rng = np.random.default_rng(1)
    direction = {name: x * rng.normal() for name, x in PARAMETERS.items()}
    _, slope = jax.jit(lambda v: jax.jvp(steady_number, (PARAMETERS,), (v,)))(direction)
    reverse = sum(direction[name] * steady_gradient()[name] for name in PARAMETERS)
    assert float(slope) == pytest.approx(float(reverse), rel=1e-7)


def test_a_warmer_tumour_is_felt_by_every_pixel_of_the_body():
    # One column of the Jacobian in forward mode, against differences.
    def image(heat):
        return steady_image(PARAMETERS | {"tumour.metabolic_heat": heat})[1]

    heat, step = PARAMETERS["tumour.metabolic_heat"], 500.0
    skin, slope = jax.jit(lambda h: jax.jvp(image, (h,), (1.0,)))(heat)
    run = jax.jit(image)
    expected = (run(heat + step) - run(heat - step)) / (2 * step)
    np.testing.assert_allclose(slope, expected, rtol=1e-4, atol=1e-15)
    body = np.asarray(skin) != PARAMETERS["air"]
    assert (np.asarray(slope)[body] > 0).all()
    assert (np.asarray(slope)[~body] == 0).all()


def test_derivatives_of_a_cooled_image_by_the_wind():
    cells, medium, outside = jax.jit(dome)(PARAMETERS)
    theta = jax.jit(steady_image)(PARAMETERS)[0]

    def image(heat_transfer):
        return cooled(
            cells, medium, outside._replace(heat_transfer=heat_transfer), theta
        )

    run, step = jax.jit(image), 1e-4
    slope = float(run(30.0 + step) - run(30.0 - step)) / (2 * step)
    assert slope < -0.01
    assert float(jax.jit(jax.grad(image))(30.0)) == pytest.approx(slope, rel=1e-6)
    forward = jax.jit(lambda h: jax.jvp(image, (h,), (1.0,))[1])(30.0)
    assert float(forward) == pytest.approx(slope, rel=1e-6)


@pytest.mark.slow
def test_gradient_of_a_protocol_by_everything():
    gradient = jax.jit(jax.grad(rest_then_cooled))(PARAMETERS)
    run = jax.jit(rest_then_cooled)
    for name in PARAMETERS:
        assert float(gradient[name]) == pytest.approx(
            differences(run, name), rel=1e-4
        ), name
