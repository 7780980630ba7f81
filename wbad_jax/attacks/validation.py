"""Checks of an attack's settings and inputs, with errors that name the value.

Shapes and dtypes are always known. Values are checked only where they are concrete:
under `jit` a traced epsilon, bound or label passes unseen.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array

from wbad_jax.attacks import losses, threat_models
from wbad_jax.types import Images, Labels, LogitsFn


def check_choice(name: str, value: object, known) -> None:
    """Raises ValueError unless `value` is one of `known`."""
    if value not in known:
        raise ValueError(f"{name} must be one of {sorted(known)}, got {value!r}.")


def check_norm_and_loss(norm: str, loss: str) -> None:
    """Raises ValueError for an unknown norm or loss."""
    check_choice("norm", norm, threat_models.NORMS)
    check_choice("loss", loss, losses.LOSSES)


def check_at_least(name: str, value: float, smallest: float) -> None:
    """Raises ValueError if a setting is below `smallest` (or NaN)."""
    if not value >= smallest:
        raise ValueError(f"{name} must be at least {smallest}, got {value!r}.")


def check_positive(name: str, value: float) -> None:
    """Raises ValueError unless a setting is positive."""
    if not value > 0:
        raise ValueError(f"{name} must be positive, got {value!r}.")


def check_fraction(name: str, value: float) -> None:
    """Raises ValueError unless a setting is above 0 and below 1."""
    if not 0 < value < 1:
        raise ValueError(f"{name} must be above 0 and below 1, got {value!r}.")


def check_inputs(
    logits_fn: LogitsFn,
    images: Images,
    labels: Labels,
    *,
    epsilon: threat_models.Scalars | None,
    bounds: threat_models.Bounds,
    mask: threat_models.Mask,
    surrogates: Mapping[str, LogitsFn] | None = None,
    norm: threat_models.Norm,
) -> tuple[Images, Labels]:
    """Checks the arguments of an attack's call; nothing is computed on the device.

    Args:
        logits_fn: The attacked model.
        images: Clean images.
        labels: True classes.
        epsilon: Radius; None for an attack without one.
        bounds: Smallest and largest pixel value.
        mask: Where pixels may change.
        surrogates: Further models, which are checked like the attacked one.
        norm: Of epsilon, to tell a radius that reaches beyond the pixel range.

    Returns:
        Images and labels as JAX arrays.

    Raises:
        ValueError: If a shape, a dtype or a concrete value breaks the contract of
            `Attack.__call__`; the message names the argument and the value.
    """
    images, labels = jnp.asarray(images), jnp.asarray(labels)
    if images.ndim != 4 or not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(
            "images must be floating point [batch, height, width, channels], got "
            f"{images.dtype} {images.shape}."
        )
    batch = images.shape[0]
    if labels.shape != (batch,) or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(
            f"labels must be integers of shape ({batch},) for images of shape "
            f"{images.shape}, got {labels.dtype} {labels.shape}."
        )
    _check_pixels(images, epsilon, bounds, mask)
    _check_reach(images, epsilon, bounds, norm)
    # By name, so that the message says which model is wrong.
    for name, model in {"logits_fn": logits_fn, **(surrogates or {})}.items():
        _check_logits(name, model, images, labels)
    return images, labels


def _check_pixels(images, epsilon, bounds, mask) -> None:
    low, high = bounds
    _check_scalars("epsilon", 0.0 if epsilon is None else epsilon, images)
    _check_scalars("bounds[0]", low, images)
    _check_scalars("bounds[1]", high, images)
    if epsilon is not None and _concrete(epsilon):
        smallest = np.min(np.asarray(epsilon), initial=np.inf)
        if not smallest >= 0:
            raise ValueError(f"epsilon must not be negative, got {smallest}.")
    if _concrete(low, high) and not np.all(np.asarray(low) < np.asarray(high)):
        raise ValueError(f"bounds must be (low, high) with low < high, got {bounds}.")
    if _concrete(low, high, images) and images.size:
        smallest, largest = np.min(np.asarray(images)), np.max(np.asarray(images))
        if np.isnan(smallest):
            wrong = np.isnan(np.asarray(images)).any(axis=(1, 2, 3))
            raise ValueError(
                f"images must not be NaN, but example {np.argmax(wrong)} is."
            )
        if smallest < np.min(np.asarray(low)) or largest > np.max(np.asarray(high)):
            raise ValueError(
                f"images must lie within bounds {bounds}, got values in "
                f"[{smallest}, {largest}]."
            )
    if mask is not None:
        try:
            shape = np.broadcast_shapes(np.shape(mask), images.shape)
        except ValueError:
            shape = None
        if shape != images.shape:
            raise ValueError(
                f"mask must broadcast to images of shape {images.shape}, got shape "
                f"{np.shape(mask)}."
            )


def _check_reach(images, epsilon, bounds, norm) -> None:
    """A radius beyond the farthest corner is a mistake of units: 8 for 8/255."""
    if epsilon is None or not _concrete(epsilon, *bounds):
        return
    dual = {"linf": 0.0, "l2": 0.5, "l1": 1.0}[norm]
    width = np.max(np.asarray(bounds[1]) - np.asarray(bounds[0]))
    reach = float(width * np.prod(images.shape[1:]) ** dual)
    largest = np.max(np.asarray(epsilon), initial=0)
    if largest > reach * (1 + 1e-6):
        raise ValueError(
            f"epsilon must be at most {reach:.6g}, which reaches every image in bounds "
            f"{bounds} in {norm}, got {largest}; it is in units of the pixels."
        )


def check_independent(logits_fn: LogitsFn, images: Images) -> None:
    """Raises ValueError if an image's logits depend on the other images of its batch.

    Such a model, with batch normalisation in training mode for example, cannot be
    attacked image by image. Runs the model twice on at least two different images.

    Args:
        logits_fn: A deterministic model.
        images: `[batch, height, width, channels]`.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.attacks import check_independent
        >>> logits_fn = lambda x: x.mean((1, 2)) @ jnp.array([[-1.0, 1.0]])
        >>> check_independent(logits_fn, jnp.linspace(0, 1, 32).reshape(2, 4, 4, 1))
    """
    if len(images) < 2:
        return
    first = jnp.broadcast_to(images[:1], images.shape)
    together, alone = logits_fn(images)[0], logits_fn(first)[0]
    change = float(jnp.max(jnp.abs(together - alone)))
    if not change <= 1e-3 * (1 + float(jnp.max(jnp.abs(alone)))):
        raise ValueError(
            "logits_fn must treat each image by itself, but the logits of the first "
            f"image change by {change:.3g} with the other images of its batch; is "
            "batch normalisation in training mode?"
        )


def check_starts(starts: Array | None, images: Images) -> Array | None:
    """Returns given starting points as an array, or raises ValueError for its shape."""
    if starts is None:
        return None
    starts = jnp.asarray(starts, images.dtype)
    if starts.ndim != 5 or starts.shape[1:] != images.shape or not len(starts):
        raise ValueError(
            f"starts must be of shape (starts, *{images.shape}), got {starts.shape}."
        )
    return starts


def _check_scalars(name, value, images) -> None:
    if np.shape(value) not in ((), images.shape[:1]):
        raise ValueError(
            f"{name} must be a scalar or of shape {images.shape[:1]}, got shape "
            f"{np.shape(value)}."
        )


def _check_logits(name, model, images, labels) -> None:
    logits = jax.eval_shape(model, images)
    shape = getattr(logits, "shape", None)
    if shape is None or len(shape) != 2 or shape[0] != images.shape[0]:
        raise ValueError(
            f"{name} must return logits of shape ({images.shape[0]}, classes), got "
            f"{logits if shape is None else shape}."
        )
    if shape[1] < 2:
        raise ValueError(
            f"{name} must return at least 2 logits, got {shape[1]}; write a model with "
            "one logit f as (0, f)."
        )
    if _concrete(labels) and labels.size:
        smallest, largest = np.min(np.asarray(labels)), np.max(np.asarray(labels))
        if smallest < 0 or largest >= shape[1]:
            raise ValueError(
                f"labels must lie in 0..{shape[1] - 1}, the classes of {name}, got "
                f"{smallest}..{largest}."
            )


def _concrete(*values) -> bool:
    return not any(isinstance(value, Tracer) for value in values)
