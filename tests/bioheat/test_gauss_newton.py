import numpy as np
import pytest

from wbad_jax.bioheat.gauss_newton import maximise_posterior
from wbad_jax.bioheat.solver import NotConvergedError
from wbad_jax.bioheat.unknowns import Gaussian

pytestmark = pytest.mark.fast


def linear_problem():
    rng = np.random.default_rng(0)
    slopes, data = rng.standard_normal((40, 3)), rng.standard_normal(40)
    root = rng.standard_normal((3, 3)) + 2 * np.eye(3)
    return slopes, data, Gaussian(rng.standard_normal(3), root @ root.T)


def test_a_linear_problem_has_the_closed_form():
    slopes, data, prior = linear_problem()
    found = maximise_posterior(
        lambda x: slopes @ x - data,
        lambda x: (slopes @ x - data, slopes),
        prior,
        tolerance=1e-12,
    )
    precision = np.linalg.inv(prior.covariance)
    covariance = np.linalg.inv(slopes.T @ slopes + precision)
    mean = covariance @ (slopes.T @ data + precision @ prior.mean)
    np.testing.assert_allclose(found.values, mean, rtol=1e-5)
    np.testing.assert_allclose(found.covariance, covariance, rtol=1e-6)
    assert found.converged


def test_the_evidence_of_a_linear_problem_is_exact():
    slopes, data, prior = linear_problem()
    found = maximise_posterior(
        lambda x: slopes @ x - data, lambda x: (slopes @ x - data, slopes), prior
    )
    covariance = np.eye(40) + slopes @ prior.covariance @ slopes.T
    rest = data - slopes @ prior.mean
    exact = -(rest @ np.linalg.solve(covariance, rest)) / 2
    exact -= np.linalg.slogdet(covariance)[1] / 2
    assert found.log_evidence == pytest.approx(exact, rel=1e-4)


def test_a_curved_problem_is_solved_from_afar():
    prior = Gaussian(np.zeros(1), np.eye(1) * 100)
    found = maximise_posterior(
        lambda x: 50 * (np.exp(x) - 20),
        lambda x: (50 * (np.exp(x) - 20), 50 * np.exp(x)[:, None]),
        prior,
        start=np.array([-2.0]),
        max_iterations=60,
    )
    assert found.converged
    assert found.values[0] == pytest.approx(np.log(20), abs=1e-3)


def test_too_few_iterations_are_not_called_converged():
    prior = Gaussian(np.zeros(1), np.eye(1) * 100)
    found = maximise_posterior(
        lambda x: 50 * (np.exp(x) - 20),
        lambda x: (50 * (np.exp(x) - 20), 50 * np.exp(x)[:, None]),
        prior,
        start=np.array([-2.0]),
        max_iterations=2,
    )
    assert not found.converged
    assert found.iterations == 2


def test_a_wrong_jacobian_is_not_called_converged():
    slopes, data, prior = linear_problem()
    found = maximise_posterior(
        lambda x: slopes @ x - data, lambda x: (slopes @ x - data, -slopes), prior
    )
    assert not found.converged


def test_a_model_without_answer_is_an_error():
    prior = Gaussian(np.zeros(1), np.eye(1))
    with pytest.raises(NotConvergedError, match="no answer"):
        maximise_posterior(
            lambda x: x * np.nan, lambda x: (x * np.nan, np.ones((1, 1))), prior
        )
