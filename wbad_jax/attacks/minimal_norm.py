"""What minimal-norm attacks share: the closest success and the best point in a ball.

Such an attack visits points at any distance and records each of them; its result is the
closest misclassified image, or, given a budget, the best image within it.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool

from wbad_jax.attacks import threat_models
from wbad_jax.attacks.result import (
    AttackResult,
    Candidate,
    better,
    finish,
    judge,
    select,
)
from wbad_jax.types import Images, Labels, LogitsFn, PerExample


class Problem(NamedTuple):
    """What stays fixed during one call.

    Attributes:
        logits_fn: The attacked model.
        images: Clean images, `[batch, height, width, channels]`.
        labels: True classes, `[batch]`.
        radius: Of the ball, scalar or `[batch]`; infinite without a budget.
        norm: Of distances.
        bounds: Smallest and largest pixel value.
        mask: Where pixels may change; everywhere if None.
    """

    logits_fn: LogitsFn
    images: Images
    labels: Labels
    radius: Array
    norm: threat_models.Norm
    bounds: threat_models.Bounds
    mask: threat_models.Mask


class Found(NamedTuple):
    """The best points seen so far.

    Attributes:
        closest: The closest success.
        distance: Its distance; infinite until there is one.
        inside: The best point in the ball.
        anywhere: The best point at any distance.
    """

    closest: Images
    distance: PerExample
    inside: Candidate
    anywhere: Candidate


def nothing_found(clean: Candidate, success: Bool[Array, " batch"]) -> Found:
    """The start: a clean image that is a success already is one at distance 0."""
    distance = jnp.where(success, 0.0, jnp.inf).astype(clean.images.dtype)
    return Found(clean.images, distance, clean, clean)


def record(
    problem: Problem,
    found: Found,
    candidate: Candidate,
    success: Bool[Array, " batch"],
    counts: Bool[Array, "*batch"],
) -> Found:
    """Keep what is best in a new candidate.

    Args:
        problem: The call.
        found: What was seen before.
        candidate: New images and the model's verdict.
        success: Where the candidate counts as a success for the closest image.
        counts: Where it may be one of the best points at all.
    """
    distance = threat_models.perturbation_norm(
        candidate.images - problem.images, problem.norm
    )
    closer = success & (distance < found.distance)
    valid = candidate._replace(
        margin=jnp.where(counts, candidate.margin, jnp.inf),
        success=candidate.success & counts,
    )
    inside = distance <= problem.radius
    return Found(
        select(closer, candidate.images, found.closest),
        jnp.where(closer, distance, found.distance),
        select(inside, better(valid, found.inside), found.inside),
        better(valid, found.anywhere),
    )


def closest_result(problem: Problem, found: Found) -> AttackResult:
    """The closest success; without one, the clean image at infinite distance."""
    anywhere = found.anywhere
    images = select(anywhere.success, anywhere.images, problem.images)
    images = select(jnp.isfinite(found.distance), found.closest, images)
    result = _finish(problem, images)
    distance = jnp.where(result.success, result.distance, jnp.inf)
    return result._replace(distance=distance)


def ball_result(
    problem: Problem, found: Found, *, prefer_closest: bool
) -> AttackResult:
    """The best image within the budget.

    The closest success, or else the point of lowest margin, is also scaled onto the
    ball, and competes with the points inside.

    Args:
        problem: The call.
        found: What was seen.
        prefer_closest: Whether a closest success inside the ball wins over a more
            confident one.
    """
    reached = jnp.isfinite(found.distance)
    outside = select(reached, found.closest, found.anywhere.images) - problem.images
    length = threat_models.perturbation_norm(outside, problem.norm)
    scale = problem.radius / jnp.where(length > 0, length, 1)
    scaled = threat_models.move(
        problem.images, threat_models.per_example(scale, outside) * outside,
        problem.norm, problem.radius, bounds=problem.bounds, mask=problem.mask,
    )  # fmt: skip
    verdict = judge(scaled, problem.logits_fn(scaled), problem.labels)
    images = better(verdict, found.inside).images
    if prefer_closest:
        images = select(found.distance <= problem.radius, found.closest, images)
    return _finish(problem, images)


def _finish(problem: Problem, images: Images) -> AttackResult:
    return finish(
        problem.logits_fn, problem.images, images, problem.labels, norm=problem.norm,
        epsilon=problem.radius, bounds=problem.bounds, mask=problem.mask,
    )  # fmt: skip
