"""BPDA: a gradient for a defence that has none, or a useless one."""

from collections.abc import Callable

from wbad_jax.gradient_replacement import replace_gradient
from wbad_jax.types import Images


def bpda(
    defence: Callable[[Images], Images],
    differentiable: Callable[[Images], Images] | None = None,
) -> Callable[[Images], Images]:
    """Returns the defence with the derivative of another function.

    Put in place of the defence it makes a surrogate for attacks::

        surrogate = lambda images: network(bpda(quantise)(images))
        attack(logits_fn, key, images, labels, ..., surrogates={"bpda": surrogate})

    Args:
        defence: Image processing in front of a network; its value is kept exactly.
        differentiable: Whose derivative is used; the identity if None, which suits a
            defence that changes images little. It must return the same shape.

    Raises:
        ValueError: When called, if shapes or dtypes of the two differ.

    Reference:
        Athalye, Carlini and Wagner (2018), Obfuscated gradients give a false sense of
        security, section 4.1.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from wbad_jax.attacks import bpda
        >>> defence = bpda(jnp.round, lambda x: x)
        >>> print(defence(1.3), jax.grad(lambda x: defence(x))(1.3))
        1.0 1.0
    """

    def wrapped(images: Images) -> Images:
        guide = images if differentiable is None else differentiable(images)
        return replace_gradient(defence(images), guide)

    return wrapped
