"""The frame of a search for the decision boundary: what DDN, FMN and FAB share.

`search` is one call of such an attack around the run that is its own. The rest is what
a run knows of the boundary to first order, and the box in which it moves.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from wbad_jax.attacks import losses, threat_models, validation
from wbad_jax.attacks.ascent import make_oracle
from wbad_jax.attacks.minimal_norm import (
    Found,
    Problem,
    ball_result,
    closest_result,
    nothing_found,
    record,
)
from wbad_jax.attacks.result import AttackResult, Candidate, judge, judge_clean
from wbad_jax.types import Images, Labels, LogitsFn, PerExample

# One run of an attack: follows the gradients of a model, and adds what it visits.
Run = Callable[[Problem, LogitsFn, Found], Found]

# Forward passes that shorten what was found: a secant step gains two digits where the
# margin is nearly straight, so the fourth is there for the others.
_LINE_STEPS = 4
# How far beyond the crossing a secant step aims: an image on the boundary itself could
# be judged differently by another compilation of the same model.
_BEYOND = 1.0003

_DUAL: dict[threat_models.Norm, threat_models.Norm] = {
    "linf": "l1",
    "l2": "l2",
    "l1": "linf",
}


class _Bracket(NamedTuple):
    """Two places on the line from the clean image (0) to a success (1), and margins."""

    place: PerExample
    below: PerExample
    margin_below: PerExample
    above: PerExample
    margin_above: PerExample


def search(
    run: Run,
    logits_fn: LogitsFn,
    images: Images,
    labels: Labels,
    *,
    norm: threat_models.Norm,
    epsilon: threat_models.Scalars | None,
    bounds: threat_models.Bounds,
    mask: threat_models.Mask,
    surrogates: Mapping[str, LogitsFn] | None,
) -> AttackResult:
    """Runs an attack on the model and on each surrogate, then shortens what it found.

    Args:
        run: The attack.
        logits_fn: The attacked model.
        images: Clean images, `[batch, height, width, channels]`.
        labels: True classes, `[batch]`.
        norm: Of distances.
        epsilon: Radius of the ball; None for the closest misclassified image.
        bounds: Smallest and largest pixel value.
        mask: Where pixels may change; everywhere if None.
        surrogates: More models whose gradients are followed.

    Returns:
        With `epsilon`, the closest success if it is in the ball, else the best point
        there. Without, the closest success, or the clean image at infinite distance.

    Raises:
        ValueError: If an argument breaks the rules of `validation.check_inputs`.
    """
    images, labels = validation.check_inputs(
        logits_fn, images, labels,
        epsilon=epsilon, bounds=bounds, mask=mask, surrogates=surrogates,
        norm=norm,
    )  # fmt: skip
    images, epsilon, bounds = jax.lax.stop_gradient((images, epsilon, bounds))
    radius = jnp.asarray(jnp.inf if epsilon is None else epsilon, images.dtype)
    problem = Problem(logits_fn, images, labels, radius, norm, bounds, mask)
    logits = logits_fn(images)
    clean = judge_clean(images, logits, labels)
    found = nothing_found(clean, clean.success)
    for model in (logits_fn, *(surrogates or {}).values()):
        found = run(problem, model, found)
    found = _shorten(problem, judge(images, logits, labels).margin, found)
    if epsilon is None:
        return closest_result(problem, found)
    return ball_result(problem, found, prefer_closest=True)


def margin_oracle(
    problem: Problem, model: LogitsFn
) -> Callable[[Images], tuple[Candidate, Images]]:
    """Returns the map from images to (verdict, ascent gradient) of one evaluation.

    The verdict is that of the attacked model, the gradient that of `model`'s negative
    margin.
    """
    both = make_oracle(problem.logits_fn, model, problem.labels, losses.margin_loss)

    def oracle(images):
        logits, gradient = both(images)
        verdict = judge(images, logits, problem.labels)
        return verdict, usable_gradient(problem, gradient)

    return oracle


def usable_gradient(problem: Problem, gradient: Images) -> Images:
    """Makes a gradient finite, and zero where it is NaN or pixels may not change."""
    # Up to 1e30, so that sums over pixels are finite too.
    gradient = jnp.clip(jnp.nan_to_num(gradient), -1e30, 1e30)
    gradient = jax.lax.stop_gradient(gradient)
    if problem.mask is None:
        return gradient
    return jnp.where(problem.mask != 0, gradient, 0)


def boundary_distance(
    margin: PerExample, gradient: Images, norm: threat_models.Norm
) -> PerExample:
    """Returns `|margin|` over the dual norm of its gradient, infinite if that is 0.

    This is the distance to the boundary of the linearised model without a box.
    """
    slope = threat_models.perturbation_norm(gradient, _DUAL[norm])
    return jnp.where(slope > 0, jnp.abs(margin) / slope, jnp.inf)


def farthest(problem: Problem) -> PerExample:
    """Returns the distance of the farthest image that bounds and mask allow."""
    low, high = (threat_models.per_example(b, problem.images) for b in problem.bounds)
    room = jnp.maximum(problem.images - low, high - problem.images)
    if problem.mask is not None:
        room = jnp.where(problem.mask != 0, room, 0)
    return threat_models.perturbation_norm(room, problem.norm)


def perturbed(problem: Problem, perturbation: Images) -> Images:
    """Adds a perturbation and clips the sum to the pixel range."""
    low, high = (threat_models.per_example(b, problem.images) for b in problem.bounds)
    return jnp.clip(problem.images + perturbation, low, high)


def _shorten(problem: Problem, clean_margin: PerExample, found: Found) -> Found:
    """Moves the closest success towards the clean image, by secant steps on the margin.

    An attack that changes its radius by a factor ends within that factor of the
    boundary; this takes the rest for a few forward passes.
    """
    direction = found.closest - problem.images

    def body(_, carry):
        bracket, found = carry
        place = threat_models.per_example(bracket.place, direction)
        images = perturbed(problem, place * direction)
        verdict = judge(images, problem.logits_fn(images), problem.labels)
        found = record(problem, found, verdict, verdict.success, verdict.success)
        return _tightened(bracket, verdict), found

    zero, one = jnp.zeros_like(found.distance), jnp.ones_like(found.distance)
    margin = clean_margin.astype(zero.dtype)
    bracket = _Bracket(one, zero, margin, one, jnp.zeros_like(margin))
    return jax.lax.fori_loop(0, _LINE_STEPS, body, (bracket, found))[1]


def _tightened(bracket: _Bracket, verdict: Candidate) -> _Bracket:
    """Replaces the end on the candidate's side; the next place is on the secant."""
    success, place = verdict.success, bracket.place
    margin = verdict.margin.astype(place.dtype)
    below = jnp.where(success, bracket.below, place)
    margin_below = jnp.where(success, bracket.margin_below, margin)
    above = jnp.where(success, place, bracket.above)
    margin_above = jnp.where(success, margin, bracket.margin_above)
    drop = margin_below - margin_above
    share = jnp.where(drop > 0, margin_below / jnp.where(drop > 0, drop, 1), 1)
    crossing = below + share * (above - below)
    return _Bracket(
        jnp.clip(_BEYOND * crossing, below, above),
        below, margin_below, above, margin_above,
    )  # fmt: skip
