"""What is refused before and after a solve, and the recovery from cold."""

import jax
import numpy as np
import pytest

from tests.bioheat import patients
from wbad_jax.bioheat import thermograms, transient, twin
from wbad_jax.bioheat.body_shape import Grid
from wbad_jax.bioheat.solver import NotConvergedError, solve
from wbad_jax.bioheat.thermograms import (
    ColdStress,
    TumourPlacementError,
    cold_stress,
    solve_healthy,
    solve_tumour,
)

# Of the cohorts that tests simulate: compiled once for both.
GRID = patients.COARSE
PROTOCOL = ColdStress()


@pytest.fixture(scope="module")
def healthy():
    return solve_healthy(patients.twin(), GRID)


def with_tissue(name, **changes):
    patient = patients.twin()
    kind = getattr(patient.tissues, name)._replace(**changes)
    return patient._replace(tissues=patient.tissues._replace(**{name: kind}))


def with_projection(height):
    patient = patients.twin()
    body = patient.body
    breast = body.left._replace(projection=height)
    return patient._replace(body=body._replace(left=breast))


@pytest.mark.fast
@pytest.mark.parametrize(
    ("patient", "message"),
    [
        (
            with_tissue("gland", conductivity=-0.48),
            "gland needs conductivity > 0, got -0.48",
        ),
        (with_tissue("fat", perfusion=-1e-4), "fat needs perfusion >= 0, got -0.0001"),
        (
            with_tissue("skin", metabolic_heat=float("nan")),
            "skin needs metabolic_heat >= 0, got nan",
        ),
        (with_tissue("muscle", density=0.0), "muscle needs density > 0, got 0.0"),
        (
            patients.twin()._replace(
                skin=patients.twin().skin._replace(heat_transfer=0.0)
            ),
            "skin needs heat_transfer > 0, got 0.0",
        ),
        (patients.twin(air=38.5), "air colder than the core, got 38.5 and 37 degrees"),
        (patients.twin(air=float("nan")), "air colder than the core, got nan and 37"),
        (with_projection(90.0), "breast of 90.0 mm needs a higher grid than 84 mm"),
    ],
)
def test_refuses_impossible_patients(patient, message):
    with pytest.raises(ValueError, match=message):
        solve_healthy(patient, GRID)


def place(**changes):
    settings = {"column": 86.0, "row": 58.0, "depth": 30.0, "diameter": 20.0, **changes}
    return patients.tumour(**settings)


@pytest.mark.parametrize(
    ("lump", "error", "message"),
    [
        (
            place(diameter=17.0),
            ValueError,
            "grid of 12 mm needs tumours of at least 18 mm, got a diameter of 17 mm",
        ),
        (
            place(depth=9.0),
            TumourPlacementError,
            "depth > 10 mm for a diameter of 20 mm, got 9 mm",
        ),
        (
            place(tissue=patients.tumour().tissue._replace(conductivity=0.0)),
            ValueError,
            "tumour needs conductivity > 0, got 0.0",
        ),
        (place(depth=float("nan")), TumourPlacementError, "got nan mm"),
        (place(diameter=float("nan")), ValueError, "got a diameter of nan mm"),
        (
            place(column=0.0, depth=12.0),
            TumourPlacementError,
            r"inside a breast, but its centre is \d+\.\d mm outside",
        ),
        (
            place(column=-82.0, row=-120.0, depth=12.0),
            TumourPlacementError,
            r"inside a breast, but its centre is \d+\.\d mm outside",
        ),
        (
            place(depth=55.0),
            TumourPlacementError,
            r"above the chest wall, but its lowest point is at -\d+\.\d mm",
        ),
    ],
)
def test_refuses_tumours_that_cannot_be(healthy, lump, error, message):
    state, theta, _ = healthy
    with pytest.raises(error, match=message) as caught:
        solve_tumour(patients.twin(), lump, GRID, state, theta)
    assert caught.type is error


@pytest.mark.fast
def test_a_tumour_in_its_place_is_solved(healthy):
    state, theta, before = healthy
    for side in (-1, 1):
        lump = place(column=86.0 * side)
        *_, after = solve_tumour(patients.twin(), lump, GRID, state, theta)
        change = np.asarray(after.skin - before.skin)
        assert change.max() > 0.05
        columns = np.asarray(GRID.axes()[2])
        assert columns[change.max(axis=0).argmax()] * side > 0


@pytest.mark.fast
def test_the_place_of_a_tumour_is_measured_from_skin_and_breast():
    """On a flat skin the depth counts down from it; a slant makes it steeper."""
    patient, rows_columns = patients.twin(), GRID.shape[1:]
    flat = np.full(rows_columns, 50.0)
    for depth in (20.0, 35.0):
        z, level = twin.tumour_place(place(depth=depth), patient, flat, GRID)
        assert float(z) == pytest.approx(50.0 - depth, abs=1e-4)
        assert level < 0
    slope = 0.75
    slanted = 50.0 + slope * (np.asarray(GRID.axes()[2]) - 86.0) + 0 * flat
    z, _ = twin.tumour_place(place(depth=16.0), patient, slanted, GRID)
    assert float(z) == pytest.approx(50.0 - 16.0 * np.sqrt(1 + slope**2), abs=1e-3)


