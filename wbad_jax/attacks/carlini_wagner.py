"""The Carlini-Wagner L2 attack: the smallest perturbation that changes the class.

It minimizes `||d||^2 + c * max(margin + confidence, 0)` with Adam over w, where the
image is `middle + half * tanh(w)` and so inside the pixel range by construction, and
searches the constant c of every example.

Deviations from the paper's code: abort_early and the search work per example, so that a
result does not depend on the rest of the batch; the distance is measured from the image
itself, not from its 0.999999-scaled copy; the final iterate of a search is judged too.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool

from wbad_jax.attacks import losses, threat_models, validation
from wbad_jax.attacks.minimal_norm import (
    Found,
    Problem,
    ball_result,
    closest_result,
    nothing_found,
    record,
)
from wbad_jax.attacks.result import (
    AttackResult,
    Candidate,
    judge,
    judge_clean,
    select,
)
from wbad_jax.types import Images, Key, Labels, LogitsFn, PerExample

# Keeps arctanh finite for pixels at the ends of the range, as in the paper's code.
_INSIDE = 0.999999
_UNBOUNDED = 1e10  # Upper end of the search for c before any success.


class _Search(NamedTuple):
    """Bisection for the constant c, per example."""

    constant: PerExample
    lower: PerExample
    upper: PerExample


class _Descent(NamedTuple):
    """State of one Adam run; `reached` marks examples with a success in this run."""

    step: Array
    w: Images
    adam: optax.OptState
    active: Bool[Array, " batch"]
    reference: PerExample
    reached: Bool[Array, " batch"]
    found: Found


@dataclasses.dataclass(frozen=True, kw_only=True)
class CarliniWagnerL2:
    """Carlini-Wagner L2 attack: closest adversarial image, or best one in a ball.

    Without `epsilon` a call looks for the closest misclassified image. With it the
    result lies in the L2 ball of that radius. A success found outside the ball, or else
    the iterate of lowest margin, is scaled onto the ball and competes by margin with
    the iterates inside, so a perturbation is returned even for an unbroken example.

    An image on the decision boundary of one model rarely fools another. To transfer
    perturbations use `select="confident"` and a positive `confidence`.

    Attributes:
        num_searches: Values of the constant c that are tried.
        num_steps: Adam steps for each.
        learning_rate: Of Adam, in tanh space. One step moves a mid-range pixel by about
            half of it times the pixel range; distances below the length of such a step
            over all pixels come out a few percent too long.
        initial_const: First value of c, in squared pixels per unit of logits.
        confidence: Margin, in units of logits, by which the wrong class must lead for a
            success to count in the search (kappa).
        abort_early: Whether an example rests for the remainder of a search once its
            loss has not fallen by 1e-4 of itself in a tenth of `num_steps`.
        select: With `epsilon`, which success to return: the "closest", or the most
            "confident" in the ball, which uses all of the radius.

    Reference:
        Carlini and Wagner (2017), Towards evaluating the robustness of neural networks,
        sections V and VI.A, and the authors' code for the defaults.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from wbad_jax.attacks import CarliniWagnerL2
        >>> logits_fn = lambda x: x.mean((1, 2)) @ jnp.array([[-1.0, 1.0]])
        >>> images, labels = jnp.full((1, 4, 4, 1), 0.05), jnp.array([1])
        >>> attack = CarliniWagnerL2(num_searches=2, num_steps=20)
        >>> result = attack(logits_fn, jax.random.key(0), images, labels, epsilon=1.0)
        >>> print(result.success)
        [ True]
    """

    num_searches: int = 9
    num_steps: int = 1000
    learning_rate: float = 0.01
    initial_const: float = 1e-3
    confidence: float = 0.0
    abort_early: bool = True
    select: Literal["closest", "confident"] = "closest"

    def __post_init__(self):
        validation.check_at_least("num_searches", self.num_searches, 1)
        validation.check_at_least("num_steps", self.num_steps, 1)
        validation.check_positive("learning_rate", self.learning_rate)
        validation.check_positive("initial_const", self.initial_const)
        validation.check_at_least("confidence", self.confidence, 0)
        validation.check_choice("select", self.select, ("closest", "confident"))

    @property
    def norm(self) -> threat_models.Norm:
        """Norm of the distance."""
        return "l2"

    def __call__(
        self,
        logits_fn: LogitsFn,
        key: Key,
        images: Images,
        labels: Labels,
        *,
        epsilon: threat_models.Scalars | None = None,
        bounds: threat_models.Bounds = (0.0, 1.0),
        mask: threat_models.Mask = None,
        surrogates: Mapping[str, LogitsFn] | None = None,
    ) -> AttackResult:
        """Searches for a close misclassified image.

        Args:
            logits_fn: The attacked model, images to logits `[batch, classes]`.
            key: Not used; there for the signature that all attacks share.
            images: `[batch, height, width, channels]`, within `bounds`.
            labels: True classes, `[batch]`.
            epsilon: L2 radius in pixel units, scalar or `[batch]`; None for the closest
                misclassified image at any distance.
            bounds: Smallest and largest pixel value, each scalar or `[batch]`.
            mask: Where pixels may change (nonzero); everywhere if None.
            surrogates: More models whose gradients are followed, each in a search of
                its own. Success is judged by `logits_fn`.

        Returns:
            With `epsilon`, images in the ball; the clean image only if that is already
            misclassified. Without, where nothing was found, the clean image with
            success False and an infinite distance.

        Raises:
            ValueError: If an argument breaks the rules above, or for
                `select="confident"` without `epsilon`.
        """
        del key
        if epsilon is None and self.select == "confident":
            raise ValueError("select='confident' needs an epsilon, got None.")
        images, labels = validation.check_inputs(
            logits_fn, images, labels,
            epsilon=epsilon, bounds=bounds, mask=mask, surrogates=surrogates,
            norm=self.norm,
        )  # fmt: skip
        images, epsilon, bounds = jax.lax.stop_gradient((images, epsilon, bounds))
        radius = jnp.asarray(jnp.inf if epsilon is None else epsilon, images.dtype)
        problem = Problem(logits_fn, images, labels, radius, "l2", bounds, mask)
        clean = judge_clean(images, logits_fn(images), labels)
        found = nothing_found(clean, self._is_success(clean))
        for model in (logits_fn, *(surrogates or {}).values()):
            found = self._search(problem, model, found)
        if epsilon is None:
            return closest_result(problem, found)
        return ball_result(problem, found, prefer_closest=self.select == "closest")

    def _is_success(self, candidate: Candidate) -> Bool[Array, " batch"]:
        return candidate.success & (candidate.margin <= -self.confidence)

    def _search(self, problem: Problem, model: LogitsFn, found: Found) -> Found:
        """Bisects c: tenfold until the first success, then halving the interval."""
        c = jnp.full_like(found.distance, self.initial_const)
        state = _Search(c, jnp.zeros_like(c), jnp.full_like(c, _UNBOUNDED))

        def body(index, carry):
            state, found = carry
            constant = state.constant
            if self.num_searches >= 10:  # The paper's code ends with a c that worked.
                last = index == self.num_searches - 1
                constant = jnp.where(last, state.upper, constant)
            reached, found = self._descend(problem, model, constant, found)
            return _next_constant(state, constant, reached), found

        return jax.lax.fori_loop(0, self.num_searches, body, (state, found))[1]

    def _descend(
        self, problem: Problem, model: LogitsFn, constant: PerExample, found: Found
    ) -> tuple[Bool[Array, " batch"], Found]:
        """Runs Adam for one value of c; returns where it succeeded and what it saw."""
        adam = optax.adam(self.learning_rate)
        period = max(self.num_steps // 10, 1)
        gradient_fn = _gradient_fn(problem, model, constant, self.confidence)
        everyone = jnp.ones_like(constant, dtype=bool)

        def proceed(state: _Descent):
            return (state.step < self.num_steps) & jnp.any(state.active)

        def body(state: _Descent) -> _Descent:
            gradient, (loss, candidate) = gradient_fn(state.w)
            # Before the first step the image is the clean one but for rounding.
            state = self._record(problem, state, candidate, counts=state.step > 0)
            active, reference = state.active, state.reference
            if self.abort_early:
                due = state.step % period == 0
                active &= ~(due & (loss > 0.9999 * reference))
                reference = jnp.where(due, loss, reference)
            updates, moments = adam.update(gradient, state.adam)
            w = select(active, optax.apply_updates(state.w, updates), state.w)
            return state._replace(
                step=state.step + 1, w=w, adam=moments,
                active=active, reference=reference,
            )  # fmt: skip

        w = _start(problem)
        state = _Descent(
            jnp.asarray(0), w, adam.init(w), everyone,
            jnp.full_like(constant, jnp.inf), ~everyone, found,
        )  # fmt: skip
        state = jax.lax.while_loop(proceed, body, state)
        final = _image_at(problem, state.w)
        candidate = judge(final, problem.logits_fn(final), problem.labels)
        state = self._record(problem, state, candidate, counts=everyone)
        return state.reached, state.found

    def _record(self, problem: Problem, state: _Descent, candidate, counts):
        """Keeps what is best in a new candidate."""
        success = self._is_success(candidate)
        found = record(problem, state.found, candidate, success, counts)
        return state._replace(found=found, reached=state.reached | success)


def _gradient_fn(
    problem: Problem, model: LogitsFn, constant: PerExample, confidence: float
) -> Callable:
    """Returns the map from w to (gradient, (loss, candidate))."""

    def total(w):
        images = _image_at(problem, w)
        logits = model(images)
        squared = jnp.sum((images - problem.images) ** 2, axis=(1, 2, 3))
        lead = losses.margin(logits, problem.labels).astype(w.dtype) + confidence
        loss = squared + constant * jnp.maximum(lead, 0)
        return jnp.sum(loss), (loss, images, logits)

    def gradient_fn(w):
        gradient, (loss, images, logits) = jax.grad(total, has_aux=True)(w)
        if model is not problem.logits_fn:
            logits = problem.logits_fn(images)
        gradient, loss = jax.lax.stop_gradient((jnp.nan_to_num(gradient), loss))
        return gradient, (loss, judge(images, logits, problem.labels))

    return gradient_fn


def _next_constant(
    state: _Search, constant: PerExample, reached: Bool[Array, " batch"]
) -> _Search:
    upper = jnp.where(reached, jnp.minimum(state.upper, constant), state.upper)
    lower = jnp.where(reached, state.lower, jnp.maximum(state.lower, constant))
    bracketed = upper < _UNBOUNDED
    following = jnp.where(bracketed, (lower + upper) / 2, 10 * constant)
    return _Search(following, lower, upper)


def _image_at(problem: Problem, w: Images) -> Images:
    """The image of a point in tanh space."""
    low, high = _range(problem)
    image = (low + high) / 2 + (high - low) / 2 * jnp.tanh(w)
    if problem.mask is not None:
        image = jnp.where(problem.mask != 0, image, problem.images)
    return jnp.clip(image, low, high)


def _start(problem: Problem) -> Images:
    """The clean image in tanh space, approximately."""
    low, high = _range(problem)
    return jnp.arctanh(_INSIDE * (2 * problem.images - low - high) / (high - low))


def _range(problem: Problem) -> tuple[Array, ...]:
    return tuple(threat_models.per_example(b, problem.images) for b in problem.bounds)
