"""The twin of one patient: what she is like inside, estimated from one thermogram.

Her body and vessels are taken as known, from another modality; fat, blood flow, cooling
and core temperature, and place, depth, size and heat of a tumour are estimated, with
the laws that patients are drawn from as priors. Research software, not a diagnosis.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from wbad_jax.bioheat import unknowns
from wbad_jax.bioheat.calibration import Calibration, calibration_of
from wbad_jax.bioheat.cohort import CohortSettings
from wbad_jax.bioheat.gauss_newton import Estimate, maximise_posterior
from wbad_jax.bioheat.observed import (
    Scene,
    check_celsius,
    make_scene,
    predict_healthy,
    predict_tumour,
    prediction,
    prediction_and_jacobian,
)
from wbad_jax.bioheat.patient import Twin
from wbad_jax.bioheat.solver import NotConvergedError
from wbad_jax.bioheat.tumour_search import best_tumours, search_grid
from wbad_jax.bioheat.unknowns import HEALTHY_NAMES, Gaussian
from wbad_jax.bioheat.whitening import (
    Whitening,
    free_coarse_bands,
    residual_power_spectrum,
    whiten_body,
)

_FIRST = len(HEALTHY_NAMES)
_EXPECTATION_DRAWS = 128


@dataclasses.dataclass(frozen=True, kw_only=True)
class InverseSettings:
    """How a twin is calibrated.

    Attributes:
        num_starts: Places from which a tumour is refined, the best of a search.
        max_iterations: Of each refinement.
        tolerance: On the squared length of the last step in posterior standard
            deviations. The model has kinks where boundaries of tissue pass the cells,
            so that much less is seldom reached.
        free_period_mm: Bands coarser than this are left free by the score of physics
            consistency: all that heat conduction could shape.

    Examples:
        >>> from wbad_jax.bioheat import InverseSettings
        >>> InverseSettings(num_starts=4).max_iterations
        20
    """

    num_starts: int = 2
    max_iterations: int = 20
    tolerance: float = 0.1
    free_period_mm: float = 40.0

    def __post_init__(self):
        for name in ("num_starts", "max_iterations", "tolerance", "free_period_mm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} needs > 0, got {getattr(self, name)}.")


class Inverse:
    """Calibrates twins of one body: whatever depends on the image comes later.

    Args:
        mask: Observed body, `[rows, columns]` bool.
        template: A patient whose body and vessels are known to be hers; fat of the
            breasts, tissues, skin and core of it are ignored.
        room_celsius: Temperature of the room.
        cohort: The law she is from: grid, camera, field, priors.
        settings: Of the search.
        region: Pixels that count, `[rows, columns]` bool: where the template is to
            agree with the mask, and what of it is explained. All if None.

    Raises:
        ValueError: If mask or region is empty, of another shape, larger than
            `MOST_PIXELS` of `whitening` or not the template's; or the template is
            impossible.

    Examples:
        >>> from wbad_jax.bioheat import Inverse
        >>> inverse = Inverse(mask, template, 22.0, settings)  # doctest: +SKIP
        >>> calibration = inverse.calibrate(celsius)  # doctest: +SKIP
    """

    def __init__(
        self,
        mask: np.ndarray,
        template: Twin,
        room_celsius: float,
        cohort: CohortSettings,
        settings: InverseSettings = InverseSettings(),
        region: np.ndarray | None = None,
    ):
        self.cohort, self.settings = cohort, settings
        self.scene: Scene = make_scene(
            np.asarray(mask), template, room_celsius, cohort, region
        )
        self.mask = np.asarray(self.scene.mask)
        power = residual_power_spectrum(cohort)
        self.whitening: Whitening = _on_device(whiten_body(power, self.mask))
        self.prior, self._tumour_law = unknowns.priors(cohort.healthy, cohort.tumours)

    @functools.cached_property
    def fine(self) -> tuple[Whitening, float]:
        """Whitening with coarse bands free, and its expected chi-square."""
        power = residual_power_spectrum(self.cohort)
        free = free_coarse_bands(power, self.cohort, self.settings.free_period_mm)
        whitening = _on_device(whiten_body(free, self.mask))
        return whitening, _expected_chi_square(whitening, power)

    def fit_healthy(self, celsius: np.ndarray) -> Estimate:
        """The best explanation without tumour.

        Args:
            celsius: Observed temperatures, `[rows, columns]`.

        Returns:
            The estimate of `HEALTHY_NAMES`.

        Raises:
            ValueError: If it is no thermogram of this body.
            NotConvergedError: If there is none.
        """
        return self._fit(celsius, predict_healthy, self.prior, None)

    def calibrate(self, celsius: np.ndarray) -> Calibration:
        """Estimates the patient without and with a tumour.

        Args:
            celsius: Observed temperatures, `[rows, columns]`, 0 to 60 degrees on the
                body; anything outside it.

        Returns:
            The twin. `converged` says whether to believe it.

        Raises:
            ValueError: If `celsius` is no thermogram of this body.
            NotConvergedError: If no start led to an answer.
        """
        celsius = np.asarray(celsius, np.float32)
        healthy = self.fit_healthy(celsius)
        best = None
        for start, prior in self._tumour_starts(celsius, healthy):
            try:
                found = self._fit(celsius, predict_tumour, prior, start)
            except NotConvergedError:
                continue
            if best is None or _objective(found) < _objective(best):
                best = found
        if best is None:
            raise NotConvergedError("calibrate: no start of a tumour had an answer.")
        return calibration_of(
            healthy,
            best,
            residual=self._rest(celsius, self.predict(best.values)),
            healthy_residual=self._rest(celsius, self.predict(healthy.values)),
            pixels=self.whitening.count,
        )

    def predict(self, values: np.ndarray) -> np.ndarray:
        """The picture of given unknowns, with tumour if there are that many."""
        predict = predict_tumour if len(values) > _FIRST else predict_healthy
        return np.asarray(
            prediction(
                np.float32(values), self.scene, predict=predict, grid=self.cohort.grid
            )
        )

    def fine_score(self, celsius: np.ndarray, healthy: Estimate) -> float:
        """Physics consistency of a picture: how well any patient explains it.

        Args:
            celsius: Observed temperatures, `[rows, columns]`.
            healthy: Of `fit_healthy` of the same picture.

        Returns:
            Chi-square in the bands finer than `free_period_mm` over its expectation:
            about 1 for a picture of the law, more for one that no patient explains.
        """
        fine, expected = self.fine
        rest = self._rest(celsius, self.predict(healthy.values))
        white = np.asarray(_whiten(fine.matrix, rest))
        return float(white @ white) / expected

    def _rest(self, celsius, picture) -> np.ndarray:
        return np.where(self.mask, celsius - picture, 0.0)

    def _fit(self, celsius, predict, prior: Gaussian, start) -> Estimate:
        check_celsius(np.asarray(celsius), self.mask)
        # Anything may be outside the body, NaN too.
        celsius = np.where(self.mask, celsius, 0.0).astype(np.float32)
        arguments = (celsius, self.scene, self.whitening.matrix)
        static = {"predict": predict, "grid": self.cohort.grid}
        return maximise_posterior(
            lambda x: _residual(np.float32(x), *arguments, **static),
            lambda x: _linearised(np.float32(x), *arguments, **static),
            prior,
            start=start,
            max_iterations=self.settings.max_iterations,
            tolerance=self.settings.tolerance,
        )

    def _tumour_starts(self, celsius, healthy: Estimate):
        """Start and prior of the refinements, most promising first."""
        base = self.predict(healthy.values)

        def excess(tumour: np.ndarray) -> np.ndarray:
            picture = self.predict(np.concatenate([healthy.values, tumour]))
            return np.asarray(_whiten(self.whitening.matrix, picture - base))

        starts = best_tumours(
            np.asarray(_whiten(self.whitening.matrix, self._rest(celsius, base))),
            excess,
            healthy,
            search_grid(
                self._tumour_law,
                self.scene.template.body.breasts,
                self.cohort.tumours.margin,
            ),
            self.settings.num_starts,
        )
        for tumour, law in starts:
            start = np.concatenate([healthy.values, tumour])
            yield start, _joint(self.prior, law)


@functools.partial(jax.jit, static_argnames=("predict", "grid"))
def _residual(values, celsius, scene, matrix, *, predict, grid):
    picture = prediction(values, scene, predict=predict, grid=grid)
    return _whiten(matrix, jnp.where(scene.mask, picture - celsius, 0.0))


@functools.partial(jax.jit, static_argnames=("predict", "grid"))
def _linearised(values, celsius, scene, matrix, *, predict, grid):
    picture, jacobian = prediction_and_jacobian(
        values, scene, predict=predict, grid=grid
    )
    rest = jnp.where(scene.mask, picture - celsius, 0.0)
    slopes = jnp.where(scene.mask[..., None], jacobian, 0.0)
    return _whiten(matrix, rest), matrix @ slopes.reshape(-1, slopes.shape[-1])


@jax.jit
def _whiten(matrix, picture):
    return matrix @ picture.reshape(-1)


def _on_device(whitening: Whitening) -> Whitening:
    return whitening._replace(matrix=jnp.asarray(whitening.matrix))


def _expected_chi_square(fine: Whitening, power: np.ndarray) -> float:
    """Of pictures with the spectrum `power`, by draws: right to about 0.2 %."""
    rng = np.random.default_rng(0)
    white = np.fft.fft2(rng.standard_normal((_EXPECTATION_DRAWS, *power.shape)))
    draws = np.fft.ifft2(white * np.sqrt(power)).real.reshape(len(white), -1)
    fields = np.asarray(fine.matrix) @ draws.T.astype(np.float32)
    return float(np.sum(fields**2) / _EXPECTATION_DRAWS)


def _objective(estimate: Estimate) -> float:
    return estimate.chi_square + estimate.prior_chi_square


def _joint(first: Gaussian, second: Gaussian) -> Gaussian:
    """Two independent vectors as one."""
    size = first.mean.size
    covariance = np.zeros((size + second.mean.size,) * 2)
    covariance[:size, :size] = first.covariance
    covariance[size:, size:] = second.covariance
    return Gaussian(np.concatenate([first.mean, second.mean]), covariance)
