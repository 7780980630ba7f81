"""Attacks on a smoothed classifier: the gradient of its log mean probabilities."""

import jax
import jax.numpy as jnp

from wbad_jax.attacks import (
    expectation_over_transformation,
    log_mean_softmax,
    threat_models,
)
from wbad_jax.attacks.result import StartedAttack, Starts
from wbad_jax.types import Images, Key, Labels, LogitsFn, PerExample

# Of every pixel value there is: a certificate does not end at the range of the camera.
EVERYWHERE = (-jnp.inf, jnp.inf)


def smoothed_logits_fn(
    logits_fn: LogitsFn, key: Key, sigma: float | jax.Array, num_samples: int
) -> LogitsFn:
    """Log mean probabilities under Gaussian noise, a function of the images alone.

    Args:
        logits_fn: The network.
        key: One typed key; an image's noise follows from it and the image's own bits.
        sigma: Standard deviation of the noise in pixel units.
        num_samples: Draws an image and call.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from wbad_jax.evaluation import smoothed_logits_fn
        >>> logits_fn = lambda x: x.mean((1, 2)) @ jnp.array([[-1.0, 1.0]])
        >>> smoothed = smoothed_logits_fn(logits_fn, jax.random.key(0), 0.1, 4)
        >>> smoothed(jnp.full((1, 4, 4, 1), 0.5)).shape
        (1, 2)
    """

    def noisy(draw_key: Key, images: Images):
        noise = jax.random.normal(draw_key, (images.size,)).reshape(images.shape)
        return logits_fn(images + sigma * noise)

    return expectation_over_transformation(noisy, key, num_samples, log_mean_softmax)


def attack_smoothed(
    attack: StartedAttack,
    logits_fn: LogitsFn,
    keys: Key,
    noise_key: Key,
    images: Images,
    labels: Labels,
    *,
    sigma: float | jax.Array,
    epsilon: float | PerExample,
    num_samples: int,
    bounds: threat_models.Bounds = (0.0, 1.0),
    starts: Starts | None = None,
) -> Images:
    """Points of an L2 ball where the smoothed classifier does worst. Pure.

    Starts at the image, at a random point of the sphere, where the same attack ends on
    the network without noise, and at `starts`.

    Args:
        attack: Climbs, in L2, from all starts. Best one that keeps the last point of
            each: among all points the lowest margin is that of the luckiest noise.
        logits_fn: The network.
        keys: One an image, for the random start.
        noise_key: One key for the noise.
        images: `[batch, height, width, channels]`.
        labels: Classes to leave, `[batch]`.
        sigma: Standard deviation of the noise.
        epsilon: Radius, scalar or `[batch]`.
        num_samples: Draws a gradient.
        bounds: Smallest and largest pixel value; `EVERYWHERE` to test certificates.
        starts: More of them, brought into the ball.

    Returns:
        Images in the ball. Whether they succeed is to be judged by fresh noise.

    Raises:
        ValueError: If the attack is not in L2.

    Reference:
        Salman et al. (2019), Provably robust deep learning via adversarially trained
        smoothed classifiers, section 2.2.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from wbad_jax.attacks import PGD
        >>> from wbad_jax.evaluation import attack_smoothed
        >>> logits_fn = lambda x: x.mean((1, 2)) @ jnp.array([[-1.0, 1.0]])
        >>> keys = jax.random.split(jax.random.key(0), 2)
        >>> attack = PGD(norm="l2", num_steps=2)
        >>> images, labels = jnp.full((1, 4, 4, 1), 0.5), jnp.array([1])
        >>> size = dict(epsilon=0.1, sigma=0.1, num_samples=2)
        >>> attack_smoothed(
        ...     attack, logits_fn, keys[:1], keys[1], images, labels, **size
        ... ).shape
        (1, 4, 4, 1)
    """
    if attack.norm != "l2":
        raise ValueError(f"attack must be in norm 'l2', got {attack.norm!r}.")
    ball = {"epsilon": epsilon, "bounds": bounds}
    plain = attack(logits_fn, keys, images, labels, **ball)
    drawn = threat_models.sample(keys, images, "l2", epsilon)
    own = jnp.stack([images, images + drawn, plain.adversarial])
    every = own if starts is None else jnp.concatenate([own, starts])
    smoothed = smoothed_logits_fn(logits_fn, noise_key, sigma, num_samples)
    found = attack(smoothed, keys, images, labels, starts=every, **ball)
    return found.adversarial
