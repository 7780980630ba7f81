"""Attacks confined to wavelet subbands, or to low frequencies.

A denoiser that shrinks details leaves the approximation alone, so a perturbation that
lives there passes it untouched, whatever the thresholds.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np

from wbad_jax.attacks import threat_models, validation
from wbad_jax.attacks.confined import ConfinedPGD, Confinement, stretch
from wbad_jax.attacks.subband_transform import Band, Orientation, SubbandTransform
from wbad_jax.types import Images

Bands = Band | tuple[Band, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SubbandPGD(ConfinedPGD):
    """PGD on perturbations made of chosen wavelet subbands.

    The coefficients of a perturbation are zero in all other bands, up to rounding:
    with an orthogonal wavelet, mode "periodization" and sizes divisible by `2**level`,
    and with Haar in all modes if the sizes are divisible; Haar approximations also if
    they are not. Otherwise bands overlap at the border: with db2, mode "symmetric" and
    40 x 40 pixels a tenth of a perturbation's length lies in other bands, all of it in
    coefficients near the border.
    The pixel range and a mask cut perturbations pixel by pixel, see `confined`.

    Attributes:
        wavelet: PyWavelets name; that of the denoiser for a perturbation to pass it.
        mode: Boundary mode, likewise.
        level: Number of levels, likewise.
        bands: "approximation", a level (1 is the finest), `(level, orientation)` with
            orientation "horizontal", "vertical" or "diagonal", or a tuple of such.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from wbad_jax.attacks import SubbandPGD
        >>> logits_fn = lambda x: x.mean((1, 2)) @ jnp.array([[-1.0, 1.0]])
        >>> images, labels = jnp.full((1, 4, 4, 1), 0.05), jnp.array([1])
        >>> attack = SubbandPGD(level=1, num_steps=2)
        >>> result = attack(logits_fn, jax.random.key(0), images, labels, epsilon=0.1)
        >>> print(result.success)
        [ True]
    """

    wavelet: str = "haar"
    mode: str = "symmetric"
    level: int = 2
    bands: Bands = "approximation"

    def __post_init__(self):
        super().__post_init__()
        bands = _as_bands(self.bands)
        object.__setattr__(self, "bands", bands)
        self._transform.by_band((band, 1.0) for band in bands)

    @property
    def _transform(self) -> SubbandTransform:
        return SubbandTransform(self.wavelet, self.mode, self.level)

    def _confinement(
        self, images: Images, epsilon: threat_models.Scalars
    ) -> Confinement:
        transform = self._transform
        bands = _as_bands(self.bands)

        def nearest(perturbation):
            kept = transform.select(transform.analyze(perturbation), bands)
            return transform.synthesize(kept, perturbation.shape)

        return linear_confinement(nearest, images, self.norm, epsilon)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LowPassPGD(ConfinedPGD):
    """PGD on perturbations of low spatial frequency, in the cosine transform.

    An approximation of level n keeps a share `2**-n` of the frequencies along either
    axis, in blocks or overlapping waves; this set has no such grid.

    Attributes:
        share: Of the frequencies along either axis, the lowest ones; at least one,
            the constant, is kept.

    Reference:
        Guo, Frank and Weinberger (2019), Low frequency adversarial perturbation,
        section 3.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from wbad_jax.attacks import LowPassPGD
        >>> logits_fn = lambda x: x.mean((1, 2)) @ jnp.array([[-1.0, 1.0]])
        >>> images, labels = jnp.full((1, 4, 4, 1), 0.05), jnp.array([1])
        >>> attack = LowPassPGD(share=0.5, num_steps=2)
        >>> result = attack(logits_fn, jax.random.key(0), images, labels, epsilon=0.1)
        >>> print(result.success)
        [ True]
    """

    share: float = 0.25

    def __post_init__(self):
        super().__post_init__()
        validation.check_positive("share", self.share)
        if self.share > 1:
            raise ValueError(f"share must be at most 1, got {self.share!r}.")

    def _confinement(
        self, images: Images, epsilon: threat_models.Scalars
    ) -> Confinement:
        down, across = (
            jnp.asarray(_low_pass(size, self.share), images.dtype)
            for size in images.shape[-3:-1]
        )

        def nearest(perturbation):
            return jnp.einsum(
                "ij,bjkc,lk->bilc", down, perturbation, across, precision="highest"
            )

        return linear_confinement(nearest, images, self.norm, epsilon)


def linear_confinement(
    nearest: Callable[[Images], Images],
    images: Images,
    norm: threat_models.Norm,
    epsilon: threat_models.Scalars,
) -> Confinement:
    """The range of a linear map, which is nearly a projection, as a set.

    Were the perturbation `nearest(u)`, the gradient by u would be the transposed map of
    that by the pixels. A step in u along it, mapped back, is an ascent in the set.
    """

    def direction(gradient):
        clean = jnp.clip(jnp.nan_to_num(gradient), -1e30, 1e30)
        inner = jax.linear_transpose(nearest, images)(clean)[0]
        size = jnp.max(jnp.abs(inner), axis=(1, 2, 3), keepdims=True)
        step = inner / jnp.where(size > 0, size, 1)
        if norm == "linf":
            step = _soft_sign(step)
        return stretch(nearest(step), norm, epsilon)

    return Confinement(direction, nearest)


def _soft_sign(gradient: Images) -> Images:
    """The sign, but entries below half the mean magnitude in proportion.

    The sign itself forgets what weighs more, where the set does not allow every pattern
    of signs: with the finest Haar details of a linear model it stops 7 % short of the
    best perturbation, this 3 %.
    """
    mean = jnp.mean(jnp.abs(gradient), axis=(1, 2, 3), keepdims=True)
    return jnp.clip(gradient / jnp.where(mean > 0, mean / 2, 1), -1, 1)


def _low_pass(size: int, share: float) -> np.ndarray:
    """Projection of signals onto their lowest cosine frequencies, `[size, size]`."""
    kept = max(round(share * size), 1)
    places = (np.arange(size) + 0.5) / size
    waves = np.cos(np.pi * np.arange(kept)[:, None] * places)
    waves /= np.linalg.norm(waves, axis=1, keepdims=True)
    return waves.T @ waves


def _as_bands(bands: Any) -> tuple[Band, ...]:
    """A tuple of bands; lists, as configurations have them, would not be hashable."""
    if isinstance(bands, (str, int)) or _is_pair(bands):
        bands = (bands,)
    return tuple(tuple(b) if isinstance(b, list) else b for b in bands)


def _is_pair(bands: Any) -> bool:
    """Whether this is one band, a pair of level and orientation."""
    return len(bands) == 2 and bands[1] in get_args(Orientation)
