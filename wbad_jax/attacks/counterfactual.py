r"""Attacks that know the truth: how the patient would look in the other state.

On simulated patients each image has a *twin*, the same patient and exposure with or
without the tumour. An adversary who knows it needs neither gradients nor the model:

- `TwinAttack` goes from an image towards its twin. Two twins within twice the radius of
  each other are sent to the same bits, their midpoint, to which a classifier gives one
  label, so one of the two is always misclassified: the attack realises
  `evaluation.pair_bound` on every classifier, masked gradients or not.
- `TemplateAttack` adds or removes half a lesion, clipped to the ball, at any of several
  places. Against the informed observer's own test in white noise it is optimal: it
  realises `evaluation.observe_in_white_noise`.

With them among the attacks, a weak attack cannot lift robust accuracy above the
ceiling. Twins, templates and places are data of the call: the signature of all others
is that of `functools.partial(TwinAttack(), twins=twins)`.

Reference:
    Bhagoji, Cullina and Mittal (2019), Lower bounds on adversarial robustness from
    optimal transport, arXiv 1909.12272: the midpoint is the adversary's best move.
"""

import dataclasses
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from wbad_jax.attacks import threat_models, validation
from wbad_jax.attacks.ascent import Ball
from wbad_jax.attacks.result import (
    AttackResult,
    Candidate,
    better,
    finish,
    judge,
    judge_clean,
)
from wbad_jax.types import Images, Key, Labels, LogitsFn


@dataclasses.dataclass(frozen=True, kw_only=True)
class TwinAttack:
    """Moves each image towards the image of the same patient in the other state.

    Attributes:
        norm: Norm of the ball, a member of `threat_models.NORMS`.
        fractions: Of the way to the twin, beside one half. Beyond 1 the radius is used
            up in pixels where twins hardly differ.

    Examples:
        >>> from wbad_jax.attacks import TwinAttack
        >>> TwinAttack().fractions
        (0.25, 0.75, 1.0, 1.5, 2.0)
    """

    norm: threat_models.Norm = "linf"
    fractions: tuple[float, ...] = (0.25, 0.75, 1.0, 1.5, 2.0)

    def __post_init__(self):
        _check_settings(self.norm, self.fractions)

    def __call__(
        self,
        logits_fn: LogitsFn,
        key: Key,
        images: Images,
        labels: Labels,
        *,
        epsilon: threat_models.Scalars,
        twins: Images,
        bounds: threat_models.Bounds = (0.0, 1.0),
        mask: threat_models.Mask = None,
        surrogates: Mapping[str, LogitsFn] | None = None,
    ) -> AttackResult:
        """Tries points on the way to the twins.

        Args:
            logits_fn: The attacked model, images to logits `[batch, classes]`.
            key: Not used; there for the signature that all attacks share.
            images: `[batch, height, width, channels]`, within `bounds`.
            labels: True classes, `[batch]`.
            epsilon: Radius in pixel units, scalar or `[batch]`.
            twins: The other state of each image, same shape.
            bounds: Smallest and largest pixel value, each scalar or `[batch]`.
            mask: Where pixels may change (nonzero); everywhere if None. Two twins meet
                only if they share it and do not differ elsewhere.
            surrogates: Not used; no gradient is needed.

        Returns:
            The point of lowest margin per example. Of two twins within twice the
            radius, one at least is a success.

        Raises:
            ValueError: If an argument breaks the rules above.
        """
        del key
        images, labels = validation.check_inputs(
            logits_fn, images, labels,
            epsilon=epsilon, bounds=bounds, mask=mask, surrogates=surrogates,
            norm=self.norm,
        )  # fmt: skip
        twins = jnp.asarray(twins, images.dtype)
        if twins.shape != images.shape:
            expected = images.shape
            raise ValueError(f"twins must be of shape {expected}, got {twins.shape}.")
        ball = Ball(images, self.norm, epsilon, bounds, mask)
        fractions = jnp.asarray(self.fractions, images.dtype)
        # A sum commutes, so that both twins get the same bits; the step of half their
        # difference, added to either, may round otherwise.
        midpoint = (images + twins) / 2
        meeting = finish(logits_fn, images, midpoint, labels, **ball.constraints)
        best = better(
            Candidate(meeting.adversarial, meeting.margin, meeting.success),
            judge_clean(images, logits_fn(images), labels),
        )
        best = _try_all(
            logits_fn, labels, ball, best, len(self.fractions),
            lambda index: fractions[index] * (twins - images),
        )  # fmt: skip
        return finish(logits_fn, images, best.images, labels, **ball.constraints)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TemplateAttack:
    """Adds a faint lesion to healthy images, and removes one from all others.

    Attributes:
        norm: Norm of the ball, a member of `threat_models.NORMS`.
        fractions: Of the template. One half is optimal against the best robust test.
        positive: Class whose images contain the template.

    Examples:
        >>> from wbad_jax.attacks import TemplateAttack
        >>> TemplateAttack(positive=1).fractions
        (0.5, 1.0)
    """

    norm: threat_models.Norm = "linf"
    fractions: tuple[float, ...] = (0.5, 1.0)
    positive: int = 1

    def __post_init__(self):
        _check_settings(self.norm, self.fractions)
        validation.check_at_least("positive", self.positive, 0)

    def __call__(
        self,
        logits_fn: LogitsFn,
        key: Key,
        images: Images,
        labels: Labels,
        *,
        epsilon: threat_models.Scalars,
        templates: Float[Array, "*batch height width channels"],
        places: Int[Array, "*batch places 2"],
        bounds: threat_models.Bounds = (0.0, 1.0),
        mask: threat_models.Mask = None,
        surrogates: Mapping[str, LogitsFn] | None = None,
    ) -> AttackResult:
        """Tries a template at each of several places.

        Args:
            logits_fn: The attacked model, images to logits `[batch, classes]`.
            key: Not used; there for the signature that all attacks share.
            images: `[batch, height, width, channels]`, within `bounds`.
            labels: True classes, `[batch]`.
            epsilon: Radius in pixel units, scalar or `[batch]`.
            templates: Image with minus image without the lesion, one for all images or
                one each.
            places: Rows and columns by which the template is shifted, K for all images
                or K each; what leaves the frame is dropped. `[[0, 0]]` for a template
                that is where it belongs.
            bounds: Smallest and largest pixel value, each scalar or `[batch]`.
            mask: Where pixels may change (nonzero); everywhere if None.
            surrogates: Not used; no gradient is needed.

        Returns:
            Per example the point of lowest margin.

        Raises:
            ValueError: If an argument breaks the rules above.
        """
        del key
        images, labels = validation.check_inputs(
            logits_fn, images, labels,
            epsilon=epsilon, bounds=bounds, mask=mask, surrogates=surrogates,
            norm=self.norm,
        )  # fmt: skip
        templates, places = _for_each(templates, places, images)
        ball = Ball(images, self.norm, epsilon, bounds, mask)
        fractions = jnp.asarray(self.fractions, images.dtype)
        sign = jnp.where(labels == self.positive, -1, 1).astype(images.dtype)
        sign = threat_models.per_example(sign, images)

        def perturbation(index):
            place, fraction = jnp.divmod(index, len(self.fractions))
            shifted = jax.vmap(_shifted)(templates, places[:, place])
            return sign * fractions[fraction] * shifted

        best = _try_all(
            logits_fn, labels, ball,
            judge_clean(images, logits_fn(images), labels),
            places.shape[1] * len(self.fractions), perturbation,
        )  # fmt: skip
        return finish(logits_fn, images, best.images, labels, **ball.constraints)


