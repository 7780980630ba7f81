"""Fits a template to the outline of a patient whose shape is not known.

A picture shows where a body ends, and little else of its shape. Here the trunk of a
body of the shape law is laid over an observed one: size and place of the picture, width
of chest and waist, place and size of the breasts.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jaxtyping import Array, Float

from wbad_jax.bioheat import body_shape
from wbad_jax.bioheat import twin as twins
from wbad_jax.bioheat.body_shape import Body, Grid
from wbad_jax.bioheat.cohort import CohortSettings
from wbad_jax.bioheat.observed import LEAST_OVERLAP, agreement
from wbad_jax.bioheat.patient import Twin
from wbad_jax.bioheat.shape_law import TORSO_ROW, average_patient, body_of, shape_law

# Rows, mm: arms change the outline above the first, chin and shoulders are above the
# second. Half the width of the chest between the arms, mm.
_ARMPITS, _NECK, _BETWEEN_ARMS = TORSO_ROW - 40, TORSO_ROW - 100, 100.0
# Centre of a picture on the grid, column and row in mm, and the spreads of both and of
# the logarithm of a pixel's size: wide, since photographers are free.
_CENTRE, _CENTRE_SPREADS, _LOG_PIXEL_SPREAD = (0.0, 15.0), (30.0, 40.0), 0.15
_WIDENING = 2.0  # factor on the spread of drawn bodies: real ones vary more
# Outlines farther apart than this all count alike: a coarse fit, then a fine one.
_REACHES_MM = (45.0, 25.0)
# Of a template, mm: 8, times the root of the pixels that tell of the same 40 mm of it.
_OUTLINE_ERROR_MM = 50.0
_SAMPLES = 8  # along each edge of a pixel of the grid
# Of the rows below the armpits: those that show wall on both sides of the body.
_LEAST_SIDES = 0.5
_LEAST_SHARE = 0.5  # of a pixel of the grid that is body, or skin


class NoTemplateFitsError(ValueError):
    """No body of the shape law has the outline that was observed."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Outline:
    """A template laid over a picture.

    Attributes:
        template: An average patient without vessels, in a body of this outline.
        millimetres_per_pixel: Of the picture, as if she were of average size.
        centre: Column and row of the picture's centre on the grid, mm from the grid's.
        mask: The observed body on the grid, `[rows, columns]` bool.
        rendered: The template's body, likewise.
        region: Pixels of the grid that the picture shows and that may be trunk, not
            arms, neck or shoulders.
        agreement: Share of the pixels of either body, observed or template, that are of
            both, below the armpits.

    Examples:
        >>> from wbad_jax.bioheat import CohortSettings, fit_outline
        >>> outline = fit_outline(body, CohortSettings())  # doctest: +SKIP
        >>> outline.agreement > 0.9  # doctest: +SKIP
    """

    template: Twin
    millimetres_per_pixel: float
    centre: tuple[float, float]
    mask: np.ndarray
    rendered: np.ndarray
    region: np.ndarray
    agreement: float
    grid: Grid

    def resample(
        self, celsius: np.ndarray, skin: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The picture on the grid.

        Args:
            celsius: `[height, width]`.
            skin: Where it is the temperature of skin, `[height, width]` bool: body, but
                no marker, and not the rim that the camera blurs with the wall.

        Returns:
            Means over the skin in each pixel of the grid, NaN where less than half of
            it is skin; and `region` less the pixels of the body that are NaN. `Inverse`
            takes the latter as `region`.

        Raises:
            ValueError: If the shapes differ or no skin is in the region.
        """
        if skin.dtype != bool or celsius.shape != skin.shape:
            raise ValueError(
                f"skin needs bool {celsius.shape} of celsius, got {skin.dtype} "
                f"{skin.shape}."
            )
        places = _sample_places(self, skin.shape)
        share = _cell_means(skin, places)
        total = _cell_means(np.where(skin, celsius, 0.0), places)
        covered = share >= _LEAST_SHARE
        region = self.region & (covered | ~self.mask)
        if not (region & self.mask).any():
            raise ValueError("skin needs some pixels of the trunk, got none.")
        return np.where(covered, total / np.where(covered, share, 1.0), np.nan), region


def fit_outline(
    body: np.ndarray, settings: CohortSettings, *, millimetres_per_pixel: float = 0.7
) -> Outline:
    """Fits a template to the outline of a body below the armpits.

    Least squares of the distance between both outlines, cut off where they are far from
    each other, with the law of drawn bodies, widened, as prior. Nothing in a picture
    tells a small woman from one farther away: she is taken to be of average size, and
    the size of a pixel is estimated.

    Args:
        body: Observed body without holes, `[height, width]` bool, of any size.
        settings: Of the cohort: grid and law of patients.
        millimetres_per_pixel: Of `body`, right to some 15 %.

    Returns:
        The template and its place.

    Raises:
        ValueError: If `body` has no outline.
        NoTemplateFitsError: If less than 90 % of the pixels agree, or less than half of
            the rows show both sides of the body.

    Examples:
        >>> from wbad_jax.bioheat import CohortSettings, fit_outline
        >>> outline = fit_outline(body, CohortSettings())  # doctest: +SKIP
    """
    body = np.asarray(body)
    if body.dtype != bool or body.ndim != 2 or not body.any() or body.all():
        raise ValueError(
            f"body needs bool [height, width] with an outline, got {body.dtype} "
            f"{body.shape} with {np.count_nonzero(body)} pixels of body."
        )
    if not 0 < millimetres_per_pixel < math.inf:
        raise ValueError(
            f"millimetres_per_pixel needs > 0, got {millimetres_per_pixel}."
        )
    law, average = shape_law(settings.healthy)
    mean = np.concatenate([[math.log(millimetres_per_pixel), *_CENTRE], law.mean])
    root = np.diag([_LOG_PIXEL_SPREAD, *_CENTRE_SPREADS, *np.zeros(law.mean.size)])
    root[3:, 3:] = _WIDENING * np.linalg.cholesky(law.covariance)
    distance = np.float32(_signed_distance(body))
    z = np.zeros(mean.size)
    for reach in _REACHES_MM:
        arguments = distance, average, np.float32(mean), np.float32(root), reach
        found = scipy.optimize.least_squares(
            _misfit,
            z,
            _misfit_slopes,  # pyright: ignore[reportArgumentType]: stub of "2-point"
            args=(arguments, settings.grid),
            ftol=1e-4,  # of single precision
            xtol=1e-3,
            max_nfev=30,
        )
        z = found.x
    return _checked_outline(mean + root @ z, body, average, settings)


def _checked_outline(
    values: np.ndarray, body: np.ndarray, average: Body, settings: CohortSettings
) -> Outline:
    grid = settings.grid
    shape = jax.tree.map(np.asarray, body_of(values[3:], average))
    empty = np.zeros(settings.shape, bool)
    found = Outline(
        template=average_patient(shape, settings),
        millimetres_per_pixel=math.exp(values[0]),
        centre=(float(values[1]), float(values[2])),
        mask=empty,
        rendered=np.asarray(_silhouette(shape, grid=grid)),
        region=empty,
        agreement=0.0,
        grid=grid,
    )
    places = _sample_places(found, body.shape)
    mask = _cell_means(body, places) >= _LEAST_SHARE
    shown = _cell_means(np.ones(body.shape), places) > 0.99
    _, rows, columns = (np.asarray(axis) for axis in grid.axes())
    between = (rows > _NECK) & (abs(columns) < _BETWEEN_ARMS)
    trunk = (rows > _ARMPITS) & np.ones_like(columns, bool)
    share = agreement(mask, found.rendered, shown & trunk)
    wall = shown & trunk & ~mask
    sides = wall[:, : columns.size // 2].any(1) & wall[:, columns.size // 2 :].any(1)
    if not sides.sum() >= _LEAST_SIDES * (shown & trunk).any(1).sum():
        raise NoTemplateFitsError(
            "body needs both its sides in half of the rows below the armpits, got "
            f"{sides.sum()} such rows."
        )
    if not share >= LEAST_OVERLAP:
        raise NoTemplateFitsError(
            f"body needs an outline that agrees with a template's by at least "
            f"{LEAST_OVERLAP:.0%} below the armpits, got {share:.1%}."
        )
    return dataclasses.replace(
        found, mask=mask, region=shown & (trunk | between), agreement=share
    )


_silhouette = jax.jit(twins.silhouette, static_argnames="grid")


def _misfit(z: np.ndarray, known, grid: Grid) -> np.ndarray:
    return np.asarray(_residual(np.float32(z), *known, grid=grid), np.float64)


def _misfit_slopes(z: np.ndarray, known, grid: Grid) -> np.ndarray:
    return np.asarray(_slopes(np.float32(z), *known, grid=grid), np.float64)


def _distance_between(z, distance, average, mean, root, reach, *, grid):
    """Differences of the levels of both outlines, then the unknowns themselves."""
    values = mean + root @ z
    level = _silhouette_level(body_of(values[3:], average), grid)
    _, rows, columns = grid.axes()
    pixel, (height, width) = jnp.exp(values[0]), distance.shape
    y = (rows - values[2]) / pixel + (height - 1) / 2
    x = (columns - values[1]) / pixel + (width - 1) / 2
    shown = (y >= 0) & (y <= height - 1) & (x >= 0) & (x <= width - 1)
    places = jnp.broadcast_arrays(y, x)
    observed = pixel * jax.scipy.ndimage.map_coordinates(
        distance, places, order=1, mode="nearest"
    )
    apart = jnp.clip(level, -reach, reach) - jnp.clip(observed, -reach, reach)
    counted = jnp.where(shown & (rows > _ARMPITS), apart / _OUTLINE_ERROR_MM, 0.0)
    return jnp.concatenate([counted.reshape(-1), z])


_residual = jax.jit(_distance_between, static_argnames="grid")
_slopes = jax.jit(jax.jacfwd(_distance_between), static_argnames="grid")


def _silhouette_level(body: Body, grid: Grid) -> Float[Array, "rows columns"]:
    """Negative where there is body at any height."""
    level = body_shape.skin_level(body, *grid.axes())
    deepest = jnp.argmin(level, axis=0, keepdims=True)
    return jnp.take_along_axis(level, deepest, axis=0)[0]


def _signed_distance(body: np.ndarray) -> np.ndarray:
    """From the outline in pixels, negative inside; the frame's edge is no outline."""
    outside = np.asarray(scipy.ndimage.distance_transform_edt(~body))
    inside = np.asarray(scipy.ndimage.distance_transform_edt(body))
    # The outline runs midway between pixels.
    return np.where(body, 0.5 - inside, outside - 0.5)


def _sample_places(outline: Outline, shape: tuple[int, int]) -> list[np.ndarray]:
    """Rows and columns in the picture of 8 x 8 places in each pixel of the grid."""
    spacing, (_, *cells) = outline.grid.spacing_mm, outline.grid.shape
    places = []
    for count, centre, size in zip(cells, outline.centre[::-1], shape, strict=True):
        steps = (np.arange(count * _SAMPLES) + 0.5) / _SAMPLES - count / 2
        shift = (steps * spacing - centre) / outline.millimetres_per_pixel
        places.append(shift + (size - 1) / 2)
    return places


def _cell_means(image: np.ndarray, places: list[np.ndarray]) -> np.ndarray:
    """Means over the samples in each pixel of the grid, 0 beyond the picture."""
    grid = np.meshgrid(*places, indexing="ij")
    samples = scipy.ndimage.map_coordinates(image.astype(float), grid, order=1)
    rows, columns = (len(axis) // _SAMPLES for axis in places)
    return samples.reshape(rows, _SAMPLES, columns, _SAMPLES).mean(axis=(1, 3))
