r"""The informed observer: a ceiling on the robust accuracy over a population.

Tell an observer the patient's background b and her lesion's template s, more than any
classifier is told, and let it decide from an image b + v (healthy) or b + s + v
(tumour), each state with probability one half and v Gaussian with covariance S, after
an adversary moved the image by z, |z| <= epsilon in a norm. Then

    robust accuracy <= Phi(alpha),  alpha = min over |z| <= epsilon of
                                    |S^(-1/2) (s/2 - z)|_2.

The adversary moves both states, by +z and -z, so the contrast loses 2 epsilon. Any z
gives a ceiling: against that fixed shift the best test is Bayes' rule for two Gaussians
at distance s - 2z. Any weights w give a value that is reached, by the linear test
w.(x - b - s/2) > 0:

    Phi((w.s/2 - epsilon |w|_dual) / sqrt(w.S w)),

and at the optimum, w = S^(-1) (s/2 - z), the two meet. With white noise z is s/2
clipped to +-epsilon, and the best robust template is the *soft-thresholded* lesion.

The mean of Phi(alpha) over patients bounds every classifier, on average over patients
and noise. Whatever varies beside v is known to the observer, which only raises the
ceiling.

Only observed pixels count. Of a field that is stationary on the whole frame but seen on
the body alone, the quadratic form is the least over all values of the unseen pixels
(the Schur complement), so these are variables without limit, and S stays diagonal in
the Fourier domain.
"""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
import scipy
from jaxtyping import Bool, Float

from wbad_jax.evaluation.quadratic_program import (
    dual_norm,
    project,
    supported,
    worst_shift,
)

_NORMS = ("linf", "l2")


@dataclasses.dataclass(frozen=True, kw_only=True)
class InformedObserver:
    """The best robust test for each of n known templates.

    Attributes:
        norm: "linf" or "l2".
        epsilon: Radius in the units of the templates.
        upper: Of alpha, from `shift`, `[n]`.
        lower: Of alpha, reached by `weights`, `[n]`.
        shift: The adversary's z, `[n, height, width]`; 0 at unobserved pixels.
        weights: The robust template w, same shape; 0 at unobserved pixels.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.evaluation import observe_in_white_noise
        >>> lesions = np.full((1, 4, 4), 0.1)
        >>> observer = observe_in_white_noise(lesions, sigma=0.1, epsilon=0.01)
        >>> observer.ceiling.round(3), observer.gap.round(3)
        (array([0.945]), array([0.]))
    """

    norm: str
    epsilon: float
    upper: np.ndarray
    lower: np.ndarray
    shift: np.ndarray
    weights: np.ndarray

    @property
    def ceiling(self) -> np.ndarray:
        """Ceiling on robust accuracy, `[n]`."""
        return scipy.stats.norm.cdf(self.upper)

    @property
    def reached(self) -> np.ndarray:
        """Robust accuracy of the linear test with `weights`, `[n]`."""
        return scipy.stats.norm.cdf(self.lower)

    @property
    def gap(self) -> np.ndarray:
        """(upper - lower) / max(upper, 1), `[n]`.

        Relative to alpha, but absolute below 1, where an erased lesion has alpha 0.
        """
        return (self.upper - self.lower) / np.maximum(self.upper, 1.0)


def observe_in_white_noise(
    templates: Float[np.ndarray, "n height width"],
    sigma: float,
    epsilon: float,
    norm: str = "linf",
) -> InformedObserver:
    """The informed observer in white noise, in closed form.

    Linf: alpha = |(|s| - 2 epsilon)_+|_2 / (2 sigma). L2: (|s|_2 / 2 - epsilon)_+ /
    sigma.

    Args:
        templates: Tumour minus healthy image, s.
        sigma: Standard deviation of the noise, in the units of the templates.
        epsilon: Radius, likewise.
        norm: "linf" or "l2".

    Returns:
        The observer, without gap.

    Raises:
        ValueError: If an argument is out of range.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.evaluation import observe_in_white_noise
        >>> lesions = np.full((1, 4, 4), 0.1)
        >>> observe_in_white_noise(lesions, sigma=0.1, epsilon=0.01).ceiling.round(3)
        array([0.945])
    """
    half = _checked(templates, epsilon, norm) / 2
    if not 0 < sigma < math.inf:
        raise ValueError(f"sigma must be finite and > 0, got {sigma}.")
    shift = project(half, epsilon, norm, np)
    rest = half - shift
    alpha = np.sqrt((rest**2).sum((1, 2))) / sigma
    return InformedObserver(
        norm=norm,
        epsilon=epsilon,
        upper=alpha,
        lower=alpha,
        shift=shift,
        weights=rest / sigma**2,
    )


