"""The thermal twin: exactness of the local solve, symmetry, physics, derivatives."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.bioheat import patients
from wbad_jax.bioheat import anatomy, tumours, twin
from wbad_jax.bioheat.body_shape import Grid
from wbad_jax.bioheat.solver import check_converged
from wbad_jax.bioheat.thermograms import solve_healthy, solve_tumour

# Of the derivatives: small, and no plane or axis of the patient is a plane of it.
SMALL = Grid(shape=(10, 36, 36), spacing_mm=8.0)
VEINS = [(60.0 + i, -40.0 + 3.0 * i, 4.0, 0.003) for i in range(30)]


def as_arrays(tree):
    return jax.tree.map(lambda number: np.asarray(number, float), tree)


def skin_of(patient, grid=patients.MIDDLE):
    view = solve_healthy(patient, grid)[2]
    return np.asarray(view.skin), np.asarray(view.body)


@functools.partial(jax.jit, static_argnames="grid")
def _ill_in_full(patient, lump, grid, healthy):
    ill = twin.with_tumour(patient, lump, grid, healthy)
    theta, report = twin.steady_state(ill)
    return twin.view(ill, theta), report


def contrast_of(patient, lump, grid=patients.MIDDLE):
    healthy, theta, before = solve_healthy(patient, grid)
    _, _, after = solve_tumour(patient, lump, grid, healthy, theta)
    return np.asarray(after.skin) - np.asarray(before.skin)


def drawn(seed, settings=None, healthy_settings=None):
    rng = np.random.default_rng(seed)
    patient = anatomy.draw_twin(
        rng, 22.0, healthy_settings or anatomy.HealthySettings()
    )
    settings = settings or tumours.TumourSettings(vessel_share=1.0)
    return patient, tumours.draw_tumour(rng, patient, "strong", settings)


# The change that a tumour makes.


def difference_to_full_solve(patient, lump, grid):
    """Largest difference of the skin, and the peak of the contrast."""
    healthy, theta, before = solve_healthy(patient, grid)
    _, _, local = solve_tumour(patient, lump, grid, healthy, theta)
    full, report = _ill_in_full(as_arrays(patient), as_arrays(lump), grid, healthy)
    check_converged(report, "full solve")
    skins = [np.asarray(view.skin)[before.body] for view in (before, local, full)]
    return np.abs(skins[1] - skins[2]).max(), (skins[2] - skins[0]).max()


@pytest.mark.parametrize("seed", range(6))
def test_local_solve_equals_the_full_solve_of_the_ill_patient(seed):
    difference, contrast = difference_to_full_solve(*drawn(seed), patients.MIDDLE)
    assert contrast > 0.3
    assert difference < 0.01


@pytest.mark.slow
def test_local_solve_equals_the_full_solve_on_a_fine_grid():
    difference, contrast = difference_to_full_solve(*drawn(0), patients.FINE)
    assert contrast > 0.3
    assert difference < 0.01


def test_a_vein_at_the_edge_of_the_square_shows_that_the_comparison_can_fail():
    veins = [(-30.0, y, 3.0, 0.005) for y in range(-60, 80, 3)]
    lump = patients.tumour(vessels=veins)
    difference, _ = difference_to_full_solve(patients.twin(), lump, patients.MIDDLE)
    assert difference > 0.05


def test_twins_are_equal_where_no_tumour_reaches():
    patient, lump = patients.twin(vessels=VEINS), patients.tumour(column=110.0)
    healthy, theta, before = solve_healthy(patient, patients.MIDDLE)
    ill, ill_theta, after = solve_tumour(patient, lump, patients.MIDDLE, healthy, theta)
    # The square of 240 mm is moved into the frame, which ends at 192 mm.
    far = np.asarray(patients.MIDDLE.axes()[2]) < 192 - 240
    np.testing.assert_array_equal(ill_theta[..., far], theta[..., far])
    np.testing.assert_array_equal(after.skin[:, far], before.skin[:, far])
    assert np.abs(after.skin - before.skin)[:, ~far].max() > 0.3
    for name in ("body", "facing"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    assert jax.tree.all(jax.tree.map(np.array_equal, ill.cells, healthy.cells))


def test_a_tumour_like_the_gland_around_it_changes_nothing():
    gland = patients.twin().tissues.gland
    lump = patients.tumour(tissue=gland, diameter=10.0, depth=30.0)
    assert np.abs(contrast_of(patients.twin(), lump)).max() < 1e-4


def test_contrast_is_largest_above_the_tumour():
    lump = patients.tumour(depth=16.0)
    contrast = contrast_of(patients.twin(), lump)
    row, column = np.unravel_index(contrast.argmax(), contrast.shape)
    _, rows, columns = patients.MIDDLE.axes()
    assert abs(rows[row, 0] - lump.row) < 6
    assert abs(columns[column] - lump.column) < 6


# Symmetry.


def test_a_mirrored_patient_gives_the_mirrored_picture():
    patient, lump = drawn(1)
    mirror = patients.mirrored(patient)
    skin, body = skin_of(patient)
    other, other_body = skin_of(mirror)
    np.testing.assert_array_equal(other_body[:, ::-1], body)
    np.testing.assert_allclose(other[:, ::-1], skin, atol=1e-4)
    assert np.abs(skin - skin[:, ::-1])[body & body[:, ::-1]].max() > 0.5
    contrast = contrast_of(patient, lump)
    mirror_contrast = contrast_of(mirror, patients.mirrored_tumour(lump))
    np.testing.assert_allclose(mirror_contrast[:, ::-1], contrast, atol=1e-4)
    assert contrast.max() > 0.3


# What physics says about the sign of a change.


def changed_skin(change):
    """How the skin of the patient of round numbers changes, on the body."""
    before, body = skin_of(patients.twin())
    after, other_body = skin_of(change(patients.twin()))
    return (after - before)[body & other_body]


def test_a_warmer_room_warms_all_of_the_skin():
    change = changed_skin(lambda p: p._replace(air=24.0))
    assert change.min() > 0
    assert change.max() < 2


def test_a_warmer_core_warms_all_of_the_skin():
    change = changed_skin(lambda p: p._replace(core=37.5))
    assert change.min() > 0
    assert change.max() < 0.5 + 1e-3


def test_stronger_cooling_cools_all_of_the_skin():
    change = changed_skin(
        lambda p: p._replace(skin=p.skin._replace(heat_transfer=18.0))
    )
    assert change.max() < 0


def test_thicker_fat_cools_nearly_all_of_the_skin():
    """It also moves the skin outwards, so that cells at the outline may differ."""
    change = changed_skin(lambda p: patients.with_fat(p, 22.0))
    assert np.mean(change < 0) > 0.9
    assert change.mean() < -0.3


@pytest.mark.parametrize("name", ["skin", "fat", "gland", "muscle"])
@pytest.mark.parametrize("field", ["perfusion", "metabolic_heat"])
def test_more_blood_and_more_heat_warm_the_skin(name, field):
    def more(patient):
        kind = getattr(patient.tissues, name)
        richer = kind._replace(**{field: 3 * getattr(kind, field)})
        return patient._replace(tissues=patient.tissues._replace(**{name: richer}))

    change = changed_skin(more)
    assert change.min() > -1e-3
    assert change.mean() > 1e-3


def test_veins_warm_the_skin_above_them():
    change = changed_skin(
        lambda p: p._replace(vessels=patients.twin(vessels=VEINS).vessels)
    )
    assert change.min() > -1e-3
    assert change.max() > 0.2


def test_folds_and_armpits_are_warm_and_nipples_and_flanks_cold():
    for name, value, sign in (
        ("fold", 0.9, 1),
        ("armpit", 0.6, 1),
        ("nipples", (0.9, 0.9), -1),
        ("flank", 15.0, -1),
    ):
        before = {"fold": 0.5, "armpit": 0.2, "nipples": (0.3, 0.3), "flank": 8.0}

        def with_skin(setting, name=name):
            patient = patients.twin()
            skin = patient.skin._replace(**{name: setting})
            return skin_of(patient._replace(skin=skin))

        low, body = with_skin(before[name])
        high, _ = with_skin(value)
        change = sign * (high - low)[body]
        assert change.min() > -2e-3, name
        assert change.max() > 0.1, name


def peak(**changes):
    return contrast_of(patients.twin(), patients.tumour(**changes)).max()


def test_contrast_falls_with_depth_and_grows_with_size_and_heat():
    deeper = [peak(depth=depth) for depth in (14.0, 20.0, 26.0, 32.0)]
    assert (np.diff(deeper) < 0).all()
    larger = [peak(diameter=diameter) for diameter in (10.0, 15.0, 20.0, 28.0)]
    assert (np.diff(larger) > 0).all()
    hotter = [peak(heat=heat) for heat in (1e4, 1e5, 3e5, 1e6)]
    assert (np.diff(hotter) > 0).all()
    veins = [(90.0 + 3 * i, 50.0, 4.0, 0.002) for i in range(10)]
    assert peak(vessels=veins) > peak()


# Derivatives.


def skin_and_contrast(patient, lump):
    """Mean of the skin of the ill patient, its warmest spot, the contrast's peak."""
    healthy = twin.discretise(patient, SMALL)
    theta, _ = twin.steady_state(healthy, 1e-11)
    ill = twin.with_tumour(patient, lump, SMALL, healthy)
    change, _ = twin.tumour_change(healthy, ill, theta, lump, SMALL, 1e-10)
    before, after = twin.view(healthy, theta), twin.view(ill, theta + change)
    body = before.body
    mean = jnp.where(body, after.skin, 0.0).sum() / body.sum()
    return jnp.stack(
        [
            mean,
            jnp.where(body, after.skin, 0.0).max(),
            jnp.where(body, after.skin - before.skin, 0.0).max(),
        ]
    )


