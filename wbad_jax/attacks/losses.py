"""Per-example losses that an attack maximizes, and what counts as a success.

Every loss maps logits `[batch, classes]` and labels `[batch]` to `[batch]`. An attack
succeeds on an example when `argmax(logits) != label`; `misclassified` is the only place
that says so. The margin agrees with it except at an exact tie (margin 0), where argmax
takes the lower class.

For two classes cross-entropy is `softplus(-margin)`: both losses have the same ascent
direction, but cross-entropy underflows to a zero gradient on confident examples. The
margin is therefore the default of all attacks, and cross-entropy a probe for masking.
"""

from collections.abc import Callable
from types import MappingProxyType

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from wbad_jax.types import Labels, Logits, PerExample


def misclassified(logits: Logits, labels: Labels) -> Bool[Array, " batch"]:
    """Whether the predicted class, the first of the largest logits, is wrong."""
    return jnp.argmax(logits, axis=-1) != labels


def margin(logits: Logits, labels: Labels) -> PerExample:
    """Returns the true class's logit minus the largest other logit.

    Args:
        logits: `[batch, classes]`, unnormalised.
        labels: `[batch]`, the true classes.

    Returns:
        `[batch]`, in units of logits, at least float32; negative when misclassified.

    Reference:
        Carlini and Wagner (2017), Towards evaluating the robustness of neural networks,
        section V.A, objective f6 (without its hinge).
    """
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    true_class = jax.nn.one_hot(labels, logits.shape[-1], dtype=bool)
    # Selecting, not multiplying by the one-hot mask: a masked class must not count as
    # a logit of 0, which would tie the result to a shift of all logits.
    true_logit = jnp.sum(jnp.where(true_class, logits, 0), axis=-1)
    return true_logit - jnp.max(jnp.where(true_class, -jnp.inf, logits), axis=-1)


def margin_loss(logits: Logits, labels: Labels) -> PerExample:
    """Returns the negative `margin`: invariant to shifts of the logits."""
    return -margin(logits, labels)


def cross_entropy(logits: Logits, labels: Labels) -> PerExample:
    """Returns the negative log-likelihood of the true class, in nats."""
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    true_class = jax.nn.one_hot(labels, logits.shape[-1], dtype=bool)
    log_probabilities = jax.nn.log_softmax(logits)
    return -jnp.sum(jnp.where(true_class, log_probabilities, 0), axis=-1)


LossFn = Callable[[Logits, Labels], PerExample]

LOSSES: MappingProxyType[str, LossFn] = MappingProxyType(
    {"margin": margin_loss, "cross_entropy": cross_entropy}
)
