r"""Randomised smoothing: L2 radii within which a decision provably does not change.

The smoothed classifier answers the class that a network most often gives to an image
plus Gaussian noise, N(0, sigma^2) at every pixel. If the network gives class A with
probability p > 1/2 under the noise at x, the smoothed classifier answers A everywhere
within

    R = sigma * Phi^-1(p)

of x in L2 (Cohen, Rosenfeld and Kolter 2019, Certified adversarial robustness via
randomized smoothing, arXiv 1902.02918, theorem 1). p is not known; an exact lower bound
of it from a sample of the noise holds with probability 1 - alpha, and so does the
radius.

A certificate is of the smoothed classifier, not of the network. The noise goes onto the
image before anything else: a denoiser in front of the network is part of what is
smoothed. It is not clipped, and sigma is in pixel units, like the radius; times the
width of the temperature window both are in degrees Celsius.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jaxtyping import Array, Bool, Float, Int

from wbad_jax.types import Images, Key, LogitsFn


class Decision(NamedTuple):
    """What the smoothed classifier answers, `[n]` each.

    Attributes:
        predicted: The class with the most votes.
        abstained: Whether the votes do not tell; the answer is then no class.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.evaluation import decide_votes
        >>> decide_votes(np.array([[2, 98], [50, 50]]), alpha=0.001).predicted
        array([1, 0])
    """

    predicted: np.ndarray
    abstained: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class Certificates:
    """Decisions of the smoothed classifier and how far they hold.

    Attributes:
        predicted: `[n]`, the class with the most votes.
        abstained: `[n]`, whether nothing is certified; that counts as an error.
        radius: `[n]`, in L2 and pixel units; 0 where abstained.
        votes: `[n, classes]`, of the sample that the radius follows from.
        sigma: Standard deviation of the noise in pixel units.
        alpha: Probability, for each image, that its certificate does not hold.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.evaluation import certify_votes
        >>> votes = np.array([[2, 98], [50, 50]])
        >>> certificates = certify_votes(votes, votes, sigma=0.25, alpha=0.001)
        >>> certificates.abstained.tolist(), certificates.radius.round(2).tolist()
        ([False, True], [0.31, 0.0])
    """

    predicted: np.ndarray
    abstained: np.ndarray
    radius: np.ndarray
    votes: np.ndarray
    sigma: float
    alpha: float


def count_votes(
    logits_fn: LogitsFn,
    keys: Key,
    images: Images,
    sigma: float | Float[Array, ""],
    num_samples: int | Int[Array, ""],
    *,
    noise_batch: int = 32,
) -> Int[Array, "batch classes"]:
    """How often each class is the answer to an image plus noise.

    Pure, a loop of fixed shape: `sigma` and `num_samples` may be traced.

    Args:
        logits_fn: The network, images to logits.
        keys: One key an image, `[batch]`. Draw i of an image follows from its key and i
            alone, see `draw_noise`.
        images: `[batch, height, width, channels]`.
        sigma: Standard deviation of the noise in pixel units.
        num_samples: Draws an image.
        noise_batch: Draws an image that the network sees at once.

    Returns:
        Votes; fewer than `num_samples` where logits were not finite.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from wbad_jax.evaluation import count_votes
        >>> logits_fn = lambda x: x.mean((1, 2)) @ jnp.array([[-1.0, 1.0]])
        >>> keys = jax.random.split(jax.random.key(0), 1)
        >>> print(count_votes(logits_fn, keys, jnp.full((1, 4, 4, 1), 0.9), 0.1, 20))
        [[ 0 20]]
    """
    batch, classes = jax.eval_shape(logits_fn, images).shape

    def add(step, votes):
        index = step * noise_batch + jnp.arange(noise_batch)
        noise = jax.vmap(lambda key: draw_noise(key, index, images.shape[1:]))(keys)
        noisy = images[:, None] + sigma * noise
        logits = logits_fn(noisy.reshape(-1, *images.shape[1:]))
        counted = jnp.tile(index < num_samples, batch)
        counted &= jnp.all(jnp.isfinite(logits), axis=-1)
        chosen = jax.nn.one_hot(jnp.argmax(logits, -1), classes, dtype=jnp.int32)
        chosen *= counted[:, None]
        return votes + jnp.sum(chosen.reshape(batch, noise_batch, classes), axis=1)

    steps = -(-num_samples // noise_batch)
    return jax.lax.fori_loop(0, steps, add, jnp.zeros((batch, classes), jnp.int32))


def draw_noise(
    key: Key, index: Int[Array, " draws"], shape: tuple[int, ...]
) -> Float[Array, "draws ..."]:
    """Standard normal draws of one image: draw i follows from `key` and i alone."""
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(index)
    # Flat, then reshaped: the same bits, but far faster to compile.
    size = int(np.prod(shape))
    flat = jax.vmap(lambda one: jax.random.normal(one, (size,)))(keys)
    return flat.reshape(-1, *shape)


def certify_votes(
    selection: Int[np.ndarray, "n classes"],
    votes: Int[np.ndarray, "n classes"],
    sigma: float,
    alpha: float,
) -> Certificates:
    """CERTIFY: the class from one sample, its radius from another.

    Args:
        selection: Votes of a small sample, whose winner is certified.
        votes: Votes of an independent sample.
        sigma: Standard deviation of the noise.
        alpha: Probability with which the certificate of one image may be false.

    Returns:
        Radii `sigma * Phi^-1(p)`, p the one-sided Clopper-Pearson bound of the winner's
        probability; where it is not above one half, the classifier abstains.

    Raises:
        ValueError: If sigma or alpha is out of range, or an image has no votes.

    Reference:
        Cohen, Rosenfeld and Kolter (2019), section 3.2.2, function CERTIFY.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.evaluation import certify_votes
        >>> first, second = np.array([[1, 19]]), np.array([[10, 990]])
        >>> certify_votes(first, second, sigma=0.25, alpha=0.001).radius.round(3)
        array([0.495])
    """
    check_noise(sigma, alpha)
    totals = votes.sum(axis=1)
    if selection.sum(axis=1).min(initial=1) < 1 or totals.min(initial=1) < 1:
        raise ValueError("votes and selection need at least one vote of each image.")
    predicted = np.argmax(selection, axis=1)
    wins = votes[np.arange(len(votes)), predicted]
    bound = lower_bound(wins, totals, alpha)
    abstained = bound <= 0.5
    radius = sigma * scipy.stats.norm.ppf(np.where(abstained, 0.5, bound))
    return Certificates(
        predicted=predicted, abstained=abstained, radius=radius, votes=votes,
        sigma=float(sigma), alpha=float(alpha),
    )  # fmt: skip


def decide_votes(votes: Int[np.ndarray, "n classes"], alpha: float) -> Decision:
    """PREDICT: the winner, unless a fair coin could have made its lead.

    Args:
        votes: Of each class.
        alpha: Probability with which a class that is not the smoothed classifier's is
            answered; a two-sided binomial test of the first two.

    Reference:
        Cohen, Rosenfeld and Kolter (2019), section 3.2.1, function PREDICT.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.evaluation import decide_votes
        >>> decide_votes(np.array([[2, 98], [50, 50]]), alpha=0.001).abstained
        array([False,  True])
    """
    check_noise(1.0, alpha)
    ordered = np.sort(votes, axis=1)
    first, second = ordered[:, -1], ordered[:, -2]
    tail = scipy.stats.binom.sf(first - 1, first + second, 0.5)
    return Decision(np.argmax(votes, axis=1), np.minimum(1.0, 2 * tail) > alpha)


def lower_bound(
    wins: Int[np.ndarray, " n"], totals: Int[np.ndarray, " n"], alpha: float
) -> Float[np.ndarray, " n"]:
    """One-sided Clopper-Pearson bound of a probability, at level 1 - alpha."""
    bound = scipy.stats.beta.ppf(alpha, np.maximum(wins, 1), totals - wins + 1)
    return np.where(wins > 0, bound, 0.0)


def least_samples(alpha: float) -> int:
    """Fewest samples that can certify anything: unanimous, they bound p above 1/2."""
    return int(np.floor(np.log(alpha) / np.log(0.5))) + 1


def violations(
    certificates: Certificates, attacked: Decision
) -> Bool[np.ndarray, " n"]:
    """Where a certificate is refuted: a significant vote for another class inside.

    Args:
        certificates: Of images.
        attacked: Decision at a point within each one's radius, by fresh noise. To
            abstain there refutes nothing.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.evaluation import certify_votes, decide_votes, violations
        >>> votes = np.array([[2, 98]])
        >>> certificates = certify_votes(votes, votes, sigma=0.25, alpha=0.001)
        >>> violations(certificates, decide_votes(votes[:, ::-1], alpha=0.001))
        array([ True])
    """
    changed = attacked.predicted != certificates.predicted
    return changed & ~attacked.abstained & ~certificates.abstained


def check_noise(sigma: float, alpha: float) -> None:
    """Refuse a noise that is none, and a probability that is none.

    Raises:
        ValueError: Naming the argument, the rule and the value.
    """
    if not 0 < sigma < np.inf:
        raise ValueError(f"sigma must be positive and finite, got {sigma}.")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must be above 0 and below 1, got {alpha}.")
