"""The references reproduce the fact base's numbers and one another."""

import dataclasses

import numpy as np
import pytest
from scipy import linalg

from tests.bioheat.reference_solutions import (
    BLOOD_HEAT,
    FOUR,
    GLAND_SLAB,
    SIX,
    convective_step,
    homogeneous_sphere,
    layered_slab,
    slab_transient,
)

pytestmark = pytest.mark.fast

GLAND = GLAND_SLAB[0]
DIFFUSIVITY = GLAND.conductivity / (GLAND.density * GLAND.specific_heat)
BARE = dataclasses.replace(GLAND, perfusion=0.0, metabolic_heat=0.0)
# A cold stress: rest, five minutes of cold wind, fifteen minutes of recovery.
REST, COLD = (10.0, 21.0), (30.0, 18.0)
COOL_TIMES = (30, 60, 120, 300)
RECOVERY_TIMES = (15, 30, 60, 120, 180, 240, 300, 600, 900)
STRESS = [(300.0, *COLD), (900.0, *REST)]
STRESS_TIMES = np.array([0, *COOL_TIMES, *(300 + t for t in RECOVERY_TIMES)])


@pytest.mark.parametrize(
    ("layers", "heat_transfer", "air", "outermost"),
    [
        (FOUR, 10.0, 21.0, [37.04501, 34.62042, 32.37369, 31.99382]),
        (FOUR, 13.5, 21.0, [37.02603, 34.04856, 31.32471, 30.86449]),
        (FOUR, 5.0, 25.0, [34.92552]),
        (FOUR, 10.0, 25.0, [33.30221]),
        (SIX, 10.0, 21.0, [37.04970, 34.80484, 32.52211, 32.34477, 32.17208, 32.12474]),
        (SIX, 13.5, 21.0, [31.01143]),
        (GLAND_SLAB, 10.0, 21.0, [33.44450]),
    ],
)
def test_layered_slab_interfaces(layers, heat_transfer, air, outermost):
    interfaces = layered_slab(layers, heat_transfer, air).interface_celsius
    np.testing.assert_allclose(interfaces[-len(outermost) :], outermost, atol=6e-6)


def test_layered_slab_flux():
    assert layered_slab(FOUR, *REST).flux == pytest.approx(109.938, abs=6e-4)
    assert layered_slab(SIX, *REST).flux == pytest.approx(111.247, abs=6e-4)


def test_layered_slab_profile_obeys_the_equation_and_the_core():
    slab = layered_slab(SIX, *REST, core_celsius=36.5)
    edges = np.cumsum([0.0, *(layer.thickness for layer in SIX)])
    np.testing.assert_allclose(slab.temperature(edges), slab.interface_celsius)
    assert slab.temperature(0.0) == pytest.approx(36.5)
    step = 1e-5
    for layer, left in zip(SIX, edges[:-1], strict=True):
        x = left + layer.thickness / 2
        below, here, above = slab.temperature(x + step * np.array([-1, 0, 1]))
        conduction = layer.conductivity * (below - 2 * here + above) / step**2
        blood = layer.perfusion * BLOOD_HEAT * (37 - here)
        assert conduction + blood + layer.metabolic_heat == pytest.approx(0, abs=0.05)
    last = slab.temperature(edges[-1] - np.array([0, step, 2 * step]))
    slope = (1.5 * last[0] - 2 * last[1] + 0.5 * last[2]) / step
    assert -SIX[-1].conductivity * slope == pytest.approx(slab.flux, rel=1e-6)


def test_layered_slab_without_perfusion_is_a_parabola():
    layer = dataclasses.replace(GLAND, perfusion=0.0)
    slab = layered_slab([layer], *REST)
    x = np.linspace(0, layer.thickness, 7)
    heat = layer.metabolic_heat / (2 * layer.conductivity)
    parabola = heat * x * (layer.thickness - x)
    line = 37 + (slab.skin_celsius - 37) * x / layer.thickness
    np.testing.assert_allclose(slab.temperature(x), line + parabola, rtol=1e-13)


def test_layered_slab_does_not_overflow():
    """Far below the skin, blood and metabolism balance."""
    deep = dataclasses.replace(GLAND, thickness=100.0)
    slab = layered_slab([deep], *REST)
    balance = 37 + GLAND.metabolic_heat / (GLAND.perfusion * BLOOD_HEAT)
    assert slab.temperature(50.0) == pytest.approx(balance)
    assert 33 < slab.skin_celsius < 34


def test_homogeneous_sphere():
    temperature = homogeneous_sphere(0.07, GLAND, *REST)
    expected = [36.92732, 32.70414]
    np.testing.assert_allclose(temperature([0.0, 0.07]), expected, atol=6e-6)
    slope = (temperature(0.07) - temperature(0.07 - 1e-7)) / 1e-7
    loss = 10.0 * (expected[1] - 21.0)
    assert -GLAND.conductivity * slope == pytest.approx(loss, rel=1e-5)


