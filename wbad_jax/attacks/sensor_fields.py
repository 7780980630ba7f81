"""Disturbances of an infrared camera or its room, as families with few parameters.

Each family maps parameters in [-1, 1] to a field over the pixels, at most 1 in absolute
value anywhere in the frame; an attack multiplies it by its radius. Fields are the same
in all channels but for the gain, which follows the image.

`offset`, `gain` and `gradient` are the errors left by a camera's last correction
against its shutter; `patches` are warm and cold areas, `vessels` lines; `room` is a
shift of the surroundings and of the skin.
"""

from collections.abc import Callable
from types import MappingProxyType
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wbad_jax.types import Images

Parameters = Float[Array, " parameters"]
Image = Float[Array, "height width channels"]
Field = Float[Array, "height width #channels"]
# Narrower than this, a bump between two pixels would vanish.
_NARROWEST = 0.5


class Scene(NamedTuple):
    """One exposure, and what a field may depend on beside its parameters.

    Attributes:
        image: The clean image, `[height, width, channels]`.
        pivot: Pixel value at which the camera's gain error is zero.
        body: Share of body in the surroundings of each pixel, `[height, width, 1]`, 1
            well inside, 0 well outside.
        widths: Smallest and largest standard deviation of a bump or of a line's
            profile, in pixels.
    """

    image: Image
    pivot: Float[Array, ""]
    body: Field
    widths: tuple[float, float]


class Family(NamedTuple):
    """A kind of disturbance.

    Attributes:
        field: From parameters and scene to the field.
        parameters: How many parameters one shape (or the whole field) has.
        shapes: Whether a field is a sum of several shapes.
        widths: Default for `Scene.widths`, in shares of the frame's shorter side.
    """

    field: Callable[[Parameters, Scene], Field]
    parameters: int
    shapes: bool = False
    widths: tuple[float, float] = (0.05, 0.05)


def body_share(body: Images, width: float) -> Images:
    """Blurs a mask of the body, so that a shift sets in smoothly at its outline.

    Args:
        body: `[batch, height, width, 1]`, 0 or 1.
        width: Standard deviation of the Gaussian, pixels. Beyond the frame the body
            goes on as far as can be told: weights inside the frame sum to 1.
    """
    rows, columns = (_blur_matrix(size, width) for size in body.shape[1:3])
    return jnp.einsum("ij,bjkc,lk->bilc", rows, body.astype(rows.dtype), columns)


def _blur_matrix(size: int, width: float) -> Array:
    pixels = jnp.arange(size, dtype=jnp.float32)
    weights = jnp.exp(-0.5 * ((pixels[:, None] - pixels) / width) ** 2)
    return weights / jnp.sum(weights, axis=1, keepdims=True)


def _offset(parameters: Parameters, scene: Scene) -> Field:
    """One number for the whole frame."""
    return jnp.broadcast_to(parameters[0], (*scene.image.shape[:2], 1))


def _gain(parameters: Parameters, scene: Scene) -> Field:
    """A relative error of all differences from the pivot."""
    difference = scene.image - scene.pivot
    largest = jnp.max(jnp.abs(difference))
    return parameters[0] * difference / jnp.where(largest > 0, largest, 1)


def _gradient(parameters: Parameters, scene: Scene) -> Field:
    """A plane through the middle of the frame; extreme in two opposite corners."""
    rows, columns = (_centred(size) for size in scene.image.shape[:2])
    steepest = jnp.maximum(jnp.sum(jnp.abs(parameters)), 1)
    plane = parameters[0] * rows[:, None] + parameters[1] * columns
    return (plane / steepest)[..., None]


def _room(parameters: Parameters, scene: Scene) -> Field:
    """One shift of the surroundings, another of the body, mixed at the outline."""
    return parameters[0] * (1 - scene.body) + parameters[1] * scene.body


def _patches(parameters: Parameters, scene: Scene) -> Field:
    """Gaussian bumps: row, column, width and height of each."""

    def bump(shape):
        row, column = _places(shape[0], shape[1], scene)
        squared = (_pixels(scene, 0) - row) ** 2 + (_pixels(scene, 1) - column) ** 2
        return shape[3] * jnp.exp(-0.5 * squared / _width(shape[2], scene) ** 2)

    return _sum_of_shapes(bump, parameters.reshape(-1, 4))


def _vessels(parameters: Parameters, scene: Scene) -> Field:
    """Straight lines of Gaussian profile: both ends, width and height of each."""

    def line(shape):
        row, column = _places(shape[0], shape[1], scene)
        end_row, end_column = _places(shape[2], shape[3], scene)
        down, right = end_row - row, end_column - column
        length = jnp.maximum(down**2 + right**2, 1e-6)
        from_row, from_column = _pixels(scene, 0) - row, _pixels(scene, 1) - column
        along = jnp.clip((down * from_row + right * from_column) / length, 0, 1)
        squared = (from_row - along * down) ** 2 + (from_column - along * right) ** 2
        return shape[5] * jnp.exp(-0.5 * squared / _width(shape[4], scene) ** 2)

    return _sum_of_shapes(line, parameters.reshape(-1, 6))


def _sum_of_shapes(shape_fn, parameters: Array) -> Field:
    total = jnp.sum(jax.vmap(shape_fn)(parameters), axis=0)
    # Shapes that overlap are scaled down together. The scale is held fixed under
    # differentiation: its own gradient is that of a single pixel.
    highest = jax.lax.stop_gradient(jnp.max(jnp.abs(total)))
    return (total / jnp.maximum(highest, 1))[..., None]


def _centred(size: int) -> Array:
    """Pixels from -1 at one border of the frame to 1 at the other."""
    pixels = jnp.arange(size, dtype=jnp.float32)
    return (2 * pixels - (size - 1)) / max(size - 1, 1)


def _pixels(scene: Scene, axis: int) -> Array:
    pixels = jnp.arange(scene.image.shape[axis], dtype=jnp.float32)
    return pixels[:, None] if axis == 0 else pixels


def _places(row, column, scene: Scene) -> tuple[Array, Array]:
    height, width, _ = scene.image.shape
    return (1 + row) / 2 * (height - 1), (1 + column) / 2 * (width - 1)


def _width(parameter, scene: Scene) -> Array:
    narrow, wide = (max(width, _NARROWEST) for width in scene.widths)
    return narrow * (wide / narrow) ** ((1 + parameter) / 2)


# Bumps are as wide as a tumour 1 to 3 cm below the skin makes them, or wider; lines as
# wide as vessels 2 to 8 mm below it, in a frame of about 45 cm.
FAMILIES: MappingProxyType[str, Family] = MappingProxyType(
    {
        "offset": Family(_offset, 1),
        "gain": Family(_gain, 1),
        "gradient": Family(_gradient, 2),
        "room": Family(_room, 2),
        "patches": Family(_patches, 4, shapes=True, widths=(0.02, 0.2)),
        "vessels": Family(_vessels, 6, shapes=True, widths=(0.004, 0.015)),
    }
)