def _try_all(
    logits_fn: LogitsFn,
    labels: Labels,
    ball: Ball,
    best: Candidate,
    count: int,
    perturbation: Callable[[Array], Images],
) -> Candidate:
    """Judges `perturbation(0)` to `perturbation(count - 1)`, brought into the ball."""

    def attempt(index, best):
        moved = ball.move(perturbation(index))
        return better(judge(moved, logits_fn(moved), labels), best)

    return jax.lax.fori_loop(0, count, attempt, best)


def _shifted(template: Array, place: Array) -> Array:
    """One template moved by rows and columns, zero where it came from outside."""
    height, width, _ = template.shape
    rows, columns = jnp.arange(height) - place[0], jnp.arange(width) - place[1]
    moved = template[jnp.clip(rows, 0, height - 1)]
    moved = moved[:, jnp.clip(columns, 0, width - 1)]
    inside = ((rows >= 0) & (rows < height))[:, None]
    inside &= (columns >= 0) & (columns < width)
    return jnp.where(inside[..., None], moved, 0)


def _for_each(templates, places, images: Images) -> tuple[Array, Array]:
    """Checks templates and places and repeats those that all images share."""
    templates, places = jnp.asarray(templates, images.dtype), jnp.asarray(places)
    _check_shape("templates", templates.shape, images.shape, images.shape[1:])
    batch, count = images.shape[0], places.shape[-2] if places.ndim > 1 else 0
    _check_shape("places", places.shape, (batch, count, 2), (count, 2))
    if not count or not jnp.issubdtype(places.dtype, jnp.integer):
        raise ValueError(
            "places must be integers, at least one row and column, got "
            f"{places.dtype} {places.shape}."
        )
    return (
        jnp.broadcast_to(templates, images.shape),
        jnp.broadcast_to(places, (batch, count, 2)),
    )


def _check_shape(name: str, shape, each, shared) -> None:
    if shape not in (each, shared):
        raise ValueError(f"{name} must be of shape {each} or {shared}, got {shape}.")


def _check_settings(norm: str, fractions: tuple[float, ...]) -> None:
    validation.check_choice("norm", norm, threat_models.NORMS)
    if not fractions:
        raise ValueError("fractions must hold at least one number, got none.")
    for fraction in fractions:
        validation.check_positive("fractions", fraction)
