"""Attack in the coefficients of a wavelet transform, with a budget for each band."""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array

from wbad_jax.attacks import threat_models, validation
from wbad_jax.attacks.confined import ConfinedPGD, Confinement
from wbad_jax.attacks.subband_transform import Band, Coefficients, SubbandTransform
from wbad_jax.types import Images

Unit = Literal["epsilon", "pixels", "deviation"]
_PIXELS = (-3, -2, -1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CoefficientPGD(ConfinedPGD):
    """PGD on wavelet coefficients, each band within a budget of its own.

    With norm "linf" no coefficient of a band moves by more than the band's budget; with
    "l2" the length of all of them is at most that. The image ball holds besides. Steps
    are taken in coefficients, in proportion to the budgets and, with "linf", to what
    spending them gains.

    Budgets are met where `SubbandPGD` says that bands are; elsewhere coefficients near
    the border may exceed theirs.

    Attributes:
        wavelet: PyWavelets name.
        mode: Boundary mode, see `wavelets.dwt2`.
        level: Number of levels.
        budgets: One number for all bands, or pairs of band and number; a band not named
            has none. Bands are named as in `SubbandPGD`.
        unit: Of the budgets: "epsilon", what the image ball lets a single coefficient
            move by (`epsilon * 2**level` with Haar and "linf"; `epsilon` with "l2" and
            an orthogonal wavelet), so that 1 leaves the ball as the only limit of a
            lone coefficient; "pixels"; or "deviation", the standard deviation of the
            band in the attacked image, for each channel (its length with "l2").

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from wbad_jax.attacks import CoefficientPGD
        >>> logits_fn = lambda x: x.mean((1, 2)) @ jnp.array([[-1.0, 1.0]])
        >>> images, labels = jnp.full((1, 4, 4, 1), 0.05), jnp.array([1])
        >>> attack = CoefficientPGD(level=1, num_steps=2)
        >>> result = attack(logits_fn, jax.random.key(0), images, labels, epsilon=0.1)
        >>> print(result.success)
        [ True]
    """

    wavelet: str = "haar"
    mode: str = "symmetric"
    level: int = 2
    budgets: float | tuple[tuple[Band, float], ...] = 1.0
    unit: Unit = "epsilon"

    def __post_init__(self):
        super().__post_init__()
        validation.check_choice("unit", self.unit, ("epsilon", "pixels", "deviation"))
        if isinstance(self.budgets, (int, float)):
            levels = range(1, self.level + 1)
            budgets = tuple((b, self.budgets) for b in ("approximation", *levels))
        else:
            budgets = tuple(
                (tuple(band) if isinstance(band, list) else band, budget)
                for band, budget in self.budgets
            )
        object.__setattr__(self, "budgets", budgets)
        for _, budget in budgets:
            validation.check_at_least("budgets", budget, 0)
        self._transform.by_band(budgets)

    @property
    def _transform(self) -> SubbandTransform:
        return SubbandTransform(self.wavelet, self.mode, self.level)

    def _confinement(
        self, images: Images, epsilon: threat_models.Scalars
    ) -> Confinement:
        transform = self._transform
        limits = self.limits(images, epsilon)
        steps, within = (
            (_steps_by_gain, _clipped) if self.norm == "linf" else (_steps, _shortened)
        )

        def nearest(perturbation):
            coefficients = transform.analyze(perturbation)
            kept = jax.tree.map(within, coefficients, limits)
            return transform.synthesize(kept, images.shape)

        def direction(gradient):
            clean = jnp.clip(jnp.nan_to_num(gradient), -1e30, 1e30)
            size = jnp.max(jnp.abs(clean), axis=_PIXELS, keepdims=True)
            unit = clean / jnp.where(size > 0, size, 1)
            step = steps(transform.synthesis_transpose(unit), limits)
            step = transform.synthesize(step, images.shape)
            return threat_models.project(step, self.norm, epsilon)

        return Confinement(direction, nearest)

    def limits(self, images: Images, epsilon: threat_models.Scalars) -> Coefficients:
        """The budgets in pixel units, broadcastable to the coefficients of images.

        Args:
            images: The attacked images, `[batch, height, width, channels]`.
            epsilon: Radius in pixel units, scalar or `[batch]`.
        """
        assert not isinstance(self.budgets, (int, float))
        budgets: Any = self._transform.by_band(self.budgets)
        if self.unit == "epsilon":
            radius = threat_models.per_example(epsilon, images)
            reach = self._transform.reach(images.shape, self.norm, images.dtype)
            return jax.tree.map(
                # With "l2" the budget is one of the whole band.
                lambda b, r: b * radius * (r if self.norm == "linf" else jnp.max(r)),
                budgets,
                reach,
            )
        if self.unit == "pixels":
            return jax.tree.map(lambda b: jnp.asarray(b, images.dtype), budgets)
        coefficients = self._transform.analyze(images)
        return jax.tree.map(
            lambda b, c: b * _deviation(c, self.norm), budgets, coefficients
        )


def _deviation(band: Array, norm: threat_models.Norm) -> Array:
    centred = band - jnp.mean(band, axis=(-3, -2), keepdims=True)
    if norm == "l2":
        return jnp.sqrt(jnp.sum(centred**2, axis=_PIXELS, keepdims=True))
    return jnp.sqrt(jnp.mean(centred**2, axis=(-3, -2), keepdims=True))


def _steps_by_gain(gradient: Coefficients, limits: Coefficients) -> Coefficients:
    """All of a budget where that gains more than the mean, else a part.

    Full steps everywhere would give bands of little gain as much of the pixel ball as
    those that matter.
    """
    gains = jax.tree.map(jnp.multiply, gradient, limits)
    bands = jax.tree.leaves(gains)
    total = sum(jnp.sum(jnp.abs(gain), _PIXELS, keepdims=True) for gain in bands)
    mean = total / sum(gain[0].size for gain in bands)
    mean = jnp.where(mean > 0, mean, 1)
    return jax.tree.map(
        lambda gain, limit: limit * jnp.clip(gain / mean, -1, 1), gains, limits
    )


def _steps(gradient: Coefficients, limits: Coefficients) -> Coefficients:
    """In every band a step of the length of its budget."""
    return jax.tree.map(
        lambda g, limit: limit * threat_models.steepest_ascent(g, "l2"),
        gradient,
        limits,
    )


def _clipped(band: Array, limit: Array) -> Array:
    return jnp.clip(band, -limit, limit)


def _shortened(band: Array, limit: Array) -> Array:
    length = threat_models.perturbation_norm(band, "l2")[..., None, None, None]
    outside = length > limit
    return jnp.where(outside, limit / jnp.where(outside, length, 1), 1) * band
