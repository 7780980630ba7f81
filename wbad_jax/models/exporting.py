"""A classifier as bytes that JAX alone can run: StableHLO with its gradient.

`jax.export` keeps the compiled meaning of a function, not its Python: denoiser,
features and network come out as one program whose batch size is open, and the
parameters lie inside it. Whatever derivative rules the package defines are used while
its gradient is made, so who loads it needs none of them.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import export
from jaxtyping import Array, Float

from wbad_jax.models.defended import Classifier
from wbad_jax.types import Logits, LogitsFn, Params

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
Celsius = Float[Array, "batch height width channels"]


def celsius_logits_fn(
    classifier: Classifier, params: Params, window: tuple[float, float]
) -> Callable[[Celsius], Logits]:
    """The classifier as a function of temperatures.

    Args:
        classifier: With or without denoiser.
        params: Of it.
        window: Temperatures of pixel values 0 and 1, degrees Celsius. Colder and
            warmer pixels are clipped, as those of data sets are; no gradient flows into
            them.

    Returns:
        From `[batch, height, width, channels]` in degrees Celsius to
        `[batch, classes]`. With the window (0, 1) it takes pixel units.

    Raises:
        ValueError: If the window is empty.

    Examples:
        >>> import jax
        >>> from wbad_jax import models
        >>> settings = models.ModelSettings(image_shape=(8, 8, 1), widths=(4,))
        >>> classifier = models.Classifier(settings)
        >>> params = classifier.init(jax.random.key(0))
        >>> logits_fn = models.celsius_logits_fn(classifier, params, (22.0, 38.0))
        >>> logits_fn(30 * jax.numpy.ones((2, 8, 8, 1))).shape
        (2, 2)
    """
    low, high = window
    if not low < high:
        raise ValueError(f"window needs low < high, got {low} .. {high}.")

    def logits(celsius: Celsius) -> Logits:
        pixels = jnp.clip((celsius - low) / (high - low), 0.0, 1.0)
        return classifier.apply(params, pixels)

    return logits


def export_logits(
    logits_fn: LogitsFn,
    image_shape: tuple[int, int, int],
    *,
    platforms: Sequence[str] = ("cpu",),
    vjp_order: int = 1,
) -> bytes:
    """Serialises a function of images for any batch size.

    Args:
        logits_fn: From `[batch, height, width, channels]` float32 to logits.
        image_shape: `(height, width, channels)`.
        platforms: Where it shall run, some of `PLATFORMS`.
        vjp_order: How many times it can be differentiated, in reverse mode.

    Returns:
        What `jax.export.deserialize` takes.

    Raises:
        ValueError: If a platform is unknown or none is given, or `vjp_order` negative.
        ImportError: If the package flatbuffers is missing.

    Examples:
        >>> import jax
        >>> from wbad_jax.models import export_logits
        >>> file = export_logits(lambda images: images.mean((1, 2)), (4, 4, 2))
        >>> program = jax.export.deserialize(bytearray(file))
        >>> program.call(jax.numpy.ones((3, 4, 4, 2))).shape
        (3, 2)
    """
    wrong = [name for name in platforms if name not in PLATFORMS]
    if wrong or not platforms:
        raise ValueError(f"platforms must be some of {PLATFORMS}, got {platforms}.")
    if vjp_order < 0:
        raise ValueError(f"vjp_order must be at least 0, got {vjp_order}.")
    (batch,) = export.symbolic_shape("batch")
    images = jax.ShapeDtypeStruct((batch, *image_shape), jnp.float32)
    with _file_names_only():
        exported = export.export(jax.jit(logits_fn), platforms=platforms)(images)
        return bytes(exported.serialize(vjp_order=vjp_order))


@contextlib.contextmanager
def _file_names_only() -> Iterator[None]:
    """Leaves the folders of this machine out of the locations in a program."""
    config: Any = jax.config  # its attributes are not declared
    name = "jax_hlo_source_file_canonicalization_regex"
    before = getattr(config, name)
    config.update(name, ".*/")
    try:
        yield
    finally:
        config.update(name, before)
