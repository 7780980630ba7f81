"""Auto-PGD: projected gradient ascent whose steps adapt, with no step size to tune."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from wbad_jax.attacks import apgd_steps, losses, threat_models, validation
from wbad_jax.attacks.ascent import Ball, Oracle, make_oracle
from wbad_jax.attacks.result import (
    AttackResult,
    Candidate,
    Starts,
    better,
    finish,
    judge,
    judge_clean,
    select,
)
from wbad_jax.types import Images, Key, Labels, LogitsFn, PerExample

_INERTIA = 0.25  # Share of the last step that is taken again.
_ENOUGH = 0.75  # Share of the steps between checkpoints that must raise the loss.
# Radii and shares of the steps of the phases with `widened`.
_WIDENED = ((3.0, 0.3), (2.0, 0.3), (1.0, 0.4))


class _Point(NamedTuple):
    """An image with the attack's loss and its gradient there."""

    images: Images
    loss: PerExample
    gradient: Images


class _State(NamedTuple):
    step: Array
    current: _Point
    before: Images
    top: _Point
    progress: apgd_steps.Progress
    best: Candidate


@dataclasses.dataclass(frozen=True, kw_only=True)
class APGD:
    """Auto-PGD with restarts, for Linf, L2 and L1.

    Per example, the steps start at twice the radius (once in L1), and shorten at
    checkpoints where the loss did not progress. Deviations from the authors' code: the
    first window compares with the loss at the start, not with 0; after a return to the
    best point there is no inertia from the point that was left; step control follows
    the attacked model's loss also where gradients come from a surrogate.

    Attributes:
        norm: Norm of the ball, a member of `threat_models.NORMS`.
        num_steps: Gradients per restart.
        restarts: Random starting points.
        loss: Key of `losses.LOSSES`, or of `losses.TARGETED_LOSSES`: then each restart
            tries `num_targets` wrong classes one after another.
        num_targets: How many of the largest wrong logits of the clean image are tried
            with a targeted loss; as many as there are if that is fewer.
        widened: Whether to take the first steps in balls of three times and of twice
            the radius, as the authors do in L1.
        stop_on_success: Whether an example rests with the first success that is found
            on it, and the attack ends when none is left. Success rates are the same;
            margins are not the lowest. Only without `jax.vmap` does that save time.

    Reference:
        Croce and Hein (2020), Reliable evaluation of adversarial robustness with an
        ensemble of diverse parameter-free attacks, algorithm 1; Croce and Hein (2021),
        Mind the box: l1-APGD for sparse adversarial attacks on image classifiers.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from wbad_jax.attacks import APGD
        >>> logits_fn = lambda x: x.mean((1, 2)) @ jnp.array([[-1.0, 1.0]])
        >>> images, labels = jnp.full((1, 4, 4, 1), 0.05), jnp.array([1])
        >>> attack = APGD(num_steps=5)
        >>> attack(logits_fn, jax.random.key(0), images, labels, epsilon=0.1).success
        Array([ True], dtype=bool)
    """

    norm: threat_models.Norm = "linf"
    num_steps: int = 100
    restarts: int = 1
    loss: str = "margin"
    num_targets: int = 9
    widened: bool = False
    stop_on_success: bool = False

    def __post_init__(self):
        validation.check_choice("norm", self.norm, threat_models.NORMS)
        known = losses.LOSSES | losses.TARGETED_LOSSES
        validation.check_choice("loss", self.loss, known)
        for name in ("num_steps", "restarts", "num_targets"):
            validation.check_at_least(name, getattr(self, name), 1)

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
        """Searches the ball for the point of lowest margin.

        Args:
            logits_fn: The attacked model, images to logits `[batch, classes]`.
            key: One typed key for the random starts, or one per example `[batch]`.
            images: `[batch, height, width, channels]`, within `bounds`.
            labels: True classes, `[batch]`.
            epsilon: Radius in pixel units, scalar or `[batch]`.
            bounds: Smallest and largest pixel value, each scalar or `[batch]`.
            mask: Where pixels may change (nonzero); everywhere if None.
            surrogates: More models whose gradients are followed, each in runs of its
                own from the same random starts. Points are judged by `logits_fn`.
            starts: Points to start from in place of random ones, brought into the ball,
                `[starts, batch, height, width, channels]`; such as the results of other
                attacks.

        Returns:
            The point of lowest margin per example.

        Raises:
            ValueError: If an argument breaks the rules above, or the loss needs more
                classes than there are.
        """
        images, labels = validation.check_inputs(
            logits_fn, images, labels,
            epsilon=epsilon, bounds=bounds, mask=mask, surrogates=surrogates,
            norm=self.norm,
        )  # fmt: skip
        ball = Ball(images, self.norm, epsilon, bounds, mask)
        logits = logits_fn(images)
        best = judge_clean(images, logits, labels)
        given = validation.check_starts(starts, images)
        count = self.restarts if given is None else len(given)

        def start_of(run):
            if given is not None:
                return ball.move(given[run] - images)
            return ball.sample(threat_models.fold_in(key, run))

        for model in (logits_fn, *(surrogates or {}).values()):
            search = functools.partial(self._search, logits_fn, model, logits, labels)
            best = search(count, start_of, ball, best)
        return finish(logits_fn, images, best.images, labels, **ball.constraints)

    def _search(self, logits_fn, model, logits, labels, count, start_of, ball, best):
        """Climbs `count` times, and once for each target; returns the best point."""
        targets = losses.largest_wrong(logits, labels, self.num_targets)
        repeats = targets.shape[1] if self.loss in losses.TARGETED_LOSSES else 1

        def attempt(carry):
            run, best = carry
            loss = self._loss(targets[:, run % repeats])
            oracle = make_oracle(logits_fn, model, labels, loss)
            climb = functools.partial(self._climb, logits_fn, oracle, loss)
            return run + 1, self._phases(
                climb, start_of(run // repeats), labels, ball, best
            )

        def proceed(carry):
            run, best = carry
            return (run < count * repeats) & self._goes_on(best)

        return jax.lax.while_loop(proceed, attempt, (jnp.asarray(0), best))[1]

    def _loss(self, targets: Labels) -> losses.LossFn:
        if self.loss in losses.LOSSES:
            return losses.LOSSES[self.loss]
        towards = losses.TARGETED_LOSSES[self.loss]
        return lambda logits, labels: towards(logits, labels, targets)

    def _goes_on(self, best: Candidate) -> Array | bool:
        return ~jnp.all(best.success) if self.stop_on_success else True

    def _phases(
        self, climb, start: Images, labels: Labels, ball: Ball, best: Candidate
    ):
        """Climbs in the ball, after larger ones if `widened`."""
        found = best
        for scale, share in _WIDENED if self.widened else ((1.0, 1.0),):
            wide = ball._replace(epsilon=scale * jnp.asarray(ball.epsilon))
            steps = max(int(share * self.num_steps), 1)
            start = wide.move(start - ball.images)
            start, found = climb(labels, wide, start, steps, best)
        return found  # Of the last phase: points of larger balls do not count.

    def _climb(
        self,
        logits_fn: LogitsFn,
        oracle: Oracle,
        loss: losses.LossFn,
        labels: Labels,
        ball: Ball,
        start: Images,
        num_steps: int,
        best: Candidate,
    ) -> tuple[Images, Candidate]:
        """One ascent; returns its point of highest loss and the best point of all."""
        due, windows = map(jnp.asarray, apgd_steps.checkpoints(self.norm, num_steps))

        def evaluate(images: Images, best: Candidate) -> tuple[_Point, Candidate]:
            logits, gradient = oracle(images)
            best = self._keep(judge(images, logits, labels), best)
            return _Point(images, loss(logits, labels), gradient), best

        def body(state: _State) -> _State:
            moved = _advance(ball, state)
            point, best = evaluate(moved, state.best)
            return _review(ball, state, point, due, windows)._replace(best=best)

        def proceed(state: _State):
            return (state.step < num_steps - 1) & self._goes_on(state.best)

        first, best = evaluate(start, best)
        progress = apgd_steps.start_progress(ball, first.loss)
        state = _State(jnp.asarray(0), first, start, first, progress, best)
        state = jax.lax.while_loop(proceed, body, state)
        last = _advance(ball, state)
        final = judge(last, logits_fn(last), labels)
        return state.top.images, self._keep(final, state.best)

    def _keep(self, challenger: Candidate, best: Candidate) -> Candidate:
        kept = better(challenger, best)
        return select(best.success, best, kept) if self.stop_on_success else kept


def _advance(ball: Ball, state: _State) -> Images:
    """The next point: a step, with inertia but in L1 and at the start."""
    point, progress = state.current, state.progress
    direction = apgd_steps.direction(ball, point.images, point.gradient, progress)
    moved = ball.step(point.images, direction, progress.length)
    if ball.norm == "l1":
        return moved
    inertia = jnp.where(state.step > 0, _INERTIA, 0.0)
    step = (1 - inertia) * (moved - point.images)
    step += inertia * (point.images - state.before)
    return ball.move(point.images - ball.images + step)


def _review(ball: Ball, state: _State, point: _Point, due, windows) -> _State:
    """Takes in a new point, and adapts the steps at a checkpoint."""
    progress = apgd_steps.improved(state.progress, point.loss, state.current.loss)
    top = select(point.loss > state.top.loss, point, state.top)
    if ball.norm == "l1":
        back, adapted = apgd_steps.sparsen(progress, ball, top.images)
    else:
        window = windows[state.step]
        back, adapted = apgd_steps.shorten(progress, top.loss, window, _ENOUGH)
    now = due[state.step]
    progress = jax.tree.map(
        lambda new, old: jnp.where(now, new, old), adapted, progress
    )
    back &= now
    # After a return there is no inertia.
    before = select(back, top.images, state.current.images)
    return _State(
        state.step + 1, select(back, top, point), before, top, progress, state.best
    )
