"""What a calibrated twin says of a patient: estimates and their errors."""

import dataclasses
import math

import numpy as np

from wbad_jax.bioheat.gauss_newton import Estimate
from wbad_jax.bioheat.unknowns import HEALTHY_NAMES, TUMOUR_NAMES

_FIRST = len(HEALTHY_NAMES)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """The twin of one patient.

    Attributes:
        values: Estimates by name: `HEALTHY_NAMES`, `TUMOUR_NAMES`, and the derived
            `depth` (mm), `diameter` (mm) and `log_power` (of watts of metabolic heat).
        standard_deviations: By the same names, Laplace's.
        names: Order of `covariance`.
        covariance: Of all of these, `[names, names]`.
        healthy: The estimate without tumour.
        ill: The estimate with one.
        log_evidence_ratio: Of a tumour against none, by Laplace's method, either breast
            as likely; natural logarithm.
        residual: Observed less predicted with tumour, degrees Celsius, 0 outside.
        healthy_residual: Likewise without tumour.
        pixels: Pixels explained; chi-squares of the right model have about this mean.
        converged: Whether both estimates did.

    Examples:
        >>> from wbad_jax.bioheat import Inverse
        >>> inverse = Inverse(mask, template, 22.0, settings)  # doctest: +SKIP
        >>> calibration = inverse.calibrate(celsius)  # doctest: +SKIP
        >>> sorted(calibration.values)  # doctest: +SKIP
    """

    values: dict[str, float]
    standard_deviations: dict[str, float]
    names: tuple[str, ...]
    covariance: np.ndarray
    healthy: Estimate
    ill: Estimate
    log_evidence_ratio: float
    residual: np.ndarray
    healthy_residual: np.ndarray
    pixels: int
    converged: bool

    def correlation(self, first: str, second: str) -> float:
        """Of the errors of two estimates."""
        i, j = self.names.index(first), self.names.index(second)
        spread = math.sqrt(self.covariance[i, i] * self.covariance[j, j])
        return float(self.covariance[i, j] / spread)


def calibration_of(
    healthy: Estimate,
    ill: Estimate,
    *,
    residual: np.ndarray,
    healthy_residual: np.ndarray,
    pixels: int,
) -> Calibration:
    """The twin of two estimates, with what follows from them and Laplace's errors.

    Args:
        healthy: Of `HEALTHY_NAMES`.
        ill: Of `HEALTHY_NAMES` and `TUMOUR_NAMES`.
        residual: Of `ill`, see `Calibration`.
        healthy_residual: Of `healthy`.
        pixels: Pixels explained.
    """
    names = (*HEALTHY_NAMES, *TUMOUR_NAMES, "depth", "diameter", "log_power")
    derived, slopes = _derived(ill.values)
    rows = np.concatenate([np.eye(ill.values.size), slopes])
    covariance = rows @ ill.covariance @ rows.T
    values = np.concatenate([ill.values, derived])
    spread = np.sqrt(np.diag(covariance))
    return Calibration(
        values=dict(zip(names, values.tolist(), strict=True)),
        standard_deviations=dict(zip(names, spread.tolist(), strict=True)),
        names=names,
        covariance=covariance,
        healthy=healthy,
        ill=ill,
        log_evidence_ratio=ill.log_evidence - healthy.log_evidence - math.log(2),
        residual=residual,
        healthy_residual=healthy_residual,
        pixels=pixels,
        converged=healthy.converged and ill.converged,
    )


def _derived(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Depth, diameter and logarithm of the power of a tumour, and their derivatives."""
    cover, diameter = np.exp(values[_FIRST + 2 : _FIRST + 4])
    # Power in W: heat in W/m3 times the volume.
    power = values[_FIRST + 4] + math.log(math.pi / 6 * (diameter * 1e-3) ** 3)
    slopes = np.zeros((3, values.size))
    slopes[0, _FIRST + 2 : _FIRST + 4] = cover, diameter / 2
    slopes[1, _FIRST + 3] = diameter
    slopes[2, _FIRST + 3 : _FIRST + 5] = 3.0, 1.0
    return np.array([cover + diameter / 2, diameter, power]), slopes
