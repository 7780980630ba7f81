"""Projected gradient ascent inside the ball: PGD, BIM and MIM.

They keep, per example, the misclassified point of lowest margin among all they visit,
judged by the attacked model, unless told to keep the last one. A clean image that is
already misclassified is one of these points. Settings are static; epsilon and bounds
may be traced.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Literal

import jax
import jax.numpy as jnp

from wbad_jax.attacks import losses, threat_models, validation
from wbad_jax.attacks.ascent import Ball, Oracle, make_optimizer, make_oracle
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
from wbad_jax.types import Images, Key, Labels, LogitsFn

Start = Literal["fgsm", "random", "clean"]
# Share of the first step's length at a share t of the steps.
_SCHEDULES: dict[str, Callable] = {
    "constant": lambda t: 1.0,
    "linear": lambda t: 1 - t,
    "cosine": lambda t: 0.5 * (1 + jnp.cos(jnp.pi * t)),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PGD:
    """Projected gradient descent with restarts, keeping the best point of all steps.

    With `start="fgsm"` the attack visits the FGSM point of the same norm and loss, so
    it is never weaker than FGSM on any example. More restarts are never weaker than
    fewer under the same key.

    Attributes:
        norm: Norm of the ball, a member of `threat_models.NORMS`.
        num_steps: Gradient steps per restart.
        restarts: Number of starting points.
        step_size: Step length as a fraction of epsilon; `2.5 / num_steps` if None.
        loss: Loss to ascend, a key of `losses.LOSSES`.
        start: Where the first restart starts: at the FGSM point, which takes one more
            gradient, at a "random" point or at the "clean" image. The others start at
            random points.
        momentum: Decay of the sum of L1-normalised gradients; 0 for none.
        schedule: How steps shorten: "constant", "linear" or "cosine", to 0.
        optimizer: "steepest" or "adam".
        keep: "best" of all points, or the "last" one of each restart, as in the paper.
            The latter, with one restart, takes two forward passes less and suits
            training; it can be weaker than FGSM.
        stop_on_success: Keeps the first misclassified point of each example, and ends
            when every example has one: as many successes as without, of higher margin,
            for fewer gradients. What an example gets does not depend on its neighbours.

    Reference:
        Madry et al. (2018), Towards deep learning models resistant to adversarial
        attacks, section 2.1. The default step size is that of their appendix on
        CIFAR10 and of later L2 work: the ball's radius can be crossed 2.5 times.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from wbad_jax.attacks import PGD
        >>> logits_fn = lambda x: x.mean((1, 2)) @ jnp.array([[-1.0, 1.0]])
        >>> images, labels = jnp.full((1, 4, 4, 1), 0.25), jnp.array([1])
        >>> attack = PGD(num_steps=5)
        >>> result = attack(logits_fn, jax.random.key(0), images, labels, epsilon=0.125)
        >>> print(result.distance, result.margin.round(3))
        [0.125] [0.25]
    """

    norm: threat_models.Norm = "linf"
    num_steps: int = 40
    restarts: int = 1
    step_size: float | None = None
    loss: str = "margin"
    start: Start = "fgsm"
    momentum: float = 0.0
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    optimizer: Literal["steepest", "adam"] = "steepest"
    keep: Literal["best", "last"] = "best"
    stop_on_success: bool = False

    def __post_init__(self):
        validation.check_norm_and_loss(self.norm, self.loss)
        validation.check_at_least("num_steps", self.num_steps, 1)
        validation.check_at_least("restarts", self.restarts, 1)
        if self.step_size is not None:
            validation.check_positive("step_size", self.step_size)
        validation.check_choice("start", self.start, ("fgsm", "random", "clean"))
        validation.check_at_least("momentum", self.momentum, 0)
        validation.check_choice("schedule", self.schedule, _SCHEDULES)
        validation.check_choice("optimizer", self.optimizer, ("steepest", "adam"))
        validation.check_choice("keep", self.keep, ("best", "last"))
        if self.stop_on_success and self.keep == "last":
            raise ValueError("keep must be 'best' with stop_on_success, got 'last'.")
        if self.optimizer == "adam" and self.momentum:
            raise ValueError(
                f"momentum must be 0 with optimizer='adam', got {self.momentum}."
            )

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
            starts: Points to start from in place of its own, brought into the ball,
                `[starts, batch, height, width, channels]`; such as the results of other
                attacks.

        Returns:
            The point of lowest margin per example.

        Raises:
            ValueError: If an argument breaks the rules above.
        """
        images, labels = validation.check_inputs(
            logits_fn, images, labels,
            epsilon=epsilon, bounds=bounds, mask=mask, surrogates=surrogates,
            norm=self.norm,
        )  # fmt: skip
        ball = Ball(images, self.norm, epsilon, bounds, mask)
        given = validation.check_starts(starts, images)
        count = self.restarts if given is None else len(given)
        best = None
        if self.keep == "best":
            best = judge_clean(images, logits_fn(images), labels)
        for model in (logits_fn, *(surrogates or {}).values()):
            oracle = make_oracle(logits_fn, model, labels, losses.LOSSES[self.loss])
            if given is None:
                start = self._starts(key, ball, oracle)
            else:
                start = lambda run: ball.move(given[run] - images)  # noqa: E731
            best = self._climb(logits_fn, oracle, ball, count, start, labels, best)
        assert best is not None
        return finish(logits_fn, images, best.images, labels, **ball.constraints)

    @property
    def _default_step(self) -> float:
        """Radii that the steps can cross together."""
        return 2.5

    def _starts(self, key: Key, ball: Ball, oracle: Oracle) -> Callable:
        """Returns the map from a restart's number to its first images."""
        first = ball.images
        if self.start == "fgsm":
            first = ball.step(first, ball.steepest(oracle(first)[1], first), 1.0)

        def start(restart) -> Images:
            if self.start != "random" and self.restarts == 1:
                return first
            drawn = ball.sample(threat_models.fold_in(key, restart))
            if self.start == "random":
                return drawn
            return jnp.where(restart == 0, first, drawn)

        return start

    def _climb(
        self,
        logits_fn: LogitsFn,
        oracle: Oracle,
        ball: Ball,
        count: int,
        start: Callable[[jax.Array], Images],
        labels: Labels,
        best: Candidate | None,
    ) -> Candidate:
        """Follows one model's gradients from every start; `best` is None at first."""
        length = self.step_size or self._default_step / self.num_steps
        optimizer = make_optimizer(self.optimizer, self.momentum, ball)
        schedule = _SCHEDULES[self.schedule]

        def ascend(index, carry):
            current, state, best = carry
            logits, gradient = oracle(current)
            if self.keep == "best":
                best = self._keep(judge(current, logits, labels), best)
            direction, state = optimizer.update(gradient, current, state)
            stride = length * schedule(index / self.num_steps)
            return ball.step(current, direction, stride), state, best

        def run(restart, carry):
            current = start(restart)
            carry = (current, optimizer.init(current), *carry)
            current, _, best = self._loop(self.num_steps, ascend, carry)
            return (self._keep(judge(current, logits_fn(current), labels), best),)

        if best is None:
            # Not in the loop: where nobody asks how it is judged, nothing is computed.
            first = run(jnp.int32(0), (None,))
            return (first if count == 1 else jax.lax.fori_loop(1, count, run, first))[0]
        return self._loop(count, run, (best,))[0]

    def _keep(self, challenger: Candidate, best: Candidate | None) -> Candidate:
        if best is None:
            return challenger
        kept = better(challenger, best)
        return select(best.success, best, kept) if self.stop_on_success else kept

    def _loop(self, count: int, body: Callable, carry: tuple) -> tuple:
        """`lax.fori_loop`; it may end early. The best points stand last in `carry`."""
        if not self.stop_on_success:
            return jax.lax.fori_loop(0, count, body, carry)

        def proceed(state):
            index, (*_, best) = state
            return (index < count) & ~jnp.all(best.success)

        def advance(state):
            index, carry = state
            return index + 1, body(index, carry)

        return jax.lax.while_loop(proceed, advance, (jnp.asarray(0), carry))[1]


