"""One thermogram to be explained, and what a patient would look like in its place.

The prediction is differentiable and is compiled once for all patients of one image
size: everything about a patient is an argument.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jaxtyping import Array, Float

from wbad_jax.bioheat import thermograms
from wbad_jax.bioheat import twin as twins
from wbad_jax.bioheat.body_shape import Grid
from wbad_jax.bioheat.camera import relative_emissivity
from wbad_jax.bioheat.cohort import CohortSettings
from wbad_jax.bioheat.conduction import Surface
from wbad_jax.bioheat.patient import Twin
from wbad_jax.bioheat.unknowns import (
    HEALTHY_NAMES,
    Values,
    tumour_of,
    with_healthy_values,
)

CELSIUS_LIMITS = (0.0, 60.0)
# Least share of the pixels of either body, observed or template, that belong to both.
LEAST_OVERLAP = 0.9
# Relative residual of the healthy solve.
_TOLERANCE = 1e-6


class Scene(NamedTuple):
    """What is known before a thermogram is explained.

    Attributes:
        template: Shape, vessels and room; its unknowns are ignored.
        mask: Pixels that are explained, body of both observation and template in the
            region that counts.
        emissivity: Relative to skin seen face on.
        blur: Matrices of the camera's blur along rows and columns.
    """

    template: Twin
    mask: Array | np.ndarray
    emissivity: Surface | np.ndarray
    blur: tuple[Array | np.ndarray, Array | np.ndarray]


def make_scene(
    mask: np.ndarray,
    template: Twin,
    room_celsius: float,
    settings: CohortSettings,
    region: np.ndarray | None = None,
) -> Scene:
    """Puts a template before the camera of a cohort.

    Args:
        mask: Observed body, `[rows, columns]` bool.
        template: Patient whose body and vessels are taken as known.
        room_celsius: Temperature of the room.
        settings: Of the cohort: grid and camera.
        region: Pixels that count, `[rows, columns]` bool; all if None.

    Returns:
        The scene.

    Raises:
        ValueError: If the observed body is not that of the template, or the template
            is impossible.
    """
    if mask.dtype != bool or mask.shape != settings.shape or not mask.any():
        raise ValueError(
            f"mask needs bool {settings.shape} with some body, got {mask.dtype} "
            f"{mask.shape} with {np.count_nonzero(mask)} pixels."
        )
    if region is None:
        region = np.ones_like(mask)
    if region.dtype != bool or region.shape != mask.shape or not (mask & region).any():
        raise ValueError(
            f"region needs bool {mask.shape} with some body, got {region.dtype} "
            f"{region.shape}."
        )
    template = template._replace(air=room_celsius)
    view = thermograms.solve_healthy(template, settings.grid)[2]
    body, facing = np.asarray(view.body), np.asarray(view.facing)
    both = mask & body & region
    overlap = agreement(mask, body, region)
    if not overlap >= LEAST_OVERLAP:
        raise ValueError(
            f"template needs a body of which at least {LEAST_OVERLAP:.0%} agree with "
            f"mask, got {overlap:.0%}."
        )
    sigma = settings.camera.psf_sigma_pixels
    blurs = [
        scipy.ndimage.gaussian_filter(np.eye(size), (sigma, 0), mode="nearest")
        for size in settings.shape
    ]
    emissivity = relative_emissivity(np.where(body, facing, 1.0), settings.camera)
    return _single_precision(
        Scene(template, both, np.where(body, emissivity, 0.0), (blurs[0], blurs[1]))
    )


def agreement(first: np.ndarray, second: np.ndarray, region: np.ndarray) -> float:
    """Share of the pixels of either of two bodies that are of both, in a region."""
    either = (first | second) & region
    return float((first & second & region).sum() / max(either.sum(), 1))


def check_celsius(celsius: np.ndarray, mask: np.ndarray) -> None:
    """Refuses what is no thermogram of a body.

    Raises:
        ValueError: If the shape is not that of the mask, or a pixel of the body is not
            finite or no temperature of a body.
    """
    if celsius.shape != mask.shape:
        raise ValueError(
            f"celsius needs shape {mask.shape} of mask, got {celsius.shape}."
        )
    body = celsius[mask]
    if not np.isfinite(body).all():
        count = np.count_nonzero(~np.isfinite(body))
        raise ValueError(f"celsius needs finite pixels on the body, got {count} not.")
    low, high = CELSIUS_LIMITS
    if body.min() < low or body.max() > high:
        raise ValueError(
            f"celsius needs {low:g} to {high:g} on the body, got {body.min():g} to "
            f"{body.max():g}: temperatures, not pixel values."
        )


def predict_healthy(values: Values, scene: Scene, grid: Grid) -> Surface:
    """The picture of a patient without tumour, free of noise; differentiable.

    Args:
        values: See `HEALTHY_NAMES`.
        scene: The rest of her.
        grid: Its plane is the image.

    Returns:
        Degrees Celsius, room temperature outside the body. NaN where the heat solver
        does not converge.
    """
    healthy = twins.discretise(with_healthy_values(scene.template, values), grid)
    theta, _ = twins.steady_state(healthy, _TOLERANCE)
    return _picture(twins.view(healthy, theta).skin, scene)


def predict_tumour(values: Values, scene: Scene, grid: Grid) -> Surface:
    """The picture of a patient with a tumour, free of noise; differentiable.

    Args:
        values: Of the patient, `HEALTHY_NAMES`, then of the tumour, `TUMOUR_NAMES`.
        scene: As in `predict_healthy`.
        grid: Likewise.

    Returns:
        As `predict_healthy`.
    """
    twin = with_healthy_values(scene.template, values[: len(HEALTHY_NAMES)])
    tumour = tumour_of(values[len(HEALTHY_NAMES) :])
    healthy = twins.discretise(twin, grid)
    theta, _ = twins.steady_state(healthy, _TOLERANCE)
    ill = twins.with_tumour(twin, tumour, grid, healthy)
    change, _ = twins.tumour_change(healthy, ill, theta, tumour, grid)
    return _picture(twins.view(ill, theta + change).skin, scene)


@functools.partial(jax.jit, static_argnames=("predict", "grid"))
def prediction(values: Values, scene: Scene, *, predict, grid: Grid) -> Surface:
    """`predict(values, scene, grid)`, compiled."""
    return predict(values, scene, grid)


@functools.partial(jax.jit, static_argnames=("predict", "grid"))
def prediction_and_jacobian(
    values: Values, scene: Scene, *, predict, grid: Grid
) -> tuple[Surface, Float[Array, "rows columns unknowns"]]:
    """The same with its derivatives: one solve more for each unknown.

    One after the other: as a batch they are no faster on two cores.
    """
    picture, push = jax.linearize(lambda x: predict(x, scene, grid), values)
    columns = jax.lax.map(push, jnp.eye(values.size, dtype=values.dtype))
    return picture, jnp.moveaxis(columns, 0, -1)


def _picture(skin: Surface, scene: Scene) -> Surface:
    """What `camera.take_image` makes of the skin, but for noise, drift and rounding."""
    air = scene.template.air
    rows, columns = scene.blur
    body = scene.emissivity > 0
    warmth = jnp.where(body, scene.emissivity * (skin - air), 0.0)
    weight = rows @ body.astype(skin.dtype) @ columns.T
    blurred = rows @ warmth @ columns.T / jnp.where(body, weight, 1.0)
    return air + jnp.where(body, blurred, 0.0)


def _single_precision(scene: Scene) -> Scene:
    def convert(leaf):
        array = np.asarray(leaf)
        return array if array.dtype == bool else array.astype(np.float32)

    return jax.tree.map(convert, scene)
