"""TRADES and MART: cross-entropy and the divergence of two predictions.

Both weigh how far an attack moves the predicted probabilities against the error; they
differ in where the cross-entropy is taken, and in how examples are weighted.
"""

import jax
import jax.numpy as jnp

from wbad_jax.attacks import PGD
from wbad_jax.training.objectives import (
    ApplyFn,
    Budgets,
    Objective,
    Versions,
    accuracies,
    attacked,
    cross_entropy,
    logits_by_version,
    weighted_mean,
)
from wbad_jax.types import Batch, Key, Labels, Logits, LogitsFn, Params, PerExample

# Steps of 0.007 at a radius of 0.031, as both papers' code takes ten of them.
_STEP = 0.007 / 0.031
# Standard deviation of the start; at the clean image the divergence has no gradient.
_START_NOISE = 1e-3
# Keeps the logarithm of MART's second term finite.
_ROOM = 1e-4


def trades(
    logits_fn_of: ApplyFn,
    *,
    beta: float = 6.0,
    attack: PGD | None = None,
    label_smoothing: float = 0.0,
) -> Objective:
    """Cross-entropy on clean images, and the divergence that an attack maximises.

    Args:
        logits_fn_of: From parameters to a function from images to logits.
        beta: Weight of the divergence.
        attack: Ascends the divergence of the predicted probabilities from the clean
            ones; its own loss must be "margin". Ten steps of 0.226 of the radius if
            None.
        label_smoothing: Probability mass moved to the uniform distribution.

    Raises:
        ValueError: If `beta` is negative or the attack has another loss.

    Reference:
        Zhang et al. (2019), Theoretically principled trade-off between robustness and
        accuracy, equation 5 and algorithm 1; beta of their CIFAR10 code.

    Examples:
        >>> from wbad_jax.attacks import PGD
        >>> from wbad_jax.training import trades
        >>> logits_fn_of = lambda p: lambda images: images.mean((1, 2)) @ p["w"]
        >>> objective = trades(logits_fn_of, beta=6.0, attack=PGD(num_steps=4))
    """
    _check_beta(beta)
    attack = attack or PGD(num_steps=10, step_size=_STEP, keep="last")
    if attack.loss != "margin":
        raise ValueError(
            f"the attack of TRADES must have loss 'margin', got {attack.loss!r}: what "
            "it ascends is the divergence."
        )

    def craft(params: Params, key: Key, batch: Batch, budgets: Budgets) -> Versions:
        logits_fn = logits_fn_of(jax.lax.stop_gradient(params))
        images = batch.images
        start_key, key = jax.random.split(key)
        noise = jax.random.normal(start_key, (images.size,), images.dtype)
        found = attack(
            _divergence_fn(logits_fn, logits_fn(images)),
            key,
            images,
            jnp.zeros_like(batch.labels),
            epsilon=budgets[attack.norm],
            starts=(images + _START_NOISE * noise.reshape(images.shape))[None],
        )
        return {"clean": images, "adversarial": found.adversarial}

    def loss(params: Params, batch: Batch, images: Versions):
        logits = logits_by_version(logits_fn_of(params), images)
        clean = cross_entropy(logits["clean"], batch.labels, label_smoothing)
        apart = divergence(logits["clean"], logits["adversarial"])
        mean = weighted_mean(clean + beta * apart, batch.weights)
        return mean, accuracies(logits, batch)

    return Objective(craft, loss)


def mart(
    logits_fn_of: ApplyFn, *, beta: float = 5.0, attack: PGD | None = None
) -> Objective:
    """Boosted cross-entropy on attacked images; divergence weighs where clean errs.

    With two classes both terms of the boosted cross-entropy are the same but for a
    small constant.

    Args:
        logits_fn_of: From parameters to a function from images to logits.
        beta: Weight of the divergence.
        attack: Makes the attacked images; ten steps of cross-entropy, each 0.226 of the
            radius, if None.

    Raises:
        ValueError: If `beta` is negative.

    Reference:
        Wang et al. (2020), Improving adversarial robustness requires revisiting
        misclassified examples, equations 9 to 11; beta of their code.

    Examples:
        >>> from wbad_jax.attacks import PGD
        >>> from wbad_jax.training import mart
        >>> logits_fn_of = lambda p: lambda images: images.mean((1, 2)) @ p["w"]
        >>> objective = mart(logits_fn_of, beta=5.0, attack=PGD(num_steps=4))
    """
    _check_beta(beta)
    attack = attack or PGD(
        num_steps=10,
        step_size=_STEP,
        loss="cross_entropy",
        start="random",
        keep="last",
    )

    def craft(params: Params, key: Key, batch: Batch, budgets: Budgets) -> Versions:
        found = attacked(attack, logits_fn_of, params, key, batch, budgets)
        return {"clean": batch.images, "adversarial": found}

    def loss(params: Params, batch: Batch, images: Versions):
        logits = logits_by_version(logits_fn_of(params), images)
        clean, adversarial = logits["clean"], logits["adversarial"]
        doubt = 1 - _of_label(jax.nn.softmax(clean), batch.labels)
        terms = boosted_cross_entropy(adversarial, batch.labels)
        terms += beta * doubt * divergence(clean, adversarial)
        return weighted_mean(terms, batch.weights), accuracies(logits, batch)

    return Objective(craft, loss)


def divergence(logits: Logits, others: Logits) -> PerExample:
    """Kullback-Leibler divergence KL(softmax(logits) || softmax(others)), `[batch]`."""
    log_p, log_q = jax.nn.log_softmax(logits), jax.nn.log_softmax(others)
    return jnp.sum(jnp.exp(log_p) * (log_p - log_q), axis=-1)


def boosted_cross_entropy(logits: Logits, labels: Labels) -> PerExample:
    """Cross-entropy, and how far the strongest wrong class is from certain."""
    probabilities = jax.nn.softmax(logits)
    wrong = jnp.where(
        jax.nn.one_hot(labels, logits.shape[-1], dtype=bool), 0, probabilities
    )
    largest = jnp.max(wrong, axis=-1)
    return cross_entropy(logits, labels) - jnp.log(1 + _ROOM - largest)


def _divergence_fn(logits_fn: LogitsFn, clean: Logits) -> LogitsFn:
    """Two logits, 0 and the divergence: to lower the margin of 0 is to raise it."""

    def two_logits(images):
        apart = divergence(clean, logits_fn(images))
        return jnp.stack([jnp.zeros_like(apart), apart], axis=-1)

    return two_logits


def _of_label(values: Logits, labels: Labels) -> PerExample:
    return jnp.take_along_axis(values, labels[:, None], axis=-1)[:, 0]


def _check_beta(beta: float) -> None:
    if not beta >= 0:
        raise ValueError(f"beta must be at least 0, got {beta}.")
