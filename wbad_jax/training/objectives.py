"""Training objectives: what is minimised, and on which examples.

An objective first crafts versions of a batch, by attacks on the current parameters
inside the training step, and then scores parameters on them. The two are apart because
weights may be perturbed between them, see `weight_perturbation.py`.
"""

import dataclasses
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import optax

from wbad_jax import stages
from wbad_jax.attacks import Attack
from wbad_jax.types import (
    Batch,
    Images,
    Key,
    Labels,
    Logits,
    LogitsFn,
    Params,
    PerExample,
)

# Radius of the threat model per norm, traced: {"linf": ..., "l2": ...}.
Budgets = Mapping[str, jax.Array | float]
ApplyFn = Callable[[Params], LogitsFn]
Metrics = dict[str, jax.Array]
Versions = Mapping[str, Images]


@dataclasses.dataclass(frozen=True)
class Objective:
    """What a training step minimises.

    Attributes:
        craft: `(params, key, batch, budgets) -> versions` of the batch's images by
            name, constants to whoever differentiates.
        loss: `(params, batch, versions) -> (loss, metrics)`; metrics hold the accuracy
            on each version.

    Examples:
        >>> from wbad_jax.training import Objective, mixture
        >>> logits_fn_of = lambda p: lambda images: images.mean((1, 2)) @ p["w"]
        >>> isinstance(mixture(logits_fn_of, {}, {"clean": 1.0}), Objective)
        True
    """

    craft: Callable[[Params, Key, Batch, Budgets], Versions]
    loss: Callable[[Params, Batch, Versions], tuple[jax.Array, Metrics]]

    def __call__(
        self, params: Params, key: Key, batch: Batch, budgets: Budgets
    ) -> tuple[jax.Array, Metrics]:
        """Loss and metrics on versions crafted for the same parameters."""
        return self.loss(params, batch, self.craft(params, key, batch, budgets))


def mixture(
    logits_fn_of: ApplyFn,
    attacks: Mapping[str, Attack],
    weights: Mapping[str, float],
    *,
    label_smoothing: float = 0.0,
) -> Objective:
    """Mean cross-entropy over several versions of each example.

    `{"clean": 1}` is standard training; `{"pgd": 1}` adversarial training (Madry et
    al. 2018, equation 2.1); clean, FGSM, PGD and Carlini-Wagner examples together,
    behind the denoiser, are the second stage of wavelet-based adversarial training
    (Shamshiri, Liu and Sohn 2025; the weights are not published).

    Args:
        logits_fn_of: From parameters to a function from images to logits.
        attacks: By name; each has a `norm`, which selects its budget.
        weights: By version name: "clean" or a key of `attacks`. Versions of weight 0
            cost nothing. Weights are normalised to sum 1.
        label_smoothing: Probability mass moved to the uniform distribution.

    Raises:
        ValueError: If a weight is negative, all are 0, or a name is unknown.

    Examples:
        >>> from wbad_jax.attacks import FGSM
        >>> from wbad_jax.training import mixture
        >>> logits_fn_of = lambda p: lambda images: images.mean((1, 2)) @ p["w"]
        >>> half = {"clean": 0.5, "fgsm": 0.5}
        >>> objective = mixture(logits_fn_of, {"fgsm": FGSM()}, half)
    """
    unknown = set(weights) - {"clean", *attacks}
    if unknown:
        raise ValueError(
            f"Objective weights name {sorted(unknown)}; known are 'clean' and the "
            f"attacks {sorted(attacks)}."
        )
    versions = _positive(weights)
    total = sum(versions.values())

    def craft(params: Params, key: Key, batch: Batch, budgets: Budgets) -> Versions:
        found: dict[str, Images] = {}
        for index, name in enumerate(versions):
            if name == "clean":
                found[name] = batch.images
                continue
            # Attacks may ask all devices when to stop: one after the other.
            found, batch = stages.in_order(found, batch)
            found[name] = attacked(
                attacks[name], logits_fn_of, params, jax.random.fold_in(key, index),
                batch, budgets,
            )  # fmt: skip
        return found

    def loss(params: Params, batch: Batch, images: Versions):
        by_version = logits_by_version(logits_fn_of(params), images)
        mean = jnp.zeros(())
        for name, weight in versions.items():
            losses = cross_entropy(by_version[name], batch.labels, label_smoothing)
            mean += weight / total * weighted_mean(losses, batch.weights)
        return mean, accuracies(by_version, batch)

    return Objective(craft, loss)


def _positive(weights: Mapping[str, float]) -> dict[str, float]:
    """The weights that count; refuses negative ones, and none at all."""
    # Not `<`: NaN is refused too.
    negative = {name: weight for name, weight in weights.items() if not weight >= 0}
    if negative:
        raise ValueError(f"Objective weights must not be negative, got {negative}.")
    positive = {name: float(weight) for name, weight in weights.items() if weight > 0}
    if not positive:
        raise ValueError("At least one objective weight must be positive.")
    return positive


def attacked(
    attack: Attack, logits_fn_of: ApplyFn, params: Params, key: Key, batch: Batch,
    budgets: Budgets,
) -> Images:  # fmt: skip
    """What an attack makes of a batch on the current parameters."""
    return attack(
        logits_fn_of(jax.lax.stop_gradient(params)),
        key,
        batch.images,
        batch.labels,
        epsilon=budgets[attack.norm],
    ).adversarial


def logits_by_version(logits_fn: LogitsFn, images: Versions) -> dict[str, Logits]:
    """One forward pass over all versions: larger batches, one compiled network.

    Versions of an example follow each other, so that they stay on the device that has
    the example.
    """
    versions = jnp.stack(list(images.values()), axis=1)
    logits = logits_fn(
        jax.lax.stop_gradient(versions.reshape(-1, *versions.shape[2:]))
    ).reshape(*versions.shape[:2], -1)
    return {name: logits[:, place] for place, name in enumerate(images)}


def accuracies(by_version: Mapping[str, Logits], batch: Batch) -> Metrics:
    """Share of the examples classified right, of each version."""
    return {
        f"accuracy_{name}": weighted_mean(
            jnp.argmax(logits, axis=-1) == batch.labels, batch.weights
        )
        for name, logits in by_version.items()
    }


def cross_entropy(logits: Logits, labels: Labels, smoothing: float = 0.0) -> PerExample:
    """Cross-entropy per example, with optional label smoothing."""
    targets = jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    if smoothing:
        targets = optax.smooth_labels(targets, smoothing)
    return optax.softmax_cross_entropy(logits, targets)


def weighted_mean(values: jax.Array, weights: PerExample) -> jax.Array:
    """Mean over examples; padding has weight 0."""
    return jnp.sum(values * weights) / jnp.maximum(jnp.sum(weights), 1e-12)