@dataclasses.dataclass(frozen=True, kw_only=True)
class BIM(PGD):
    """Basic iterative method: PGD from the clean image in `num_steps` equal steps.

    `step_size` is `1 / num_steps` of epsilon if None, so that the last step can just
    reach the ball's edge.

    Reference:
        Kurakin, Goodfellow and Bengio (2017), Adversarial examples in the physical
        world, section 2.2.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from wbad_jax.attacks import BIM
        >>> logits_fn = lambda x: x.mean((1, 2)) @ jnp.array([[-1.0, 1.0]])
        >>> images, labels = jnp.full((1, 4, 4, 1), 0.05), jnp.array([1])
        >>> attack = BIM(num_steps=3)
        >>> result = attack(logits_fn, jax.random.key(0), images, labels, epsilon=0.1)
        >>> print(result.success)
        [ True]
    """

    num_steps: int = 10
    start: Start = "clean"

    @property
    def _default_step(self) -> float:
        return 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class MIM(BIM):
    """Momentum iterative method: BIM along the sum of L1-normalised gradients.

    Reference:
        Dong et al. (2018), Boosting adversarial attacks with momentum, algorithm 1.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from wbad_jax.attacks import MIM
        >>> logits_fn = lambda x: x.mean((1, 2)) @ jnp.array([[-1.0, 1.0]])
        >>> images, labels = jnp.full((1, 4, 4, 1), 0.05), jnp.array([1])
        >>> attack = MIM(num_steps=3)
        >>> result = attack(logits_fn, jax.random.key(0), images, labels, epsilon=0.1)
        >>> print(result.success)
        [ True]
    """

    momentum: float = 1.0
