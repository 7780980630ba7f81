"""The informed observer against closed forms, simulation and a general solver."""

import numpy as np
import pytest
from scipy import optimize, stats

from wbad_jax import evaluation

SHAPE = (12, 16)
SIGMA = 0.05
NORMS = ("linf", "l2")
DUAL = {"linf": 1, "l2": 2}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def lesion(height=0.4, width=2.0, place=(5, 7), shape=SHAPE):
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    squared = (rows - place[0]) ** 2 + (columns - place[1]) ** 2
    return height * np.exp(-squared / (2 * width**2))


def field_spectrum(shape=SHAPE, deviation=0.1):
    """Of a smooth field with white noise, image units squared."""
    rows, columns = (np.fft.fftfreq(n) for n in shape)
    power = (0.05**2 + rows[:, None] ** 2 + columns**2) ** -1.5
    power *= deviation**2 / power.mean()
    return power + SIGMA**2


def covariance(spectrum):
    """The circulant covariance, from its first column."""
    first = np.fft.ifft2(spectrum).real
    height, width = spectrum.shape
    r = (np.arange(height)[:, None] - np.arange(height)) % height
    c = (np.arange(width)[:, None] - np.arange(width)) % width
    full = first[r[:, None, :, None], c[None, :, None, :]]
    return full.reshape(height * width, -1)


def draw(rng, spectrum, count):
    white = rng.normal(size=(count, *spectrum.shape))
    return np.fft.ifft2(np.fft.fft2(white) * np.sqrt(spectrum)).real


def simulated_accuracy(noise, template, observer, row=0):
    """Of the linear test with the found weights, under its own worst case."""
    weights = observer.weights[row]
    loss = observer.epsilon * np.linalg.norm(weights.ravel(), DUAL[observer.norm])
    score = (noise * weights).sum((1, 2))
    edge = (weights * template).sum() / 2
    healthy = score + loss < edge
    tumour = score + 2 * edge - loss > edge
    return (healthy.mean() + tumour.mean()) / 2


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("epsilon", [0.0, 0.05, 0.1])
def test_white_noise_is_the_closed_form_and_the_simulation(norm, epsilon, rng):
    template = lesion(0.3, 1.0)
    found = evaluation.observe_in_white_noise(template[None], SIGMA, epsilon, norm)
    if norm == "linf":
        rest = np.maximum(np.abs(template) - 2 * epsilon, 0)
        expected = np.linalg.norm(rest) / (2 * SIGMA)
    else:
        expected = max(np.linalg.norm(template) / 2 - epsilon, 0) / SIGMA
    np.testing.assert_allclose(found.upper, expected, rtol=1e-12)
    np.testing.assert_allclose(found.gap, 0)
    noise = SIGMA * rng.normal(size=(20_000, *SHAPE))
    accuracy = simulated_accuracy(noise, template, found)
    assert accuracy == pytest.approx(found.ceiling[0], abs=0.01)


@pytest.mark.fast
def test_the_best_template_in_white_noise_is_soft_thresholded():
    template = lesion()
    found = evaluation.observe_in_white_noise(template[None], 1.0, 0.05)
    soft = np.sign(template) * np.maximum(np.abs(template) - 0.1, 0)
    np.testing.assert_allclose(found.weights[0], soft / 2, atol=1e-15)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("epsilon", [0.0, 0.02, 0.1, 0.15])
def test_coloured_noise_attains_its_ceiling(norm, epsilon, rng):
    template, spectrum = lesion(), field_spectrum()
    found = evaluation.observe_in_stationary_noise(
        template[None], spectrum, epsilon, norm
    )
    assert 0 <= found.gap[0] <= 1e-4
    assert 0.5 < found.reached[0] <= found.ceiling[0]
    accuracy = simulated_accuracy(draw(rng, spectrum, 20_000), template, found)
    assert accuracy == pytest.approx(found.ceiling[0], abs=0.01)


@pytest.mark.parametrize("norm", NORMS)
def test_a_flat_spectrum_is_white_noise(norm):
    templates = np.stack([lesion(), lesion(0.2, 3.0)])
    spectrum = np.full(SHAPE, SIGMA**2)
    white = evaluation.observe_in_white_noise(templates, SIGMA, 0.04, norm)
    found = evaluation.observe_in_stationary_noise(templates, spectrum, 0.04, norm)
    np.testing.assert_allclose(found.upper, white.upper, rtol=1e-5)
    np.testing.assert_allclose(found.lower, white.lower, rtol=1e-5)


