"""Lets Foolbox attack a function from images to logits, for cross-checks.

Foolbox (Rauber et al. 2020, Foolbox Native) is an independent implementation. Its
attacks run step by step from Python: none works inside `jax.jit`, and none is a member
of `ATTACKS`. Foolbox is not a dependency; the functions here import it when called.
"""

import importlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from wbad_jax.attacks import threat_models, validation
from wbad_jax.attacks.result import AttackResult, finish
from wbad_jax.types import Images, Key, Labels, LogitsFn


def foolbox_model(logits_fn: LogitsFn, *, bounds: tuple[float, float] = (0.0, 1.0)):
    """Wraps a function from images to logits as a Foolbox model.

    The function is jitted, which spares Foolbox most of its time.

    Args:
        logits_fn: Images `[batch, height, width, channels]` to logits `[batch,
            classes]`.
        bounds: Smallest and largest pixel value, two numbers.

    Returns:
        A `foolbox.JAXModel` with channels last.

    Raises:
        ImportError: If Foolbox is not installed.
        ValueError: If the bounds are not two numbers, the smaller one first.

    Examples:
        >>> from wbad_jax.attacks import foolbox_model
        >>> model = foolbox_model(logits_fn, bounds=(0.0, 1.0))  # doctest: +SKIP
    """
    if any(np.ndim(bound) for bound in bounds) or not bounds[0] < bounds[1]:
        raise ValueError(f"bounds must be numbers low < high, got {bounds}.")
    low, high = map(float, bounds)
    return _import("foolbox").JAXModel(
        jax.jit(logits_fn), bounds=(low, high), data_format="channels_last"
    )


def attack_with_foolbox(
    reference: Any,
    logits_fn: LogitsFn,
    key: Key,
    images: Images,
    labels: Labels,
    *,
    norm: threat_models.Norm,
    epsilon: float | None = None,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> AttackResult:
    """Runs a Foolbox attack and judges its images as those of any attack here.

    Args:
        reference: An attack of Foolbox, such as `foolbox.attacks.LinfPGD(steps=40)`.
        logits_fn: The attacked model, images to logits `[batch, classes]`.
        key: Seeds Foolbox's own generator, which all its models in JAX share.
        images: `[batch, height, width, channels]`, within `bounds`.
        labels: True classes, `[batch]`.
        norm: Norm of the distance, and of the ball.
        epsilon: Radius in pixel units, one number; None for the closest misclassified
            image that a minimal-norm attack finds.
        bounds: Smallest and largest pixel value, two numbers.

    Returns:
        With `epsilon`, images in the ball. Without, where nothing was found, whatever
        Foolbox returned, with success False and an infinite distance.

    Raises:
        ImportError: If Foolbox is not installed.
        ValueError: If an argument breaks the rules above.

    Examples:
        >>> from wbad_jax.attacks import attack_with_foolbox
        >>> import foolbox as fb  # doctest: +SKIP
        >>> attack = fb.attacks.LinfPGD(steps=10)  # doctest: +SKIP
        >>> attack_with_foolbox(  # doctest: +SKIP
        ...     attack, logits_fn, key, images, labels, epsilon=0.1
        ... ).success
    """
    images, labels = validation.check_inputs(
        logits_fn, images, labels,
        epsilon=epsilon, bounds=bounds, mask=None, norm=norm,
    )  # fmt: skip
    if np.ndim(epsilon if epsilon is not None else 0.0):
        raise ValueError(f"epsilon must be a number for Foolbox, got {epsilon}.")
    model = foolbox_model(logits_fn, bounds=bounds)
    _import("eagerpy").JAXTensor.key = key
    found, clipped, _ = reference(model, images, labels, epsilons=epsilon)
    adversarial = jnp.asarray(found if epsilon is None else clipped)
    result = finish(
        logits_fn, images, adversarial, labels, norm=norm, bounds=bounds,
        epsilon=jnp.inf if epsilon is None else epsilon,
    )  # fmt: skip
    if epsilon is None:
        distance = jnp.where(result.success, result.distance, jnp.inf)
        result = result._replace(distance=distance)
    return result


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"{name} is not installed; try: pip install 'wbad_jax[bench]'"
        ) from error
