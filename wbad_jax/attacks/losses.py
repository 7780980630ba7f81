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
from jaxtyping import Array, Bool, Int

from wbad_jax.types import Labels, Logits, PerExample


def misclassified(logits: Logits, labels: Labels) -> Bool[Array, " batch"]:
    """Whether the predicted class, the first of the largest logits, is wrong.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.attacks import misclassified
        >>> print(misclassified(jnp.array([[1.0, 3.0], [2.0, 0.5]]), jnp.array([1, 1])))
        [False  True]
    """
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

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.attacks import margin
        >>> print(margin(jnp.array([[1.0, 3.0], [2.0, 0.5]]), jnp.array([1, 1])))
        [ 2.  -1.5]
    """
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    true_class = jax.nn.one_hot(labels, logits.shape[-1], dtype=bool)
    # Selecting, not multiplying by the one-hot mask: a masked class must not count as
    # a logit of 0, which would tie the result to a shift of all logits.
    true_logit = jnp.sum(jnp.where(true_class, logits, 0), axis=-1)
    return true_logit - jnp.max(jnp.where(true_class, -jnp.inf, logits), axis=-1)


def margin_loss(logits: Logits, labels: Labels) -> PerExample:
    """Returns the negative `margin`: invariant to shifts of the logits.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.attacks import margin_loss
        >>> print(margin_loss(jnp.array([[1.0, 3.0], [2.0, 0.5]]), jnp.array([1, 1])))
        [-2.   1.5]
    """
    return -margin(logits, labels)


def cross_entropy(logits: Logits, labels: Labels) -> PerExample:
    """Returns the negative log-likelihood of the true class, in nats.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.attacks import cross_entropy
        >>> print(cross_entropy(jnp.array([[0.0, 0.0]]), jnp.array([1])).round(4))
        [0.6931]
    """
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    true_class = jax.nn.one_hot(labels, logits.shape[-1], dtype=bool)
    log_probabilities = jax.nn.log_softmax(logits)
    return -jnp.sum(jnp.where(true_class, log_probabilities, 0), axis=-1)


def difference_of_logits_ratio(logits: Logits, labels: Labels) -> PerExample:
    """Returns the negative margin over the spread of the three largest logits.

    It does not change when logits are scaled or shifted. Its gradient is zero where the
    true class ranks third, the loss being 1 there.

    Args:
        logits: `[batch, classes]`, at least three classes.
        labels: `[batch]`, the true classes.

    Raises:
        ValueError: For fewer than three classes, where the ratio is not defined.

    Reference:
        Croce and Hein (2020), Reliable evaluation of adversarial robustness with an
        ensemble of diverse parameter-free attacks, equation 6.
    """
    _check_classes("dlr", logits, 3)
    ranked = _ranked(logits)
    return -margin(logits, labels) / (ranked[:, 0] - ranked[:, 2] + _NO_SPREAD)


def targeted_margin(logits: Logits, labels: Labels, targets: Labels) -> PerExample:
    """Returns the logit of the target minus that of the true class."""
    return _logit(logits, targets) - _logit(logits, labels)


def targeted_ratio(logits: Logits, labels: Labels, targets: Labels) -> PerExample:
    """Returns `targeted_margin` over a spread of the four largest logits.

    Args:
        logits: `[batch, classes]`, at least four classes.
        labels: `[batch]`, the true classes.
        targets: `[batch]`, other classes.

    Raises:
        ValueError: For fewer than four classes, where the ratio is not defined.

    Reference:
        Croce and Hein (2020), equation 7.
    """
    _check_classes("targeted_dlr", logits, 4)
    ranked = _ranked(logits)
    spread = ranked[:, 0] - (ranked[:, 2] + ranked[:, 3]) / 2
    return targeted_margin(logits, labels, targets) / (spread + _NO_SPREAD)


def largest_wrong(
    logits: Logits, labels: Labels, number: int
) -> Int[Array, "batch number"]:
    """Returns the classes of the largest logits but the true one, the largest first.

    Args:
        logits: `[batch, classes]`.
        labels: `[batch]`, the true classes.
        number: How many; as many as there are if that is fewer.
    """
    true_class = jax.nn.one_hot(labels, logits.shape[-1], dtype=bool)
    wrong = jnp.where(true_class, -jnp.inf, logits)
    return jax.lax.top_k(wrong, min(number, logits.shape[-1] - 1))[1]


def _check_classes(name: str, logits: Logits, fewest: int) -> None:
    if logits.shape[-1] < fewest:
        raise ValueError(
            f"loss {name!r} needs at least {fewest} classes, got {logits.shape[-1]}; "
            "use 'margin', which does the same for two classes."
        )


def _ranked(logits: Logits) -> Logits:
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    return jax.lax.top_k(logits, min(4, logits.shape[-1]))[0]


def _logit(logits: Logits, classes: Labels) -> PerExample:
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    chosen = jax.nn.one_hot(classes, logits.shape[-1], dtype=bool)
    return jnp.sum(jnp.where(chosen, logits, 0), axis=-1)


# Keeps a ratio finite where logits are equal, as in the papers' code.
_NO_SPREAD = 1e-12

LossFn = Callable[[Logits, Labels], PerExample]
TargetedLossFn = Callable[[Logits, Labels, Labels], PerExample]

LOSSES: MappingProxyType[str, LossFn] = MappingProxyType(
    {
        "margin": margin_loss,
        "cross_entropy": cross_entropy,
        "dlr": difference_of_logits_ratio,
    }
)
# Losses of attacks that try one class after another as the wrong one.
TARGETED_LOSSES: MappingProxyType[str, TargetedLossFn] = MappingProxyType(
    {"targeted_margin": targeted_margin, "targeted_dlr": targeted_ratio}
)
