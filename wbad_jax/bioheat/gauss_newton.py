"""Maximum a posteriori estimates by Levenberg-Marquardt, with Laplace's covariance.

The vector is small and its Jacobian is found by forward mode, so the normal equations
are solved as they are, in double precision on the host.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from wbad_jax.bioheat.solver import NotConvergedError
from wbad_jax.bioheat.unknowns import Gaussian

# Whitened residual of a vector of unknowns; and the same with its Jacobian.
Residual = Callable[[np.ndarray], np.ndarray]
Linearise = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
_MOST_DAMPING = 1e6
# Relative accuracy of an objective in single precision.
_ROUNDING = 1e-5


class Estimate(NamedTuple):
    """A maximum a posteriori estimate.

    Attributes:
        values: `[unknowns]`.
        covariance: Inverse of the Gauss-Newton Hessian, `[unknowns, unknowns]`.
        chi_square: Of the data, at the estimate.
        prior_chi_square: Of the unknowns under their prior.
        log_evidence: Laplace's, up to a constant of the data.
        jacobian: Of the whitened residual by the unknowns, `[data, unknowns]`.
        iterations: Jacobians computed.
        decrement: Squared length of the last step in posterior standard deviations.
        converged: Whether that is below the tolerance.
    """

    values: np.ndarray
    covariance: np.ndarray
    chi_square: float
    prior_chi_square: float
    log_evidence: float
    jacobian: np.ndarray
    iterations: int
    decrement: float
    converged: bool


def maximise_posterior(
    residual: Residual,
    linearise: Linearise,
    prior: Gaussian,
    *,
    start: np.ndarray | None = None,
    max_iterations: int = 20,
    tolerance: float = 1e-2,
) -> Estimate:
    """Minimises |residual(x)|^2 + (x - mean)^T covariance^-1 (x - mean).

    Args:
        residual: Whitened, `[data]`; not finite where the model has no answer.
        linearise: Residual and Jacobian `[data, unknowns]`.
        prior: Of the unknowns.
        start: Where to begin; the prior's mean if None.
        max_iterations: Of Jacobians.
        tolerance: On the squared length of the step in posterior standard deviations.

    Returns:
        The estimate, whether or not it converged: `converged` tells.

    Raises:
        NotConvergedError: If the model has no answer at the start.

    Reference:
        Nocedal and Wright (2006), Numerical optimization, section 10.3; MacKay (2003),
        Information theory, inference and learning algorithms, chapter 27.
    """
    root = np.linalg.cholesky(prior.covariance)
    start = prior.mean if start is None else start
    z = np.linalg.solve(root, start - prior.mean)
    damping, iteration, decrement = 1e-3, 0, np.inf
    identity = np.eye(z.size)
    while True:
        data, jacobian = map(_double, linearise(prior.mean + root @ z))
        if not (np.isfinite(data).all() and np.isfinite(jacobian).all()):
            raise NotConvergedError(
                f"The model has no answer at its unknowns {prior.mean + root @ z}."
            )
        iteration += 1
        slope = jacobian @ root
        hessian = slope.T @ slope + identity
        gradient = slope.T @ data + z
        decrement = float(gradient @ np.linalg.solve(hessian, gradient))
        if decrement < tolerance or iteration == max_iterations:
            break
        moved, damping = _step(
            residual, prior.mean, root, z, data, hessian, gradient, damping
        )
        if moved is None:
            break
        z = moved
    return Estimate(
        values=prior.mean + root @ z,
        covariance=root @ np.linalg.inv(hessian) @ root.T,
        chi_square=float(data @ data),
        prior_chi_square=float(z @ z),
        log_evidence=float(-(data @ data + z @ z + np.linalg.slogdet(hessian)[1]) / 2),
        jacobian=jacobian,
        iterations=iteration,
        decrement=decrement,
        converged=decrement < tolerance,
    )


def _step(residual, mean, root, z, data, hessian, gradient, damping):
    """A step that lowers the objective and the next damping; None if there is none."""
    now = data @ data + z @ z
    while damping < _MOST_DAMPING:
        scaled = hessian + damping * np.diag(np.diag(hessian))
        moved = z - np.linalg.solve(scaled, gradient)
        after = _double(residual(mean + root @ moved))
        # False too where the model has no answer.
        if after @ after + moved @ moved < now * (1 + _ROUNDING):
            return moved, max(damping / 10, 1e-6)
        damping *= 10
    return None, damping


def _double(array: np.ndarray) -> np.ndarray:
    return np.asarray(array, np.float64)
