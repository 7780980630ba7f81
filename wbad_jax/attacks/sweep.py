"""One attack at many radii in one compiled program."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from wbad_jax.attacks.result import Attack, AttackResult, better
from wbad_jax.types import Images, Key, Labels, LogitsFn


def sweep(
    attack: Attack,
    logits_fn: LogitsFn,
    key: Key,
    images: Images,
    labels: Labels,
    epsilons: Sequence[float] | Float[Array, " radii"],
    **options: Any,
) -> AttackResult:
    """Attacks at each radius; a success at a smaller one counts at the larger too.

    One radius after another, so that memory is that of one attack.

    Args:
        attack: The attack.
        logits_fn: The attacked model.
        key: Of the attack, the same at each radius.
        images: `[batch, height, width, channels]`.
        labels: True classes, `[batch]`.
        epsilons: Radii in ascending order, `[radii]`; may be traced.
        **options: Further arguments of the attack's call.

    Returns:
        As of the attack, with a leading axis `[radii]`. Success never falls with the
        radius, nor does the margin rise where both succeed or fail.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from wbad_jax.attacks import FGSM, sweep
        >>> logits_fn = lambda x: x.mean((1, 2)) @ jnp.array([[-1.0, 1.0]])
        >>> images, labels = jnp.full((1, 4, 4, 1), 0.25), jnp.array([1])
        >>> sizes, key = jnp.array([0.125, 0.25]), jax.random.key(0)
        >>> print(sweep(FGSM(), logits_fn, key, images, labels, sizes).distance.ravel())
        [0.125 0.25 ]
    """

    def at(smaller: AttackResult, epsilon):
        found = attack(logits_fn, key, images, labels, epsilon=epsilon, **options)
        best = better(smaller, found)
        return best, best

    images = jnp.asarray(images)
    none = jnp.zeros(len(images), images.dtype)
    nothing = AttackResult(images, none != 0, none + jnp.inf, none)
    first = jax.eval_shape(
        lambda: attack(logits_fn, key, images, labels, epsilon=0.0, **options)
    )
    nothing = jax.tree.map(lambda a, like: a.astype(like.dtype), nothing, first)
    return jax.lax.scan(at, nothing, jnp.asarray(epsilons, images.dtype))[1]
