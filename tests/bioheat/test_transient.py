"""Cooling and recovery against the one-dimensional reference and closed forms."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.bioheat.bodies import slab, steady, surroundings
from tests.bioheat.reference_solutions import (
    FOUR,
    GLAND_SLAB,
    convective_step,
    slab_transient,
)
from wbad_jax.bioheat.transient import evolve

jitted_evolve = jax.jit(
    evolve,
    static_argnames=("step", "num_steps", "keep_every", "tolerance", "max_iterations"),
)
REST, COLD = (10.0, 21.0), (30.0, 18.0)
GLAND = GLAND_SLAB[0]
BARE = dataclasses.replace(GLAND, thickness=0.06, perfusion=0.0, metabolic_heat=0.0)


def phase(body, theta, outside, **settings):
    """Temperatures and the mean skin of a phase that converged."""
    theta, skin, report = jitted_evolve(
        body.cells,
        body.medium,
        surroundings(*outside),
        theta,
        spacing=body.spacing,
        **settings,
    )
    assert report.converged
    assert report.iterations <= 8
    return theta, np.asarray(skin).mean(axis=(-2, -1))


def test_cold_stress_benchmark():
    # Rest, five minutes of cold wind, fifteen minutes of recovery; frames every 15 s.
    body = slab(spacing=1e-3)
    theta = steady(body, surroundings(*REST))[1]
    theta, cold = phase(body, theta, COLD, step=2.5, num_steps=120, keep_every=6)
    _, rest = phase(body, theta, REST, step=2.5, num_steps=360, keep_every=6)
    assert (len(cold), len(rest)) == (20, 60)
    measured = np.append(cold, rest)
    phases = [(300.0, *COLD), (900.0, *REST)]
    _, exact = slab_transient(FOUR, phases, 0.5, 2e-4, start=REST)
    np.testing.assert_allclose(measured, exact[30::30], atol=0.01)  # asked for: 0.02
    # The fact base's own numbers, after 30 ... 300 s and 15 ... 900 s of recovery.
    listed = {1: 30.612, 3: 29.992, 7: 29.154, 19: 27.847, 20: 28.514, 21: 28.793}
    listed |= {23: 29.199, 27: 29.752, 31: 30.137, 39: 30.647, 59: 31.262, 79: 31.530}
    at = np.array(list(listed))
    np.testing.assert_allclose(measured[at], list(listed.values()), atol=0.02)


@pytest.mark.fast
@pytest.mark.parametrize("heat_transfer", [10.0, 50.0])
def test_convective_step(heat_transfer):
    # Deep enough for five minutes to look like for ever.
    body = slab((BARE,), spacing=1e-3)
    theta = jnp.full(body.cells.volume.shape, 33.0 - 37.0)
    outside = (heat_transfer, 21.0, 33.0)
    _, skin = phase(body, theta, outside, step=5.0, num_steps=60, keep_every=6)
    diffusivity = GLAND.conductivity / (GLAND.density * GLAND.specific_heat)
    exact = convective_step(
        np.arange(30, 301, 30),
        diffusivity,
        GLAND.conductivity,
        *outside[:1],
        33.0,
        21.0,
    )
    # Within a thousandth of the fall by the wind.
    np.testing.assert_allclose(skin, exact, atol=heat_transfer * 1e-3)


@pytest.mark.usefixtures("enable_x64")
def test_second_order_in_time():
    body = slab(spacing=2e-3)
    theta = steady(body, surroundings(*REST), tolerance=1e-10)[1]

    def after_a_minute(num_steps):
        settings = {"step": 60 / num_steps, "num_steps": num_steps, "tolerance": 1e-8}
        end, skin = phase(body, theta, COLD, keep_every=num_steps, **settings)
        assert skin.shape == (1,)
        return np.asarray(end)[:, 0, 0]

    fine = after_a_minute(120)
    errors = [np.abs(after_a_minute(n) - fine).max() for n in (8, 16)]
    assert errors[0] < 0.1
    assert 3.5 < errors[0] / errors[1] < 4.7


@pytest.mark.usefixtures("enable_x64")
def test_long_steps_do_not_oscillate():
    # A jump that plain Crank-Nicolson would answer with alternating skin temperatures.
    body = slab(spacing=1e-3)
    theta = steady(body, surroundings(*REST))[1]
    _, skin = phase(body, theta, (300.0, 10.0), step=100.0, num_steps=8)
    assert (np.diff(skin) < 0).all()


@pytest.mark.fast
def test_steady_stays_steady():
    body = slab(spacing=2e-3)
    skin, theta = steady(body, surroundings(*REST))
    end, skins = phase(body, theta, REST, step=10.0, num_steps=30, keep_every=10)
    np.testing.assert_allclose(skins, skin.mean(), atol=1e-4)
    np.testing.assert_allclose(end, theta, atol=2e-4)


@pytest.mark.usefixtures("enable_x64")
def test_for_ever_is_steady():
    body = slab(spacing=2e-3)
    there = steady(body, surroundings(*COLD), tolerance=1e-9)
    start = jnp.zeros(body.cells.volume.shape)
    end, skin = phase(body, start, COLD, step=200.0, num_steps=200, keep_every=200)
    np.testing.assert_allclose(skin[0], there[0].mean(), atol=1e-3)
    np.testing.assert_allclose(end, there[1], atol=1e-3)


@pytest.mark.usefixtures("enable_x64")
def test_a_loose_tolerance_is_enough_for_the_changes():
    body = slab(spacing=2e-3)
    theta = steady(body, surroundings(*REST), tolerance=1e-10)[1]
    settings = {"step": 5.0, "num_steps": 60}
    exact = phase(body, theta, COLD, tolerance=1e-10, **settings)[1]
    skin = phase(body, theta, COLD, tolerance=1e-4, **settings)[1]
    np.testing.assert_allclose(skin, exact, atol=5e-4)


@pytest.mark.usefixtures("enable_x64")
@pytest.mark.parametrize("mapped", [False, True])
def test_a_batch_equals_its_bodies_one_by_one(mapped):
    layers = [dataclasses.replace(GLAND, conductivity=k) for k in (0.4, 0.5)]
    bodies = [slab((layer,), spacing=2e-3) for layer in layers]
    cells, medium = jax.tree.map(
        lambda *leaves: jnp.stack(leaves), *[body[:2] for body in bodies]
    )
    settings = {"spacing": 2e-3, "step": 10.0, "num_steps": 6, "keep_every": 2}
    settings["tolerance"] = 1e-10

    def run(cells, medium, theta):
        return jitted_evolve(cells, medium, surroundings(*COLD), theta, **settings)

    start = jnp.zeros(cells.volume.shape)
    if mapped:
        theta, skin, report = jax.vmap(run)(cells, medium, start)
        skin = skin.swapaxes(0, 1)
    else:
        theta, skin, report = run(cells, medium, start)
    assert skin.shape == (3, 2, 2, 2)
    assert report.converged.shape == (2,)
    for i, body in enumerate(bodies):
        alone = run(*body[:2], start[i])
        np.testing.assert_allclose(theta[i], alone[0], atol=1e-8)
        np.testing.assert_allclose(skin[:, i], alone[1], atol=1e-8)
    assert np.abs(skin[:, 0] - skin[:, 1]).min() > 0.01


def test_the_worst_solve_is_reported():
    body = slab(spacing=2e-3)
    start = jnp.zeros(body.cells.volume.shape)
    theta, skin, report = jitted_evolve(
        body.cells,
        body.medium,
        surroundings(*COLD),
        start,
        spacing=2e-3,
        step=10.0,
        num_steps=3,
        max_iterations=1,
    )
    assert not report.converged
    assert np.isnan(theta[0, 0, 0])
    assert np.isnan(skin[-1]).all()


@pytest.mark.fast
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"step": 0.0}, "step > 0 s, got 0"),
        ({"step": float("nan")}, "step > 0 s, got nan"),
        ({"num_steps": 0}, "num_steps 0 and keep_every 1"),
        ({"num_steps": 10, "keep_every": 3}, "num_steps 10 and keep_every 3"),
        ({"keep_every": 0}, "num_steps 4 and keep_every 0"),
    ],
)
def test_rejects(wrong, message):
    body = slab(spacing=5e-3)
    with pytest.raises(ValueError, match=message):
        phase(body, body.cells.volume, REST, **({"step": 1.0, "num_steps": 4} | wrong))
