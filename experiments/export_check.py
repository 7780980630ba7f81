"""Whether an exported file gives the numbers of the run that it was made of."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from experiments.settings import Arm
from experiments.trained_run import TrainedRun
from wbad_jax.bioheat import camera
from wbad_jax.types import Params

BATCH_SIZES = (1, 3)
# Of float32 programs that round differently. A gradient may besides lack or have some
# coefficients more, which lie at their threshold.
LOGITS_TOLERANCE, GRADIENT_TOLERANCE = 1e-4, 1e-3
_NOISE = 0.00625  # share of the window: 0.1 of its 16 °C


class ExportMismatchError(RuntimeError):
    """An exported file gives other numbers than its run."""


def check_export(
    content: bytes,
    run: TrainedRun,
    arm: Arm,
    params: Params,
    with_gradients: bool = True,
) -> dict[str, Any]:
    """Compare logits and input gradients on random images, at two batch sizes.

    The run's side maps temperatures to pixels as data sets are mapped, by other code
    than the file's.

    Args:
        content: The exported file.
        run: Whose validation images, with noise, and pure noise are compared on.
        arm: What was exported.
        params: Of it.
        with_gradients: Whether the file has a gradient.

    Returns:
        Largest differences, tolerances and sizes, for a manifest.

    Raises:
        ExportMismatchError: If a difference is above its tolerance.
    """
    low, high = run.window
    loaded = export.deserialize(bytearray(content))
    own = _with_gradient(arm.evaluated.logits_fn(params), True)
    other = _with_gradient(loaded.call, with_gradients)
    logits, gradients = [], []
    for size in BATCH_SIZES:
        for celsius in _images(run, size):
            pixels = camera.to_window(celsius, run.window).astype(np.float32)
            expected, slope = own(pixels)
            inside = (celsius > low) & (celsius < high)
            found, gradient = other(celsius)
            error = np.abs(found - expected) / np.maximum(1, np.abs(expected))
            logits.append(float(error.max()))
            if with_gradients:
                slope = np.where(inside, slope, 0) / (high - low)
                gradients.append(_relative(np.asarray(gradient), slope))
    result = {
        "batch_sizes": list(BATCH_SIZES),
        "images": "validation images with noise; noise",
        "platform": export.default_export_platform(),
        "logits_error": max(logits),
        "logits_tolerance": LOGITS_TOLERANCE,
        "gradient_error": max(gradients, default=None),
        "gradient_tolerance": GRADIENT_TOLERANCE,
    }
    for name in ("logits", "gradient"):
        error, limit = result[f"{name}_error"], result[f"{name}_tolerance"]
        if error is not None and not error <= limit:  # NaN is not
            raise ExportMismatchError(
                f"the exported file differs from arm {arm.name!r}: {name} by "
                f"{error:.2g}, more than {limit:g}. Nothing was written."
            )
        if error is not None:
            print(f"{name}: largest difference {error:.2g}, allowed {limit:g}.")
    return result


def _with_gradient(logits_fn: Callable, with_gradients: bool) -> Callable:
    """From images to logits and the gradient of the score of class 1."""

    def score(images):
        logits = logits_fn(images)
        return jnp.sum(2 * logits[:, 1] - jnp.sum(logits, axis=-1)), logits

    def both(images):
        if not with_gradients:
            return logits_fn(images), None
        gradient, logits = jax.grad(score, has_aux=True)(images)
        return logits, gradient

    return jax.jit(both)


def _images(run: TrainedRun, size: int):
    """Temperatures, some of them out of the window, `[size, height, width, channels]`.

    Near the data, where decisions are made, and far from them.
    """
    rng = np.random.default_rng(size)
    low, high = run.window
    width, shape = high - low, (size, *run.image_shape)
    rows = rng.choice(len(run.fold.validation), size)
    patients = low + width * run.fold.validation.images[rows]
    noise = rng.normal(0, _NOISE * width, shape)
    yield (patients + noise).astype(np.float32)
    yield rng.uniform(low - 0.1 * width, high + 0.1 * width, shape).astype(np.float32)


def _relative(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest distance of the gradients of an image, as a share of their length."""
    axes = (1, 2, 3)
    apart = np.sqrt(np.square(found - expected).sum(axes))
    return float(np.max(apart / np.sqrt(np.square(expected).sum(axes))))