jitted_outputs = jax.jit(skin_and_contrast)


@jax.jit
def _pulled_back(patient, lump, weights):
    return jax.vjp(skin_and_contrast, patient, lump)[1](weights)


def jacobian_of(patient, lump):
    """Derivatives of each output by patient and tumour."""
    return [_pulled_back(patient, lump, weights) for weights in np.eye(3)]


def slanted_patient():
    """No two numbers of hers agree with a plane of the grid."""
    patient = patients.twin(vessels=VEINS)
    torso = patient.body.torso._replace(column=1.7, row=37.1)
    shape = patient.body._replace(torso=torso)
    lump = patients.tumour(column=88.3, row=52.9, depth=19.3, diameter=21.7)
    return as_arrays(patient._replace(body=shape)), as_arrays(lump)


def replaced(tree, path, value):
    name, *rest = path.split(".")
    if rest:
        value = replaced(getattr(tree, name), ".".join(rest), value)
    return tree._replace(**{name: value})


def read(tree, path):
    for name in path.split("."):
        tree = getattr(tree, name)
    return tree


@pytest.fixture(scope="module")
def jacobian():
    with jax.enable_x64(True):
        return jacobian_of(*slanted_patient())


@pytest.mark.usefixtures("enable_x64")
@pytest.mark.parametrize(
    ("owner", "path", "step"),
    [
        (0, "air", 1e-2),
        (0, "core", 1e-2),
        (0, "skin.heat_transfer", 1e-3),
        (0, "skin.flank", 1e-3),
        (0, "tissues.gland.perfusion", 1e-7),
        (0, "tissues.fat.conductivity", 1e-5),
        (0, "tissues.gland.conductivity", 1e-5),
        (0, "tissues.muscle.metabolic_heat", 1.0),
        (0, "body.torso.skin", 1e-4),
        (0, "body.right.fat", 1e-4),
        (1, "depth", 1e-4),
        (1, "diameter", 1e-4),
        (1, "column", 1e-4),
        (1, "row", 1e-4),
        (1, "tissue.metabolic_heat", 10.0),
        (1, "tissue.perfusion", 1e-6),
        (1, "tissue.conductivity", 1e-5),
    ],
)
def test_derivatives_equal_differences(jacobian, owner, path, step):
    arguments = slanted_patient()

    def at(shift):
        moved = list(arguments)
        value = read(arguments[owner], path) + shift
        moved[owner] = replaced(arguments[owner], path, value)
        return np.asarray(jitted_outputs(*moved))

    difference = (at(step) - at(-step)) / (2 * step)
    derivative = [float(read(row[owner], path)) for row in jacobian]
    scale = np.abs(difference).max()
    assert scale > 0
    np.testing.assert_allclose(derivative, difference, rtol=0.01, atol=1e-4 * scale)


