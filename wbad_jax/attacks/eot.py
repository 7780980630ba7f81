"""EOT: randomised models as functions of the images alone, averaged over draws."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt32

from wbad_jax.types import Images, Key, Logits, LogitsFn


def mean_logits(draws: Float[Array, "draws classes"]) -> Float[Array, " classes"]:
    """The plain mean over draws."""
    return jnp.mean(draws, axis=0)


def log_mean_softmax(draws: Float[Array, "draws classes"]) -> Float[Array, " classes"]:
    """Logarithms of the mean probabilities over draws, however small these are.

    Reference:
        Salman et al. (2019), Provably robust deep learning via adversarially trained
        smoothed classifiers, equation 6.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.attacks import log_mean_softmax
        >>> print(jnp.exp(log_mean_softmax(jnp.zeros((3, 2)))))
        [0.5 0.5]
    """
    return jax.nn.logsumexp(jax.nn.log_softmax(draws), axis=0) - jnp.log(len(draws))


def expectation_over_transformation(
    random_logits_fn: Callable[[Key, Images], Logits],
    key: Key,
    num_samples: int,
    average: Callable[[Array], Array] = mean_logits,
) -> LogitsFn:
    """Returns the mean logits, say, of a randomised model over draws.

    Attacks want a function of the images. Here each image draws from a key that follows
    from its own bits: every new point of an attack sees new draws, the same point sees
    the same ones, and no example depends on its neighbours. Attack the mean over many
    draws, and judge on a key of its own::

        mean = expectation_over_transformation(model, attack_key, 20)
        result = attack(mean, key, images, labels, epsilon=...)
        once = expectation_over_transformation(model, other_key, 1)
        logits = once(result.adversarial)

    For the margin of two classes the gradient of mean logits is the mean gradient.

    Args:
        random_logits_fn: From one key and images `[n, height, width, channels]` to
            logits `[n, classes]`; it is mapped over examples and draws.
        key: One typed key.
        num_samples: Draws an image. The memory of the model's pass grows with it.
        average: From logits `[draws, classes]` to the logits that the attack sees:
            `mean_logits`, or `log_mean_softmax` where classes are voted for.

    Raises:
        ValueError: If `num_samples` is below 1.

    Reference:
        Athalye, Engstrom, Ilyas and Kwok (2018), Synthesizing robust adversarial
        examples, section 2.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from wbad_jax.attacks import expectation_over_transformation
        >>> def noisy(key, images):
        ...     noise = 0.01 * jax.random.normal(key, images.shape)
        ...     return (images + noise).mean((1, 2)) @ jnp.array([[-1.0, 1.0]])
        >>> logits_fn = expectation_over_transformation(noisy, jax.random.key(0), 4)
        >>> logits_fn(jnp.full((2, 4, 4, 1), 0.5)).shape
        (2, 2)
    """
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1, got {num_samples}.")

    def logits_of(image_key: Key, image: Array) -> Array:
        keys = jax.random.split(image_key, num_samples)
        draws = jax.vmap(lambda one: random_logits_fn(one, image[None])[0])(keys)
        return average(draws)

    def logits_fn(images: Images) -> Logits:
        keys = jax.vmap(lambda bits: jax.random.fold_in(key, bits))(_digest(images))
        return jax.vmap(logits_of)(keys, images)

    return logits_fn


def _digest(images: Images) -> UInt32[Array, " batch"]:
    """A number from the bits of each image: a sum with a different factor a pixel."""
    pixels = jax.lax.stop_gradient(images.astype(jnp.float32))
    bits = jax.lax.bitcast_convert_type(pixels, jnp.uint32).reshape(len(images), -1)
    factors = 2 * jnp.arange(bits.shape[1], dtype=jnp.uint32) + 1
    mixed = (bits ^ (bits >> 15)) * factors * jnp.uint32(2654435761)
    return jnp.sum(mixed ^ (mixed >> 13), axis=1, dtype=jnp.uint32)