def test_homogeneous_sphere_needs_perfusion():
    with pytest.raises(ValueError, match="perfusion > 0, got 0"):
        homogeneous_sphere(0.07, BARE, *REST)


@pytest.mark.parametrize(
    ("heat_transfer", "expected"),
    [
        (10.0, [32.4804, 32.2755, 31.9954, 31.4715]),
        (50.0, [30.7210, 29.9745, 29.0683, 27.6648]),
    ],
)
def test_convective_step(heat_transfer, expected):
    skin = convective_step(
        COOL_TIMES, DIFFUSIVITY, GLAND.conductivity, heat_transfer, 33.0, 21.0
    )
    np.testing.assert_allclose(skin, expected, atol=6e-5)


def test_convective_step_does_not_overflow():
    skin = convective_step(1e12, DIFFUSIVITY, GLAND.conductivity, 50.0, 33.0, 21.0)
    assert skin == pytest.approx(21.0, abs=1e-3)


def stress_skin(step, cell):
    times, skin = slab_transient(FOUR, STRESS, step, cell, start=REST)
    at = np.rint(STRESS_TIMES / step).astype(int)
    np.testing.assert_allclose(times[at], STRESS_TIMES)
    return skin[at]


def finite_element_system(heat_transfer, air, elements=12):
    """Stiffness, mass and load above 37 of quadratic elements, 12 a layer."""
    size = 2 * elements * len(FOUR) + 1
    stiff, mass = np.zeros((size, size)), np.zeros((size, size))
    load = np.zeros(size)
    for i in range(elements * len(FOUR)):
        layer, part = FOUR[i // elements], slice(2 * i, 2 * i + 3)
        width = layer.thickness / elements
        bend = np.array([[7, -8, 1], [-8, 16, -8], [1, -8, 7]]) / (3 * width)
        own = width / 30 * np.array([[4, 2, -1], [2, 16, 2], [-1, 2, 4]])
        stiff[part, part] += layer.conductivity * bend
        stiff[part, part] += layer.perfusion * BLOOD_HEAT * own
        mass[part, part] += layer.density * layer.specific_heat * own
        load[part] += layer.metabolic_heat * own.sum(axis=0)
    stiff[-1, -1] += heat_transfer
    load[-1] += heat_transfer * (air - 37)
    return stiff[1:, 1:], mass[1:, 1:], load[1:]


def finite_element_skin():
    """The same stress by finite elements and, in time, exact exponentials."""
    state = np.linalg.solve(*finite_element_system(*REST)[::2])
    skin = [state[-1]]
    for boundary, times in ((COLD, COOL_TIMES), (REST, RECOVERY_TIMES)):
        stiff, mass, load = finite_element_system(*boundary)
        steady = np.linalg.solve(stiff, load)
        rates, modes = linalg.eigh(stiff, mass)
        weights = modes.T @ mass @ (state - steady)
        states = [steady + modes @ (np.exp(-rates * t) * weights) for t in times]
        skin += [one[-1] for one in states]
        state = states[-1]
    return 37 + np.array(skin)


def test_slab_transient_agrees_with_finite_elements():
    skin = stress_skin(step=0.5, cell=5e-5)
    np.testing.assert_allclose(skin, finite_element_skin(), atol=1e-4)


def test_slab_transient_is_of_second_order():
    exact = finite_element_skin()
    coarse, fine = (stress_skin(s, c) - exact for s, c in ((1.0, 4e-4), (0.5, 2e-4)))
    assert 3.5 < np.linalg.norm(coarse) / np.linalg.norm(fine) < 4.5


def test_slab_transient_agrees_with_the_convective_step():
    """0.3 m are a half-space for five minutes; 37 everywhere is steady in air of 37."""
    deep = dataclasses.replace(BARE, thickness=0.3)
    phases = [(300.0, 50.0, 21.0)]
    times, skin = slab_transient([deep], phases, 0.5, 1e-4, start=(10.0, 37.0))
    exact = convective_step(times, DIFFUSIVITY, BARE.conductivity, 50.0, 37.0, 21.0)
    late = times >= 15
    np.testing.assert_allclose(skin[late], exact[late], atol=5e-4)
    assert (np.diff(skin) < 0).all()


def test_slab_transient_near_the_tabulated_stress_test():
    """The table starts 6e-4 below the exact steady skin: its grid was not converged."""
    skin = stress_skin(step=0.5, cell=5e-5)
    assert skin[0] == pytest.approx(31.9932, abs=7e-4)
    moving = [30.612, 29.992, 29.154, 27.847, 28.514, 28.793, 29.199, 29.752]
    np.testing.assert_allclose(skin[1:9], moving, atol=4e-3)
    settling = [30.137, 30.425, 30.647, 31.262, 31.530]
    np.testing.assert_allclose(skin[9:], settling, atol=6e-4)


def test_slab_transient_rejects_a_step_that_does_not_divide():
    with pytest.raises(ValueError, match=r"step 7.0 s does not divide a phase of 300"):
        slab_transient(FOUR, STRESS, 7.0, 1e-3, start=REST)
