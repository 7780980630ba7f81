"""The wavelet transform as attacks see it: bands by name, and how far pixels move them.

Coefficients are those of `wavelets.wavedec2`, `[approx, Details of the coarsest level,
..., Details of level 1]`. A band is "approximation", a level (1 is the finest), which
stands for its three orientations, or a pair of level and orientation.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wbad_jax import wavelets
from wbad_jax.attacks import validation
from wbad_jax.types import Images
from wbad_jax.wavelets import Details

Orientation = Literal["horizontal", "vertical", "diagonal"]
Band = Literal["approximation"] | int | tuple[int, Orientation]
# [approx, Details, ...], or one value a band in the same nesting.
Coefficients = list[Any]


@dataclasses.dataclass(frozen=True)
class SubbandTransform:
    """A decomposition: wavelet, boundary mode and number of levels.

    Attributes:
        wavelet: PyWavelets name.
        mode: Boundary mode, see `wavelets.dwt2`.
        level: Number of levels, at least 1.
    """

    wavelet: str
    mode: str
    level: int

    def __post_init__(self):
        wavelets.as_wavelet(self.wavelet)  # Refuses an unknown name.
        validation.check_choice("mode", self.mode, wavelets.MODES)
        validation.check_at_least("level", self.level, 1)

    def analyze(self, images: Images) -> Coefficients:
        """Coefficients of images."""
        return wavelets.wavedec2(images, self.wavelet, self.mode, self.level)

    def synthesize(self, coefficients: Coefficients, shape: tuple[int, ...]) -> Images:
        """Images of shape `[*batch, height, width, channels]`, from coefficients."""
        height, width = shape[-3:-1]
        return wavelets.waverec2(coefficients, self.wavelet, self.mode, (height, width))

    def analysis_transpose(self, coefficients: Coefficients, images: Images) -> Images:
        """Pixel gradient of a function of the coefficients, from its gradient there.

        Args:
            coefficients: Gradient by the coefficients.
            images: Gives shape and dtype.
        """
        return jax.linear_transpose(self.analyze, images)(coefficients)[0]

    def synthesis_transpose(self, gradient: Images) -> Coefficients:
        """Gradient by the coefficients of a function of the pixels."""
        template = jax.eval_shape(self.analyze, gradient)

        def synthesize(coefficients):
            return self.synthesize(coefficients, gradient.shape)

        return jax.linear_transpose(synthesize, template)(gradient)[0]

    def select(self, coefficients: Coefficients, bands: Iterable[Any]) -> Coefficients:
        """The coefficients of some bands, zeros in all others."""
        chosen = self.by_band((band, 1.0) for band in bands)
        return jax.tree.map(jnp.multiply, coefficients, chosen)

    def signs(self, images: Images, band: Band) -> Coefficients:
        """The signs of one band of images, +1 for an exact zero; zeros in all others.

        Moving along them lengthens every coefficient of the band.
        """
        coefficients = self.analyze(images)
        signs = jax.tree.map(lambda c: jnp.copysign(jnp.ones_like(c), c), coefficients)
        return self.select(signs, [band])

    def by_band(self, values: Iterable[tuple[Any, float]]) -> Coefficients:
        """One number for each band, nested as coefficients; 0 for bands not named.

        Raises:
            ValueError: If a name is unknown.
        """
        table = {name: 0.0 for name in self._names()}
        for band, value in values:
            for name in self._expanded(band):
                table[name] = value
        details = [
            Details._make(table[level, o] for o in Details._fields)
            for level in range(self.level, 0, -1)
        ]
        return [table["approximation"], *details]

    def _names(self) -> list[Any]:
        levels = range(1, self.level + 1)
        details = [(level, o) for level in levels for o in Details._fields]
        return ["approximation", *details]

    def _expanded(self, band: Any) -> list[Any]:
        names = self._names()
        if isinstance(band, int) and 1 <= band <= self.level:
            return [name for name in names if name[0] == band]
        if band not in names:
            raise ValueError(
                "A band must be 'approximation', a level from 1 (finest) to "
                f"{self.level}, or (level, orientation) with one of "
                f"{Details._fields}, got {band!r}."
            )
        return [band]

    def reach(
        self, shape: tuple[int, ...], norm: str, dtype: Any = jnp.float32
    ) -> Coefficients:
        """How far a unit ball of pixels moves each coefficient, alone.

        That is the dual norm of the coefficient's filter, folded at the border: the sum
        of its magnitudes for "linf", `2**level` with Haar; its length for "l2", 1 with
        orthogonal wavelets away from the border; its largest magnitude for "l1".

        Args:
            shape: Of the images, `[*batch, height, width, channels]`.
            norm: Of the ball, a member of `threat_models.NORMS`.
            dtype: Of the result.

        Returns:
            An array `[rows, columns, 1]` for each band, nested as coefficients.
        """
        down, across = (
            self._reach_along(size, norm, dtype) for size in shape[-3:-1]
        )  # The filters are products of one along either axis, and so are their norms.
        levels = [
            tuple(
                jnp.outer(down[j][row], across[j][column])[..., None]
                for row, column in ((0, 0), (1, 0), (0, 1), (1, 1))
            )
            for j in range(self.level)
        ]
        details = [Details(*bands[1:]) for bands in reversed(levels)]
        return [levels[-1][0], *details]

    def _reach_along(
        self, size: int, norm: str, dtype: Any
    ) -> list[tuple[Float[Array, " n"], Float[Array, " n"]]]:
        """Norms of low-pass and high-pass filters of each level, finest first."""
        dual = {"linf": 1, "l2": 2, "l1": jnp.inf}[norm]
        low = jnp.eye(size, dtype=dtype)
        levels = []
        for _ in range(self.level):
            low, high = wavelets.dwt(low, self.wavelet, self.mode, axis=-1)
            norms = [jnp.linalg.norm(rows, dual, axis=0) for rows in (low, high)]
            levels.append(tuple(norms))
        return levels
