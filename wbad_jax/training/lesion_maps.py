"""Twins as teachers: adversarial training of a network that predicts the lesion."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from wbad_jax.attacks import PGD
from wbad_jax.training.objectives import (
    ApplyFn,
    Budgets,
    Objective,
    Versions,
    attacked,
    cross_entropy,
    weighted_mean,
)
from wbad_jax.types import Batch, Images, Key, Labels, Logits, Params

# From parameters and images to logits and predicted lesions `[batch, rows, columns]`.
MapsFn = Callable[[Params, Images], tuple[Logits, jax.Array]]


def lesion_maps(
    logits_fn_of: ApplyFn,
    maps_fn: MapsFn,
    *,
    attack: PGD,
    scale: float,
    weight: float = 0.3,
    label_smoothing: float = 0.0,
) -> Objective:
    """Cross-entropy on attacked images, and the squared error of the lesion there.

    The network has to find the lesion of the *clean* twins in an attacked image: the
    difference of a patient's two images where she has a tumour, nothing where she has
    none.

    Args:
        logits_fn_of: From parameters to a function from images to logits.
        maps_fn: From parameters and images to logits and maps, whose cells tile the
            images.
        attack: On the logits.
        scale: Difference of pixel values that is 1 in a map.
        weight: Of the squared error, summed over the cells of an image.
        label_smoothing: Probability mass moved to the uniform distribution.

    Returns:
        An objective for batches in which the twins of a patient follow each other, the
        healthy one first, as `data.train_on_twins` makes them. In other batches the
        images without a twin next to them count in the cross-entropy alone.

    Raises:
        ValueError: If the weight is negative.

    Examples:
        >>> from wbad_jax.attacks import PGD
        >>> from wbad_jax.training import lesion_maps
        >>> logits_fn_of = lambda p: lambda images: images.mean((1, 2)) @ p["w"]
        >>> maps_fn = lambda p, images: (logits_fn_of(p)(images), images[..., 0])
        >>> objective = lesion_maps(logits_fn_of, maps_fn, attack=PGD(), scale=0.1)
    """
    if not weight >= 0:
        raise ValueError(f"lesion_map_weight must be at least 0, got {weight}.")

    def craft(params: Params, key: Key, batch: Batch, budgets: Budgets) -> Versions:
        return {"pgd": attacked(attack, logits_fn_of, params, key, batch, budgets)}

    def loss(params: Params, batch: Batch, images: Versions):
        logits, maps = maps_fn(params, jax.lax.stop_gradient(images["pgd"]))
        target, known = lesions_of(batch.images, batch.labels, maps.shape[1:], scale)
        squares = jnp.sum(jnp.square(maps - target), axis=(1, 2))
        error = weighted_mean(squares, batch.weights * known)
        classified = cross_entropy(logits, batch.labels, label_smoothing)
        right = jnp.argmax(logits, axis=-1) == batch.labels
        mean = weighted_mean(classified, batch.weights) + weight * error
        metrics = {"accuracy_pgd": right, "lesion_error": squares * known}
        return mean, {n: weighted_mean(v, batch.weights) for n, v in metrics.items()}

    return Objective(craft, loss)


def lesions_of(
    images: Images, labels: Labels, size: tuple[int, ...], scale: float
) -> tuple[jax.Array, jax.Array]:
    """Mean of the lesion over the cells of a grid.

    Args:
        images: `[batch, height, width, channels]`; twins follow each other, the healthy
            one first.
        labels: `[batch]`, 0 and 1 in turn where there are twins.
        size: Rows and columns of cells, which divide height and width.
        scale: Difference of pixel values that becomes 1.

    Returns:
        `[batch, rows, columns]`, zero for the healthy; and `[batch]`, 1 where an
        image has its twin beside it, else 0.

    Raises:
        ValueError: If the cells do not tile the images, or the batch is odd.
    """
    batch, height, width, _ = images.shape
    rows, columns = size
    if batch % 2 or height % rows or width % columns:
        raise ValueError(
            f"objective 'lesion_map' needs an even batch and cells that tile the "
            f"image, got {batch} images of {height} x {width} and {rows} x {columns} "
            "cells."
        )
    pairs = images.mean(axis=-1).reshape(batch // 2, 2, height, width)
    lesion = (pairs[:, 1] - pairs[:, 0]) / scale
    cells = lesion.reshape(-1, rows, height // rows, columns, width // columns)
    cells = cells.mean(axis=(2, 4))
    both = labels.reshape(-1, 2)
    known = ((both[:, 0] == 0) & (both[:, 1] == 1)).astype(images.dtype)
    lesions = jnp.stack([jnp.zeros_like(cells), cells * known[:, None, None]], axis=1)
    return lesions.reshape(batch, rows, columns), jnp.repeat(known, 2)
