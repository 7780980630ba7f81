"""Training objectives: what is minimised, and on which examples.

Every objective here is a weighted mix of cross-entropies on clean and on adversarial
versions of one batch; the adversarial versions are made inside the training step by
attacks on the current parameters.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import optax

from wbad_jax.attacks import Attack
from wbad_jax.types import Batch, Key, Labels, Logits, LogitsFn, Params, PerExample

# Radius of the threat model per norm, traced: {"linf": ..., "l2": ...}.
Budgets = Mapping[str, jax.Array | float]
ApplyFn = Callable[[Params], LogitsFn]
Metrics = dict[str, jax.Array]
Objective = Callable[[Params, Key, Batch, Budgets], tuple[jax.Array, Metrics]]

# What each objective mixes; None: weights of the caller's choice.
OBJECTIVES: Mapping[str, Mapping[str, float] | None] = {
    "standard": {"clean": 1.0},
    "adversarial": {"pgd": 1.0},
    "wbad": None,
}


def objective_weights(name: str, mix: Mapping[str, float]) -> dict[str, float]:
    """Weights of the versions of an example under a named objective.

    Args:
        name: "standard" (clean only), "adversarial" (PGD only, Madry et al. 2018) or
            "wbad" (all versions in `mix`).
        mix: Weights of "wbad"; not used by the others.

    Returns:
        The positive weights, by version.

    Raises:
        ValueError: If the name is unknown, a weight is negative or all are 0.
    """
    if name not in OBJECTIVES:
        raise ValueError(f"objective must be one of {list(OBJECTIVES)}, got {name!r}.")
    preset = OBJECTIVES[name]
    weights = dict(mix) if preset is None else preset
    negative = {name: weight for name, weight in weights.items() if weight < 0}
    if negative:
        raise ValueError(f"Objective weights must not be negative, got {negative}.")
    positive = {name: float(weight) for name, weight in weights.items() if weight > 0}
    if not positive:
        raise ValueError("At least one objective weight must be positive.")
    return positive


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

    Returns:
        `objective(params, key, batch, budgets) -> (loss, metrics)`; metrics hold the
        accuracy on each version.

    Raises:
        ValueError: If a weight is negative, all are 0, or a name is unknown.
    """
    unknown = set(weights) - {"clean", *attacks}
    if unknown:
        raise ValueError(
            f"Objective weights name {sorted(unknown)}; known are 'clean' and the "
            f"attacks {sorted(attacks)}."
        )
    versions = objective_weights("wbad", weights)
    total = sum(versions.values())

    def objective(params: Params, key: Key, batch: Batch, budgets: Budgets):
        logits_fn = logits_fn_of(params)
        frozen = logits_fn_of(jax.lax.stop_gradient(params))
        images = [
            batch.images
            if name == "clean"
            else attacks[name](
                frozen,
                jax.random.fold_in(key, index),
                batch.images,
                batch.labels,
                epsilon=budgets[attacks[name].norm],
            ).adversarial
            for index, name in enumerate(versions)
        ]
        # One forward pass over all versions: larger batches, one compiled network.
        logits = logits_fn(jax.lax.stop_gradient(jnp.concatenate(images)))
        by_version = dict(zip(versions, jnp.split(logits, len(versions)), strict=True))
        loss = jnp.zeros(())
        metrics: Metrics = {}
        for name, weight in versions.items():
            losses = cross_entropy(by_version[name], batch.labels, label_smoothing)
            loss += weight / total * weighted_mean(losses, batch.weights)
            correct = jnp.argmax(by_version[name], axis=-1) == batch.labels
            metrics[f"accuracy_{name}"] = weighted_mean(correct, batch.weights)
        return loss, metrics

    return objective


def cross_entropy(logits: Logits, labels: Labels, smoothing: float = 0.0) -> PerExample:
    """Cross-entropy per example, with optional label smoothing."""
    targets = jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    if smoothing:
        targets = optax.smooth_labels(targets, smoothing)
    return optax.softmax_cross_entropy(logits, targets)


def weighted_mean(values: jax.Array, weights: PerExample) -> jax.Array:
    """Mean over examples; padding has weight 0."""
    return jnp.sum(values * weights) / jnp.maximum(jnp.sum(weights), 1e-12)
