"""How much of an image a denoiser takes out, subband by subband.

A denoiser takes noise out of a clean picture. A perturbation in a fine subband adds to
that; one in the approximation band, which passes untouched, adds nothing.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from wbad_jax.denoise.decomposition import decompose
from wbad_jax.denoise.settings import DenoiserSettings
from wbad_jax.denoise.threshold_summary import ORIENTATIONS
from wbad_jax.types import Images


def subband_names(level: int) -> tuple[str, ...]:
    """Names of the detail subbands, coarsest level first; level 1 is the finest.

    Args:
        level: Levels of the decomposition.

    Examples:
        >>> from wbad_jax.denoise import subband_names
        >>> subband_names(1)
        ('level1_horizontal', 'level1_vertical', 'level1_diagonal')
    """
    return tuple(
        f"level{number}_{orientation}"
        for number in range(level, 0, -1)
        for orientation in ORIENTATIONS
    )


def removed_energy(
    images: Images, denoised: Images, settings: DenoiserSettings
) -> Float[Array, "*batch subbands"]:
    """Energy that a denoiser took out of each detail subband. Pure; jit it.

    Measured on the difference of the images, so that it holds for every denoiser, one
    averaged over shifts too.

    Args:
        images: `[*batch, height, width, channels]`.
        denoised: What the denoiser made of them.
        settings: Transform whose subbands are told apart.

    Returns:
        Sum of the squared coefficients over the pixels of the image, the mean square
        in pixel units where the transform keeps energy; in the order of
        `subband_names`.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.denoise import DenoiserSettings, removed_energy
        >>> image = jnp.arange(64.0).reshape(1, 8, 8, 1)
        >>> settings = DenoiserSettings(level=1)
        >>> removed_energy(image, jnp.zeros_like(image), settings).shape
        (1, 3)
    """
    _, details = decompose(images - denoised, settings)
    pixels = images.shape[-3] * images.shape[-2]
    energies = [
        jnp.sum(jnp.square(band), axis=(-3, -2, -1)) / pixels
        for bands in details
        for band in bands
    ]
    return jnp.stack(energies, axis=-1)
