"""What an attack returns, and the bookkeeping that makes it trustworthy.

Attacks compare points with `better` and end with `finish`, which brings the images into
the threat model once more and judges them by a fresh forward pass.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from wbad_jax.attacks import losses, threat_models
from wbad_jax.types import Images, Key, Labels, Logits, LogitsFn, PerExample

T = TypeVar("T")
Verdicts = TypeVar("Verdicts", "Candidate", "AttackResult")
Starts = Float[Array, "starts batch height width channels"]


class AttackResult(NamedTuple):
    """Outcome per example; no gradient flows through it.

    Attributes:
        adversarial: Images in the threat model, `[batch, height, width, channels]`.
        success: Whether they are misclassified, `[batch]`.
        margin: True logit minus the largest other logit there, `[batch]`.
        distance: Norm of the perturbation, in pixel units, `[batch]`.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from wbad_jax.attacks import FGSM
        >>> logits_fn = lambda x: x.mean((1, 2)) @ jnp.array([[-1.0, 1.0]])
        >>> images, labels = jnp.full((3, 4, 4, 1), 0.25), jnp.array([0, 1, 1])
        >>> result = FGSM()(logits_fn, jax.random.key(0), images, labels, epsilon=0.125)
        >>> result._fields
        ('adversarial', 'success', 'margin', 'distance')
        >>> result.success.shape
        (3,)
    """

    adversarial: Images
    success: Bool[Array, " batch"]
    margin: PerExample
    distance: PerExample


class Attack(Protocol):
    """The signature that all attacks share."""

    @property
    def norm(self) -> threat_models.Norm:
        """Norm in which `epsilon` and `AttackResult.distance` are measured."""
        ...

    def __call__(
        self,
        logits_fn: LogitsFn,
        key: Key,
        images: Images,
        labels: Labels,
        *,
        epsilon: threat_models.Scalars,
        bounds: threat_models.Bounds = (0.0, 1.0),
        mask: threat_models.Mask = None,
        surrogates: Mapping[str, LogitsFn] | None = None,
    ) -> AttackResult:
        """Searches the ball of radius `epsilon` around `images`."""
        ...


class StartedAttack(Attack, Protocol):
    """An attack that can be told where to start."""

    def __call__(
        self,
        logits_fn: LogitsFn,
        key: Key,
        images: Images,
        labels: Labels,
        *,
        epsilon: threat_models.Scalars,
        bounds: threat_models.Bounds = (0.0, 1.0),
        mask: threat_models.Mask = None,
        surrogates: Mapping[str, LogitsFn] | None = None,
        starts: Starts | None = None,
    ) -> AttackResult:
        """Searches the ball from each of `starts`, or from where it likes."""
        ...


class Candidate(NamedTuple):
    """Perturbed images and how the attacked model judges them."""

    images: Images
    margin: PerExample
    success: Bool[Array, " batch"]


def judge(images: Images, logits: Logits, labels: Labels) -> Candidate:
    """Pairs images with the verdict of the attacked model's logits for them."""
    images, logits = jax.lax.stop_gradient((images, logits))
    success = losses.misclassified(logits, labels)
    return Candidate(images, losses.margin(logits, labels), success)


def judge_clean(images: Images, logits: Logits, labels: Labels) -> Candidate:
    """Like `judge`, but a correctly classified image loses to every other candidate."""
    return yielding(judge(images, logits, labels))


def yielding(candidate: Candidate) -> Candidate:
    """The candidate, but where it is no success it loses to every other one."""
    margin = jnp.where(candidate.success, candidate.margin, jnp.inf)
    return candidate._replace(margin=margin)


def unbroken(limit: int) -> Callable[[tuple], Array]:
    """Whether a `while_loop` over (index, candidate, ...) goes on.

    It ends with the limit, or when every example has a success.
    """

    def proceed(carry):
        index, candidate, *_ = carry
        return (index < limit) & ~jnp.all(candidate.success)

    return proceed


def better(challenger: Verdicts, best: Verdicts) -> Verdicts:
    """Takes, per example, the misclassified one, and of two such the lower margin."""
    return select(
        jnp.where(
            challenger.success == best.success,
            challenger.margin < best.margin,
            challenger.success,
        ),
        challenger,
        best,
    )


def select(condition: Bool[Array, " batch"], chosen: T, other: T) -> T:
    """Chooses between two trees of arrays whose first axis is the batch."""

    def pick(a, b):
        return jnp.where(condition.reshape((-1,) + (1,) * (a.ndim - 1)), a, b)

    return jax.tree.map(pick, chosen, other)


def finish(
    logits_fn: LogitsFn,
    images: Images,
    adversarial: Images,
    labels: Labels,
    *,
    norm: threat_models.Norm,
    epsilon: threat_models.Scalars,
    bounds: threat_models.Bounds = (0.0, 1.0),
    mask: threat_models.Mask = None,
) -> AttackResult:
    """Brings an attack's images into the threat model and re-checks them.

    Args:
        logits_fn: The attacked model.
        images: Clean images, `[batch, height, width, channels]`.
        adversarial: The attack's images, same shape; those already allowed are kept bit
            for bit.
        labels: True classes, `[batch]`.
        norm: "linf", "l2" or "l1".
        epsilon: Radius in pixel units, scalar or `[batch]`; may be infinite.
        bounds: Smallest and largest pixel value.
        mask: Where pixels may change; everywhere if None.

    Returns:
        The result: `max |adversarial - images|` (or its L2 or L1 norm) is at most
        `epsilon * (1 + 1e-6)` when recomputed in float32 from these images.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.attacks import finish
        >>> logits_fn = lambda x: x.mean((1, 2)) @ jnp.array([[-1.0, 1.0]])
        >>> images, labels = jnp.full((1, 4, 4, 1), 0.25), jnp.array([1])
        >>> limits = dict(norm="linf", epsilon=0.125)
        >>> result = finish(logits_fn, images, images - 0.5, labels, **limits)
        >>> print(result.success, result.distance)
        [False] [0.125]
    """
    perturbation = adversarial - images
    moved = threat_models.move(
        images, perturbation, norm, epsilon, bounds=bounds, mask=mask
    )
    size = threat_models.perturbation_norm(perturbation, norm)
    low, high = (threat_models.per_example(bound, images) for bound in bounds)
    allowed = (adversarial >= low) & (adversarial <= high)
    if mask is not None:
        allowed &= (mask != 0) | (perturbation == 0)
    inside = jnp.all(allowed, axis=(1, 2, 3))
    inside &= size <= jnp.asarray(epsilon, images.dtype)
    final = jax.lax.stop_gradient(select(inside, adversarial, moved))
    verdict = judge(final, logits_fn(final), labels)
    distance = threat_models.perturbation_norm(final - images, norm)
    return jax.lax.stop_gradient(
        AttackResult(final, verdict.success, verdict.margin, distance)
    )
