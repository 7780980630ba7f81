import jax
import numpy as np
import pytest

from tests.bioheat import patients
from wbad_jax.bioheat import outline as outlines
from wbad_jax.bioheat import shape_law
from wbad_jax.bioheat import twin as twins
from wbad_jax.bioheat.anatomy import HealthySettings, draw_body
from wbad_jax.bioheat.body_shape import Grid
from wbad_jax.bioheat.cohort import CohortSettings
from wbad_jax.bioheat.inverse import Inverse
from wbad_jax.bioheat.observed import agreement, make_scene
from wbad_jax.bioheat.outline import NoTemplateFitsError, fit_outline
from wbad_jax.bioheat.thermograms import solve_healthy
from wbad_jax.bioheat.tumours import TumourSettings

SETTINGS = CohortSettings(
    shape=(32, 32),
    spacing_mm=12.0,
    height_mm=96.0,
    tumours=TumourSettings(diameter_mm=(18.0, 30.0)),
)
FINE = Grid(shape=(24, 96, 96), spacing_mm=4.0)


def seen(body, grid=FINE):
    return np.asarray(
        jax.jit(twins.silhouette, static_argnames="grid")(body, grid=grid)
    )


@pytest.fixture(scope="module")
def stranger():
    """A body of the law that is not the average one, off centre."""
    return draw_body(np.random.default_rng(5), HealthySettings())


@pytest.fixture(scope="module")
def fitted(stranger):
    return fit_outline(seen(stranger), SETTINGS, millimetres_per_pixel=4.4)


def test_the_silhouette_is_the_body_that_is_seen():
    patient = patients.twin()
    view = solve_healthy(patient, SETTINGS.grid)[2]
    np.testing.assert_array_equal(seen(patient.body, SETTINGS.grid), view.body)


@pytest.mark.parametrize("seed", [5, 6, 7])
def test_the_outline_of_another_patient_is_recovered(seed):
    body = seen(draw_body(np.random.default_rng(seed), HealthySettings()))
    # As if 10 % farther away than said.
    found = fit_outline(body, SETTINGS, millimetres_per_pixel=4.4)
    assert found.agreement >= 0.95
    below = np.arange(32)[:, None] * 12 - 186 > outlines._ARMPITS
    region = found.region & below
    share = agreement(found.mask, seen(found.template.body, SETTINGS.grid), region)
    assert share == found.agreement
    # More than the average body would reach in the same place.
    average = seen(shape_law.shape_law(SETTINGS.healthy)[1], SETTINGS.grid)
    assert share > agreement(found.mask, average, region)


def test_a_shifted_picture_shifts_the_place_and_nothing_else(stranger, fitted):
    body = seen(stranger)
    moved = np.concatenate([body[:, -4:] & False, body[:, :-4]], axis=1)
    found = fit_outline(moved, SETTINGS, millimetres_per_pixel=4.4)
    shift = 4 * fitted.millimetres_per_pixel
    assert found.centre[0] - fitted.centre[0] == pytest.approx(-shift, abs=2.0)
    assert found.centre[1] - fitted.centre[1] == pytest.approx(0, abs=2.0)
    ratio = found.millimetres_per_pixel / fitted.millimetres_per_pixel
    assert ratio == pytest.approx(1, abs=0.02)


def test_a_gradient_is_resampled_to_its_values(fitted):
    rows, columns = np.mgrid[:96, :96]
    celsius = 25 + 0.05 * rows + 0.02 * columns
    picture, region = fitted.resample(celsius, np.ones((96, 96), bool))
    # Pixel centres of the grid, then pixels of the picture there.
    steps = (np.arange(32) - 15.5) * 12
    x = (steps - fitted.centre[0]) / fitted.millimetres_per_pixel + 47.5
    y = (steps - fitted.centre[1])[:, None] / fitted.millimetres_per_pixel + 47.5
    expected = 25 + 0.05 * y + 0.02 * x
    np.testing.assert_allclose(picture[region], expected[region], atol=1e-6)
    assert region[fitted.mask].any()


def test_only_skin_is_averaged(fitted):
    celsius, skin = np.full((96, 96), 32.0), np.ones((96, 96), bool)
    skin[60:66, 40:46] = False
    celsius[~skin] = 5.0
    picture, region = fitted.resample(celsius, skin)
    shown = np.isfinite(picture) & region
    np.testing.assert_allclose(picture[shown], 32.0)
    assert not region[fitted.mask & ~np.isfinite(picture)].any()
    assert (fitted.region & ~region).sum() >= 1


def test_the_region_leaves_out_arms_and_neck(fitted):
    rows, columns = np.nonzero(fitted.region)
    y, x = rows * 12 - 186, columns * 12 - 186
    assert y.min() > outlines._NECK
    assert abs(x[y < outlines._ARMPITS]).max() < outlines._BETWEEN_ARMS


