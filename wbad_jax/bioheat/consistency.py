"""Physics consistency as a score of suspicion, and as an attacker can follow it.

`Inverse.fine_score` is about 1 for a picture of the law. More is suspect, and so is
less: too little noise is as impossible as too much. The suspicion is its absolute
logarithm.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wbad_jax.bioheat.conduction import Surface
from wbad_jax.bioheat.gauss_newton import Estimate
from wbad_jax.bioheat.inverse import Inverse
from wbad_jax.bioheat.observed import predict_healthy, prediction_and_jacobian


def suspicion(inverse: Inverse, celsius: np.ndarray) -> tuple[float, Estimate]:
    """How far a picture is from what some patient of the law would look like.

    Args:
        inverse: Of the patient's body.
        celsius: Observed temperatures, `[rows, columns]`.

    Returns:
        `|log(fine_score)|` after a fit of the patient, and that fit.

    Raises:
        ValueError: If it is no thermogram of this body.
        NotConvergedError: If there is no fit.
    """
    fit = inverse.fit_healthy(celsius)
    # A picture without any residual is as suspect as can be, not infinitely so.
    score = max(inverse.fine_score(celsius, fit), np.finfo(np.float32).tiny)
    return abs(float(np.log(score))), fit


class FollowedSuspicion(NamedTuple):
    """`suspicion` near a picture, the fit following to first order: differentiable.

    All fields are arrays, so that a compiled function can take it as an argument.

    Attributes:
        mask: Pixels that are explained, `[rows, columns]` bool.
        picture: Prediction of the fit, `[rows, columns]` °C.
        slopes: Its derivatives, `[pixels, unknowns]`.
        gain: From the change of whitened residuals to the unknowns', transposed.
        start: Residual of the fit, `[pixels]` °C; there the fit is at rest.
        whitening: Matrix of the fit, `[pixels, pixels]`.
        fine: Matrix of the score, likewise.
        expected: Chi-square of the score that a picture of the law has.
    """

    mask: Array | np.ndarray
    picture: Surface | np.ndarray
    slopes: Float[Array | np.ndarray, "pixels unknowns"]
    gain: Float[Array | np.ndarray, "unknowns pixels"]
    start: Float[Array | np.ndarray, " pixels"]
    whitening: Float[Array | np.ndarray, "pixels pixels"]
    fine: Float[Array | np.ndarray, "pixels pixels"]
    expected: Array | np.ndarray

    def __call__(self, celsius: Surface) -> Float[Array, ""]:
        """The suspicion of a picture `[rows, columns]` in °C."""
        rest = self._residual(celsius)
        moved = self.slopes @ (self.gain @ (self.whitening @ (rest - self.start)))
        rest = rest - jnp.where(self.mask.reshape(-1), moved, 0.0)
        return jnp.abs(jnp.log(jnp.sum(jnp.square(self.fine @ rest)) / self.expected))

    def _residual(self, celsius: Surface | np.ndarray) -> Float[Array, " pixels"]:
        return jnp.where(self.mask, celsius - self.picture, 0.0).reshape(-1)


def follow(inverse: Inverse, celsius: np.ndarray, fit: Estimate) -> FollowedSuspicion:
    """The suspicion of pictures near one that has been fitted.

    Args:
        inverse: Of the patient's body.
        celsius: The picture, `[rows, columns]`.
        fit: Of `Inverse.fit_healthy` of it.
    """
    picture, slopes = prediction_and_jacobian(
        np.float32(fit.values), inverse.scene, predict=predict_healthy,
        grid=inverse.cohort.grid,
    )  # fmt: skip
    fine, expected = inverse.fine
    followed = FollowedSuspicion(
        mask=inverse.mask,
        picture=np.asarray(picture),
        slopes=np.asarray(slopes).reshape(-1, fit.values.size),
        gain=np.asarray(fit.covariance @ fit.jacobian.T, np.float32),
        start=np.zeros(inverse.mask.size, np.float32),
        whitening=inverse.whitening.matrix,
        fine=fine.matrix,
        expected=np.asarray(expected, np.float32),
    )
    start = followed._residual(np.asarray(celsius, np.float32))
    return followed._replace(start=start)