def test_all_derivatives_are_finite(jacobian):
    for path, leaf in jax.tree_util.tree_leaves_with_path(jacobian):
        assert np.isfinite(leaf).all(), jax.tree_util.keystr(path)


@pytest.mark.usefixtures("enable_x64")
def test_derivatives_of_drawn_patients_are_finite():
    """With all their points of no effect, and with breasts on corners of the grid."""
    lumpy = drawn(2)
    on_corners = patients.twin()
    shape = on_corners.body
    breasts = [
        each._replace(column=80.0 * each.side, row=64.0) for each in shape.breasts
    ]
    on_corners = on_corners._replace(
        body=shape._replace(left=breasts[0], right=breasts[1])
    )
    centred = patients.tumour(column=84.0, row=52.0)
    for patient, lump in (lumpy, (on_corners, centred)):
        derivatives = jacobian_of(as_arrays(patient), as_arrays(lump))
        for path, leaf in jax.tree_util.tree_leaves_with_path(derivatives):
            assert np.isfinite(leaf).all(), jax.tree_util.keystr(path)


@pytest.mark.usefixtures("enable_x64")
def test_a_tumour_centred_on_a_cell_has_derivatives():
    """There the square root of the distance has none."""
    flat = jnp.full(SMALL.shape[1:], 60.0)
    lump = patients.tumour(column=4.0, row=-4.0, depth=60.0 - 28.0)

    def level(lump):
        return twin._tumour_region(lump, flat, SMALL).level.sum()

    derivative = jax.grad(level)(as_arrays(lump))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(derivative))
    for place, axis in zip((28.0, -4.0, 4.0), SMALL.axes(), strict=True):
        assert place in np.ravel(axis)


def test_a_batch_on_one_body_is_solved_like_each_of_it():
    """XLA:CPU of JAX 0.10 gets sums of products wrong from the ninth of a batch on."""
    patient = as_arrays(patients.twin())

    @jax.jit
    def skin(heat_transfer):
        cooled = patient.skin._replace(heat_transfer=heat_transfer)
        state = twin.discretise(patient._replace(skin=cooled), patients.MIDDLE)
        return twin.view(state, twin.steady_state(state)[0]).skin

    cooling = jnp.linspace(8.0, 20.0, 13)
    together = jax.jit(jax.vmap(skin))(cooling)
    for alone, found in zip(cooling, together, strict=True):
        np.testing.assert_allclose(found, skin(alone), atol=2e-3)