def test_an_inverse_takes_what_was_fitted(fitted):
    celsius = np.full((96, 96), 32.0)
    _, region = fitted.resample(celsius, np.ones((96, 96), bool))
    inverse = Inverse(fitted.mask, fitted.template, 22.0, SETTINGS, region=region)
    np.testing.assert_array_equal(inverse.mask, fitted.mask & fitted.rendered & region)
    patient = inverse.predict(inverse.prior.mean)
    found = inverse.fit_healthy(np.where(inverse.mask, patient, np.nan))
    assert found.chi_square < 1


@pytest.mark.parametrize(
    "region", [np.zeros((32, 32), bool), np.ones((16, 16), bool), np.ones((32, 32))]
)
def test_a_region_that_is_none_is_named(region):
    body = seen(patients.body(), SETTINGS.grid)
    with pytest.raises(ValueError, match=r"region needs bool \(32, 32\) with some"):
        make_scene(body, patients.twin(), 22.0, SETTINGS, region)


@pytest.mark.fast
@pytest.mark.parametrize(
    "body",
    [
        np.zeros((48, 64), bool),
        np.ones((48, 64), bool),
        np.ones((48, 64)),
        np.eye(3, dtype=bool)[0],
    ],
)
def test_what_has_no_outline_is_named(body):
    with pytest.raises(ValueError, match=r"body needs bool \[height, width\] with an"):
        fit_outline(body, SETTINGS)


@pytest.mark.fast
@pytest.mark.parametrize("size", [0.0, -1.0, float("nan"), float("inf")])
def test_a_size_of_pixels_is_positive(size):
    with pytest.raises(ValueError, match="millimetres_per_pixel needs > 0, got"):
        fit_outline(np.eye(8, dtype=bool), SETTINGS, millimetres_per_pixel=size)


def test_what_is_no_body_has_no_template():
    body = np.zeros((96, 96), bool)
    body[:, 20:44] = body[80:] = True
    with pytest.raises(NoTemplateFitsError, match="at least 90% below the armpits"):
        fit_outline(body, SETTINGS, millimetres_per_pixel=4.0)


def test_a_body_that_fills_the_frame_has_no_template():
    body = np.ones((96, 96), bool)
    body[:20, :10] = False
    with pytest.raises(NoTemplateFitsError, match="needs both its sides"):
        fit_outline(body, SETTINGS, millimetres_per_pixel=2.0)


@pytest.mark.parametrize("skin", [np.ones((8, 8), bool), np.ones((96, 96))])
def test_skin_is_that_of_the_picture(fitted, skin):
    with pytest.raises(ValueError, match=r"skin needs bool \(96, 96\)"):
        fitted.resample(np.full((96, 96), 30.0), skin)


def test_a_picture_without_skin_is_named(fitted):
    with pytest.raises(ValueError, match="skin needs some pixels of the trunk"):
        fitted.resample(np.full((96, 96), 30.0), np.zeros((96, 96), bool))


def test_the_misfit_has_the_slopes_of_differences(stranger):
    law, average = shape_law.shape_law(SETTINGS.healthy)
    mean = np.concatenate([[np.log(4.0), 0.0, 0.0], law.mean]).astype(np.float32)
    root = np.diag([0.1, 10.0, 10.0, *np.sqrt(np.diag(law.covariance))])
    distance = outlines._signed_distance(seen(stranger)).astype(np.float32)
    known = distance, average, mean, np.float32(root), 45.0
    z = np.full(mean.size, 0.3)
    slopes = outlines._misfit_slopes(z, known, SETTINGS.grid)
    assert np.isfinite(slopes).all()
    for index in range(z.size):
        step = np.zeros(z.size)
        step[index] = 0.02
        after, before = (
            outlines._misfit(z + sign * step, known, SETTINGS.grid) for sign in (1, -1)
        )
        apart = np.linalg.norm((after - before) / 0.04 - slopes[:, index])
        assert apart < 0.1 * np.linalg.norm(slopes[:, index]), index


@pytest.mark.fast
def test_a_shape_comes_back_from_the_body_made_of_it():
    law, average = shape_law.shape_law(HealthySettings())
    np.testing.assert_allclose(shape_law.shape_of(average), law.mean)
    shape = law.mean * np.linspace(0.9, 1.1, law.mean.size)
    body = shape_law.body_of(shape, average)
    np.testing.assert_allclose(shape_law.shape_of(body), shape)
    # The law is that of women in the middle of the frame.
    assert average.torso.scale == 1
    assert average.left.side == -1
    assert average.left.column == pytest.approx(-average.right.column, abs=1)
