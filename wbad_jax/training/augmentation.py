"""Random changes of training images in the jitted step, a function of the key alone.

A rotation and a shift, by one bilinear resampling, stand for how a patient is placed
before the camera; a gain and an offset for how the camera is calibrated. Written here
and not taken from dm-pix, which is maintained: there images draw on their own, and
the images of one patient have to be changed alike. Gaussian noise prepares a network
for randomised smoothing.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wbad_jax.types import Images, Key


@dataclasses.dataclass(frozen=True, kw_only=True)
class AugmentationSettings:
    """How far images may change; everything is off by default.

    Attributes:
        flip: Whether to mirror half of the groups left to right.
        max_rotation_degrees: Rotation about the centre, uniform up to this both ways.
        max_shift_pixels: Shift in height and in width, likewise; need not be whole.
        max_gain: Contrast about the image mean, `1 - max_gain` to `1 + max_gain`. The
            window of temperature is linear, so this is a gain in degrees, too.
        max_offset: Pixel value added, likewise; 1 is the whole window.
        noise_sigma: Standard deviation of Gaussian noise at every pixel, new for each
            image. It comes last and is not clipped, as in randomised smoothing (Cohen,
            Rosenfeld and Kolter 2019, section 3.3).

    Examples:
        >>> from wbad_jax.training import AugmentationSettings
        >>> AugmentationSettings().active, AugmentationSettings(flip=True).active
        (False, True)
    """

    flip: bool = False
    max_rotation_degrees: float = 0.0
    max_shift_pixels: float = 0.0
    max_gain: float = 0.0
    max_offset: float = 0.0
    noise_sigma: float = 0.0

    def __post_init__(self):
        limits = {"max_rotation_degrees": 180.0, "max_gain": 1.0, "max_offset": 1.0}
        for field in dataclasses.fields(self)[1:]:
            value = getattr(self, field.name)
            limit = limits.get(field.name, float("inf"))
            if not 0 <= value <= limit or value == float("inf"):
                raise ValueError(
                    f"{field.name} must be between 0 and {limit:g}, got {value}."
                )

    @property
    def active(self) -> bool:
        """Whether anything changes."""
        return self != AugmentationSettings()


def augment(
    key: Key, images: Images, settings: AugmentationSettings, each: int = 1
) -> Images:
    """Change images at random; with nothing switched on, return them as they are.

    Args:
        key: All randomness. The draws of one change do not depend on the others.
        images: `[batch, height, width, channels]` in [0, 1].
        settings: How far.
        each: Consecutive images that form a group, such as those of one patient. They
            share their draws and the mean that the gain is about: but for clipping, the
            difference of twins is moved and scaled, and nothing is added to it. Noise
            alone is each image's own.

    Returns:
        Images of the same shape, in [0, 1] but for noise; beyond its border an image
        continues with its outermost pixels.

    Raises:
        ValueError: If `each` does not divide the batch.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from wbad_jax.training import AugmentationSettings, augment
        >>> images = jnp.full((2, 4, 4, 1), 0.5)
        >>> flips = AugmentationSettings(flip=True)
        >>> mirrored = augment(jax.random.key(0), images, flips)
        >>> bool((mirrored == images).all())
        True
    """
    if each < 1 or len(images) % each:
        raise ValueError(f"each must divide a batch of {len(images)}, got {each}.")
    groups = len(images) // each

    def draw(index: int, size: float, shape: tuple[int, ...] = ()) -> Array:
        draws = jax.random.uniform(
            jax.random.fold_in(key, index), (groups, *shape), minval=-size, maxval=size
        )
        return jnp.repeat(draws, each, axis=0)

    if settings.flip:
        mirrored = draw(0, 1.0)[:, None, None, None] < 0
        images = jnp.where(mirrored, images[:, :, ::-1], images)
    if settings.max_rotation_degrees or settings.max_shift_pixels:
        degrees = draw(1, settings.max_rotation_degrees)
        shifts = draw(2, settings.max_shift_pixels, (2,))
        images = rotate_and_shift(images, degrees, shifts)
    if settings.max_gain or settings.max_offset:
        gains = 1 + draw(3, settings.max_gain)
        images = recalibrate(images, gains, draw(4, settings.max_offset), each)
    if settings.noise_sigma:
        # Flat, then reshaped: the same bits, but far faster to compile.
        noise = jax.random.normal(jax.random.fold_in(key, 5), (images.size,))
        images += settings.noise_sigma * noise.reshape(images.shape)
    return images


def rotate_and_shift(
    images: Images, degrees: Float[Array, " batch"], shifts: Float[Array, "batch 2"]
) -> Images:
    """Rotate about the centre, then shift: bilinear, outermost pixels continued.

    Args:
        images: `[batch, height, width, channels]`.
        degrees: Positive from the axis of height to that of width, as
            `scipy.ndimage.rotate` counts.
        shifts: Pixels down and to the right.
    """
    height, width = images.shape[1:3]
    centre = jnp.asarray([(height - 1) / 2, (width - 1) / 2])
    grid = jnp.stack(jnp.indices((height, width)), axis=-1) - centre

    def one(image, angle, shift):
        cosine, sine = jnp.cos(angle), jnp.sin(angle)
        turn = jnp.stack([jnp.stack([cosine, sine]), jnp.stack([-sine, cosine])])
        # Where each pixel comes from.
        source = jnp.einsum(
            "ij,hwj->ihw", turn, grid - shift, precision=jax.lax.Precision.HIGHEST
        )
        source = list(source + centre[:, None, None])
        resample = functools.partial(
            jax.scipy.ndimage.map_coordinates,
            coordinates=source,
            order=1,
            mode="nearest",
        )
        return jax.vmap(resample, in_axes=-1, out_axes=-1)(image)

    return jax.vmap(one)(images, jnp.deg2rad(degrees), shifts)


def recalibrate(
    images: Images,
    gains: Float[Array, " batch"],
    offsets: Float[Array, " batch"],
    each: int = 1,
) -> Images:
    """`mean + gain * (image - mean) + offset`, clipped to [0, 1].

    Args:
        images: `[batch, height, width, channels]`.
        gains: Factors of contrast.
        offsets: Pixel values added.
        each: Consecutive images over which the mean is taken.
    """
    means = jnp.mean(images.reshape(len(images) // each, -1), axis=1)
    means = jnp.repeat(means, each)
    # One factor and one constant an image: without a gain the mean counts for nothing.
    constants = (1 - gains) * means + offsets
    changed = images * gains[:, None, None, None] + constants[:, None, None, None]
    return jnp.clip(changed, 0, 1)