@pytest.fixture
def impatient(monkeypatch):
    """A solver that stops after one iteration, and nothing of it left compiled."""

    def forget():
        for compiled in (
            thermograms._healthy,
            thermograms._ill,
            thermograms._recovery,
        ):
            compiled.clear_cache()

    def start(module):
        forget()

        def stops(*args, **settings):
            return solve(*args, **{**settings, "max_iterations": 1})

        monkeypatch.setattr(module, "solve", stops)

    yield start
    forget()


def test_no_picture_of_a_solve_that_did_not_converge(healthy, impatient):
    state, theta, _ = healthy
    impatient(twin)
    message = r"{}: .* stopped after 1 iterations at a relative residual of 0?\.?\d"
    with pytest.raises(NotConvergedError, match=message.format("healthy patient")):
        solve_healthy(patients.twin(), GRID)
    with pytest.raises(NotConvergedError, match=message.format("patient with tumour")):
        solve_tumour(patients.twin(), place(), GRID, state, theta)


def test_no_series_of_a_solve_that_did_not_converge(healthy, impatient):
    state, theta, _ = healthy
    impatient(transient)
    with pytest.raises(NotConvergedError, match="cold stress: .* after 1 iterations"):
        cold_stress(state, theta, GRID, PROTOCOL)


def test_a_second_patient_is_not_compiled_anew():
    state, theta, _ = solve_healthy(patients.twin(), GRID)
    solve_tumour(patients.twin(), place(), GRID, state, theta)
    sizes = thermograms._healthy._cache_size(), thermograms._ill._cache_size()
    # Python floats and integers, NumPy and JAX numbers alike.
    for air in (21, 21.5, np.float32(20.0), np.float64(20.5), jax.numpy.float32(22.5)):
        state, theta, _ = solve_healthy(patients.twin(air=air), GRID)
        solve_tumour(patients.twin(air=air), place(row=57), GRID, state, theta)
    assert (
        thermograms._healthy._cache_size(),
        thermograms._ill._cache_size(),
    ) == sizes


# Recovery from cold.


@pytest.fixture(scope="module")
def recovery(healthy):
    state, theta, _ = healthy
    return cold_stress(state, theta, GRID, PROTOCOL)


def test_frames_are_pictures_of_the_protocol(recovery):
    assert recovery.shape == (PROTOCOL.num_frames, *GRID.shape[1:])
    assert recovery.dtype == np.float32
    assert np.isfinite(recovery).all()


def test_the_first_frame_is_the_coldest_and_all_skin_recovers():
    """On cells that resolve the cold layer; half of the frame is enough."""
    fine = Grid(shape=(28, 64, 64), spacing_mm=3.0)
    state, theta, view = solve_healthy(patients.twin(), fine)
    body = np.asarray(view.body)
    rest = np.asarray(view.skin)[body]
    frames = cold_stress(state, theta, fine, PROTOCOL)[:, body]
    assert (frames[0] < rest - 0.5).all()
    assert (np.diff(frames, axis=0) > -1e-4).all()
    assert (frames[-1] < rest + 1e-3).all()
    # In five minutes it makes up for most of what it lost in three.
    gap = rest - frames
    assert gap[-1].mean() < 0.5 * gap[0].mean()


def test_recovery_slows_down_and_consecutive_frames_are_nearly_identical(
    healthy, recovery
):
    body = np.asarray(healthy[2].body)
    # Cells of 12 mm miss the first seconds.
    steps = np.diff(recovery[1:, body], axis=0)
    assert (steps > -1e-4).all()
    assert (np.diff(steps.mean(axis=1)) < 0).all()
    loss = (np.asarray(healthy[2].skin)[body] - recovery[0, body]).mean()
    assert steps.mean(axis=1).max() < 0.2 * loss
    assert steps[-1].max() < 0.1


def test_frames_do_not_depend_on_their_number(healthy, recovery):
    state, theta, _ = healthy
    short = PROTOCOL._replace(num_frames=4)
    frames = cold_stress(state, theta, GRID, short)
    np.testing.assert_allclose(frames, recovery[:4], atol=1e-4)


def test_a_long_recovery_ends_at_rest(healthy):
    state, theta, view = healthy
    patience = PROTOCOL._replace(frame_seconds=3600.0, step_seconds=60.0, num_frames=5)
    frames = cold_stress(state, theta, GRID, patience)
    body = np.asarray(view.body)
    np.testing.assert_allclose(frames[-1][body], view.skin[body], atol=0.02)


def test_without_cooling_nothing_happens(healthy):
    state, theta, view = healthy
    nothing = PROTOCOL._replace(heat_transfer=1.0, air_celsius=0.0)
    frames = cold_stress(state, theta, GRID, nothing)
    body = np.asarray(view.body)
    np.testing.assert_allclose(
        frames[:, body], view.skin[body][None].repeat(20, 0), atol=2e-3
    )


def test_a_tumour_shows_more_against_cooled_skin(healthy):
    """Cold skin is nearer to the room's temperature: the lump is still warm below."""
    state, theta, before = healthy
    lump = place(depth=22.0)
    ill, ill_theta, after = solve_tumour(patients.twin(), lump, GRID, state, theta)
    cold = cold_stress(state, theta, GRID, PROTOCOL)
    cold_ill = cold_stress(ill, ill_theta, GRID, PROTOCOL)
    contrast = np.asarray(after.skin - before.skin)
    spot = np.unravel_index(contrast.argmax(), contrast.shape)
    series = (cold_ill - cold)[:, spot[0], spot[1]]
    assert 0.2 * contrast.max() < series[0] < contrast.max()
    assert abs(series[-1] - contrast.max()) < abs(series[0] - contrast.max())