def observe_in_stationary_noise(
    templates: Float[np.ndarray, "n height width"],
    spectra: Float[np.ndarray, "*n height width"],
    epsilon: float,
    norm: str = "linf",
    *,
    observed: Bool[np.ndarray, "n height width"] | None = None,
    tolerance: float = 1e-4,
    max_iterations: int = 20_000,
) -> InformedObserver:
    """The informed observer in stationary Gaussian noise of known spectrum.

    The covariance is circulant, diagonal in the discrete Fourier transform. (A cosine
    transform would diagonalise a field that is even at the borders instead.) A convex
    quadratic program in z, solved by projected gradients with momentum and restarts.
    It ends when the gap is small, or at `max_iterations`; either way `upper` and
    `lower` enclose alpha, since both are evaluated for feasible z and w.

    Args:
        templates: Tumour minus healthy image, s. Zero where not observed.
        spectra: Variances of the modes of `numpy.fft.fft2(norm="ortho")`, all > 0: of
            the field plus that of the white noise. One for all templates or one each.
        epsilon: Radius, in the units of the templates.
        norm: "linf" or "l2".
        observed: Pixels that show the signal and may be attacked; None for all.
        tolerance: On the gap, see `InformedObserver.gap`.
        max_iterations: Of projected gradients.

    Returns:
        The observer.

    Raises:
        ValueError: If an argument is out of range, or shapes do not fit.

    Reference:
        Beck and Teboulle (2009), A fast iterative shrinkage-thresholding algorithm,
        SIAM J. Imaging Sci. 2; O'Donoghue and Candes (2015), Adaptive restart for
        accelerated gradient schemes, Found. Comput. Math. 15.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.evaluation import observe_in_stationary_noise
        >>> lesions, spectra = np.full((1, 4, 4), 0.1), np.full((1, 4, 4), 0.01)
        >>> observe_in_stationary_noise(lesions, spectra, epsilon=0.01).ceiling.round(2)
        array([0.95])
    """
    templates = _checked(templates, epsilon, norm)
    spectra = _checked_spectra(spectra, templates.shape)
    if observed is None:
        observed = np.ones(templates.shape, bool)
    if observed.dtype != bool or observed.shape != templates.shape:
        raise ValueError(
            f"observed needs bool {templates.shape}, got {observed.dtype} "
            f"{observed.shape}."
        )
    if np.any(templates[~observed]):
        raise ValueError("templates must be 0 where nothing is observed.")
    unit = spectra.min((1, 2), keepdims=True)
    free = worst_shift(
        jnp.asarray(templates / 2, jnp.float32),
        jnp.asarray(spectra / unit, jnp.float32),
        jnp.asarray(np.sqrt(unit[:, 0, 0]), jnp.float32),
        jnp.asarray(observed),
        jnp.float32(epsilon),
        jnp.float32(tolerance),
        jnp.int32(max_iterations),
        norm,
    )
    return _evaluate(
        templates / 2, spectra, observed, epsilon, norm, np.asarray(free, float)
    )


def mean_with_interval(
    values: Float[np.ndarray, " n"], level: float = 0.95
) -> tuple[float, float, float]:
    """Mean over patients and its t interval.

    Args:
        values: One of each patient, such as `InformedObserver.ceiling`.
        level: Coverage.

    Returns:
        Mean, low and high end. The ends coincide where all patients have one value.

    Raises:
        ValueError: With fewer than two patients.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.evaluation import mean_with_interval
        >>> mean, low, high = mean_with_interval(np.array([0.8, 0.9, 1.0]))
        >>> round(mean, 3), low < mean < high
        (0.9, True)
    """
    if len(values) < 2:
        raise ValueError(f"values needs at least 2 patients, got {len(values)}.")
    mean, error = float(np.mean(values)), float(scipy.stats.sem(values))
    half = float(scipy.stats.t.ppf((1 + level) / 2, len(values) - 1)) * error
    return mean, mean - half, mean + half


def _evaluate(half, spectra, observed, epsilon, norm, free) -> InformedObserver:
    """Both bounds in double precision, for exactly feasible z and w."""
    seen = project(np.where(observed, free, 0.0), epsilon, norm, np)
    rest = half - np.where(observed, seen, free)
    modes = np.fft.fft2(rest, norm="ortho")
    upper = np.sqrt((np.abs(modes) ** 2 / spectra).sum((1, 2)))
    weights = np.fft.ifft2(modes / spectra, norm="ortho").real
    weights = supported(weights, seen, observed, epsilon, norm, np)
    variance = np.abs(np.fft.fft2(weights, norm="ortho")) ** 2 * spectra
    spread = np.sqrt(variance.sum((1, 2)))
    gain = (weights * half).sum((1, 2)) - epsilon * dual_norm(weights, norm, np)
    lower = np.maximum(gain, 0.0) / np.where(spread > 0, spread, 1.0)
    return InformedObserver(
        norm=norm,
        epsilon=epsilon,
        upper=upper,
        lower=lower,
        shift=seen,
        weights=weights,
    )


def _checked(templates, epsilon: float, norm: str) -> np.ndarray:
    templates = np.asarray(templates, float)
    if templates.ndim != 3 or not templates.size or not np.isfinite(templates).all():
        raise ValueError(
            f"templates needs finite [n, height, width], got {templates.shape}."
        )
    if norm not in _NORMS:
        raise ValueError(f"norm must be one of {_NORMS}, got {norm!r}.")
    if not 0 <= epsilon < math.inf:
        raise ValueError(f"epsilon must be finite and >= 0, got {epsilon}.")
    return templates


def _checked_spectra(spectra, shape: tuple[int, ...]) -> np.ndarray:
    spectra = np.asarray(spectra, float)
    if spectra.ndim not in (2, 3) or spectra.shape[-2:] != shape[1:]:
        raise ValueError(f"spectra needs the shape of templates {shape}.")
    spectra = np.broadcast_to(spectra, shape)
    if not (np.isfinite(spectra).all() and spectra.min() > 0):
        raise ValueError(f"spectra must be finite and > 0, got {spectra.min()}.")
    mirrored = np.roll(spectra[:, ::-1, ::-1], 1, axis=(1, 2))
    if not np.allclose(spectra, mirrored):
        raise ValueError("spectra must be even, as those of real fields are.")
    return spectra
