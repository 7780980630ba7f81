"""Single-level two-dimensional discrete wavelet transform (DWT).

Images are `[*batch, height, width, channels]`; height and width are transformed. Filter
order, boundary handling, sizes and subband names are those of PyWavelets, so every
function can be checked against `pywt` with `axes=(-3, -2)` number for number.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from wbad_jax.wavelets import boundary, filter_bank, jaxwt_backend, passes
from wbad_jax.wavelets.filters import Wavelet, as_wavelet

Backend = Literal["auto", "polyphase", "matmul", "jaxwt"]
BACKENDS: tuple[str, ...] = get_args(Backend)
# Height first: whole rows are contiguous, so the largest pass is the cheapest.
_AXES = _HEIGHT, _WIDTH = -3, -2


class Subbands(NamedTuple):
    """The four subbands of one level; PyWavelets calls them cA, cH, cV and cD.

    Attributes:
        approx: Low-pass along height and width.
        horizontal: High-pass along height, low-pass along width: horizontal edges.
        vertical: Low-pass along height, high-pass along width: vertical edges.
        diagonal: High-pass along height and width.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.wavelets import dwt2
        >>> subbands = dwt2(jnp.ones((1, 6, 8, 1)))
        >>> subbands._fields
        ('approx', 'horizontal', 'vertical', 'diagonal')
        >>> subbands.approx.shape
        (1, 3, 4, 1)
    """

    approx: Float[Array, "*batch half_height half_width channels"]
    horizontal: Float[Array, "*batch half_height half_width channels"]
    vertical: Float[Array, "*batch half_height half_width channels"]
    diagonal: Float[Array, "*batch half_height half_width channels"]


def dwt2(
    images: ArrayLike,
    wavelet: str | Wavelet = "haar",
    mode: str = "symmetric",
    *,
    backend: Backend = "auto",
) -> Subbands:
    """Decomposes images into one approximation and three detail subbands.

    Linear, and differentiable any number of times in forward and reverse mode. With an
    orthogonal wavelet, mode "periodization" and even sizes it is orthogonal: it
    preserves the sum of squares, and white noise of standard deviation sigma is white
    noise of the same sigma in every subband.

    Args:
        images: `[*batch, height, width, channels]`, floating-point; half-precision
            types are kept but summed in float32.
        wavelet: Name (see `wavelist`) or filters. Static.
        mode: How the image continues beyond its border, one of `MODES`. Static.
        backend: How to compute it: "polyphase" (sums of shifted slices), "matmul"
            (products with dense matrices), "auto" (matmul on TPU, else polyphase), or
            "jaxwt" for the jaxwt package, a slower independent implementation of five
            of the modes. Static.

    Returns:
        Subbands in the dtype of `images`, each of size `(n + taps - 1) // 2` along an
        axis of size n, or `(n + 1) // 2` with mode "periodization".

    Raises:
        TypeError: If `images` are not of a floating-point type.
        ValueError: If `images` have fewer than three axes or an empty height or width,
            or for an unknown wavelet, mode or backend.
        ImportError: If backend "jaxwt" is not installed.

    Reference:
        Mallat (1989), A theory for multiresolution signal decomposition, section IV.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.wavelets import dwt2
        >>> image = jnp.full((1, 4, 6, 1), 0.5)
        >>> subbands = dwt2(image)
        >>> subbands.approx.shape
        (1, 2, 3, 1)
        >>> bool(jnp.allclose(subbands.approx, 1.0))
        True
    """
    x = as_images(images, "images")
    bank = as_wavelet(wavelet)
    boundary.check_mode(mode)
    if check_backend(backend) == "jaxwt":
        approx, (details,) = jaxwt_backend.analyze(x, bank.name, mode, 1)
        return Subbands(approx, *details)
    return Subbands(*filter_bank.analyze(x, bank, mode, _AXES, backend))


def idwt2(
    subbands: Sequence[ArrayLike],
    wavelet: str | Wavelet = "haar",
    mode: str = "symmetric",
    shape: tuple[int, int] | None = None,
    *,
    backend: Backend = "auto",
) -> Float[Array, "*batch height width channels"]:
    """Reconstructs images from their four subbands; inverse of `dwt2`.

    Args:
        subbands: Approximation, horizontal, vertical and diagonal subband, all
            `[*batch, half_height, half_width, channels]`.
        wavelet: Wavelet of the decomposition. Static.
        mode: Boundary mode of the decomposition; only "periodization" differs from the
            others here. Static.
        shape: Height and width of the images. The subbands of an image of odd size
            look like those of an image larger by one, which is what is returned by
            default. Static.
        backend: See `dwt2`. Static.

    Returns:
        Images, `[*batch, *shape, channels]`.

    Raises:
        TypeError: If the subbands are not of a floating-point type.
        ValueError: If the subbands differ in shape or are too small for the wavelet,
            if `shape` fits no image with these subbands, or for an unknown wavelet,
            mode or backend.
        ImportError: If backend "jaxwt" is not installed.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.wavelets import dwt2, idwt2
        >>> image = jnp.arange(15.0).reshape(1, 3, 5, 1)
        >>> again = idwt2(dwt2(image), shape=(3, 5))
        >>> bool(jnp.allclose(again, image, atol=1e-5))
        True
    """
    bank = as_wavelet(wavelet)
    boundary.check_mode(mode)
    bands = _as_subbands(subbands)
    height, width = reconstructed_shape(bands.approx.shape, len(bank), mode, shape)
    if check_backend(backend) == "jaxwt":
        images = jaxwt_backend.synthesize([bands[0], bands[1:]], bank.name, mode)
        return images[..., :height, :width, :]
    return filter_bank.synthesize(bands, bank, mode, _AXES, (height, width), backend)


def as_images(images: ArrayLike, name: str) -> jax.Array:
    """Returns `images` as a JAX array, or says why they are no images."""
    x = as_floating(images, name)
    if x.ndim < 3:
        raise ValueError(
            f"{name} must be [*batch, height, width, channels], got shape {x.shape}."
        )
    if 0 in x.shape[_HEIGHT:-1]:
        raise ValueError(f"{name} must not be empty, got shape {x.shape}.")
    return x


def as_floating(x: ArrayLike, name: str) -> jax.Array:
    """Returns `x` as a JAX array; raises TypeError unless it is floating-point."""
    array = jnp.asarray(x)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(
            f"{name} must be of a floating-point type, got {array.dtype}; convert with "
            "astype(jnp.float32)."
        )
    return array


def check_backend(backend: str) -> str:
    """Returns `backend`; raises ValueError if there is none of that name."""
    if backend not in BACKENDS:
        raise ValueError(
            f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}."
        )
    return backend


def reconstructed_shape(
    band_shape: Sequence[int],
    num_taps: int,
    mode: str,
    shape: Sequence[int] | None,
) -> tuple[int, int]:
    """Height and width of the images whose subbands have shape `band_shape`.

    Raises:
        ValueError: If there are no such images, or none of the wanted `shape`.
    """
    sizes = tuple(band_shape[_HEIGHT:-1])
    full = tuple(passes.signal_length(n, num_taps, mode) for n in sizes)
    if min(full) < 1:
        raise ValueError(
            f"Subbands of {sizes[0]} x {sizes[1]} are too small for a wavelet of "
            f"{num_taps} taps in mode {mode!r}."
        )
    wanted = full if shape is None else tuple(shape)
    if len(wanted) != 2 or any(
        n not in (m - 1, m) or n < 1 for n, m in zip(wanted, full, strict=False)
    ):
        raise ValueError(
            f"shape must be {full[0]} x {full[1]}, or one less along an axis, for "
            f"subbands of {sizes[0]} x {sizes[1]}; got {shape}."
        )
    return wanted[0], wanted[1]


def _as_subbands(subbands: Sequence[ArrayLike]) -> Subbands:
    if len(subbands) != 4:
        raise ValueError(
            "subbands must be (approx, horizontal, vertical, diagonal), got "
            f"{len(subbands)} arrays."
        )
    named = zip(Subbands._fields, subbands, strict=True)
    bands = Subbands(*(as_images(band, f"subband {name}") for name, band in named))
    shapes = {name: band.shape for name, band in bands._asdict().items()}
    if len(set(shapes.values())) != 1:
        raise ValueError(f"Subbands must have equal shapes, got {shapes}.")
    dtype = jnp.result_type(*bands)
    return Subbands(*(band.astype(dtype) for band in bands))