@pytest.mark.parametrize("observe_all", [True, False])
def test_the_program_is_solved_as_by_a_general_solver(observe_all, rng):
    """Of the marginal covariance of the observed pixels, by L-BFGS-B."""
    epsilon, shape = 0.05, (6, 8)
    observed = np.ones(shape, bool) if observe_all else rng.uniform(size=shape) < 0.6
    template = np.where(observed, lesion(0.4, 1.5, (3, 4), shape), 0)
    spectrum = field_spectrum(shape)
    found = evaluation.observe_in_stationary_noise(
        template[None], spectrum, epsilon, observed=observed[None], tolerance=1e-6
    )
    seen = observed.ravel()
    inverse = np.linalg.inv(covariance(spectrum)[np.ix_(seen, seen)])
    half = template.ravel()[seen] / 2

    def objective(z):
        rest = half - z
        return rest @ inverse @ rest, -2 * inverse @ rest

    result = optimize.minimize(
        objective, np.zeros(seen.sum()), jac=True, method="L-BFGS-B",
        bounds=[(-epsilon, epsilon)] * seen.sum(),
        options={"ftol": 1e-14, "gtol": 1e-12, "maxiter": 10_000},
    )  # fmt: skip
    assert found.upper[0] == pytest.approx(np.sqrt(result.fun), rel=1e-4)
    assert found.gap[0] <= 1e-4
    assert not found.weights[0][~observed].any()
    assert np.abs(found.shift).max() <= epsilon


@pytest.mark.fast
def test_each_template_may_have_its_own_spectrum():
    template, spectra = lesion()[None], np.stack([field_spectrum(), field_spectrum()])
    spectra[1] *= 4
    both = evaluation.observe_in_stationary_noise(
        np.repeat(template, 2, 0), spectra, 0.02
    )
    assert both.upper[0] == pytest.approx(2 * both.upper[1], rel=1e-3)


@pytest.mark.fast
def test_an_erased_lesion_leaves_a_coin():
    found = evaluation.observe_in_stationary_noise(
        lesion(0.1)[None], field_spectrum(), 0.05
    )
    assert found.ceiling[0] == pytest.approx(0.5, abs=1e-6)
    assert found.gap[0] <= 1e-4


@pytest.mark.fast
def test_bounds_enclose_even_when_stopped_early():
    template, spectrum = lesion()[None], field_spectrum()
    exact = evaluation.observe_in_stationary_noise(template, spectrum, 0.05)
    early = evaluation.observe_in_stationary_noise(
        template, spectrum, 0.05, max_iterations=1
    )
    assert early.gap[0] > exact.gap[0]
    assert early.lower[0] <= exact.upper[0]
    assert exact.lower[0] <= early.upper[0]


@pytest.mark.fast
def test_the_mean_has_a_t_interval():
    values = np.array([0.7, 0.8, 0.9])
    mean, low, high = evaluation.mean_with_interval(values)
    expected = stats.t.interval(0.95, 2, 0.8, stats.sem(values))
    np.testing.assert_allclose((mean, low, high), (0.8, *expected))
    with pytest.raises(ValueError, match="at least 2 patients"):
        evaluation.mean_with_interval(values[:1])


@pytest.mark.fast
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"templates": np.zeros(SHAPE)}, "templates needs"),
        ({"templates": np.full((1, *SHAPE), np.nan)}, "templates needs finite"),
        ({"spectra": np.zeros(SHAPE)}, "spectra must be finite and > 0"),
        ({"spectra": np.ones((3, 3))}, "spectra needs the shape"),
        ({"spectra": 1 + np.arange(192.0).reshape(SHAPE)}, "spectra must be even"),
        ({"epsilon": -1.0}, "epsilon must be"),
        ({"norm": "l1"}, "norm must be one of"),
        ({"observed": np.zeros((1, *SHAPE), bool)}, "must be 0 where nothing"),
        ({"observed": np.ones(SHAPE)}, "observed needs bool"),
    ],
)
def test_bad_input_of_the_observer_is_named(change, message):
    arguments = {
        "templates": lesion()[None], "spectra": field_spectrum(), "epsilon": 0.1,
    } | change  # fmt: skip
    with pytest.raises(ValueError, match=message):
        evaluation.observe_in_stationary_noise(**arguments)
    with pytest.raises(ValueError, match="sigma must be"):
        evaluation.observe_in_white_noise(lesion()[None], 0.0, 0.1)
