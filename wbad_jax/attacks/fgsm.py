"""One-step gradient attacks: FGSM, from the image itself or from a random point."""

import dataclasses
from collections.abc import Mapping

from wbad_jax.attacks import losses, threat_models, validation
from wbad_jax.attacks.ascent import Ball, make_oracle
from wbad_jax.attacks.result import AttackResult, better, finish, judge, judge_clean
from wbad_jax.types import Images, Key, Labels, LogitsFn


@dataclasses.dataclass(frozen=True, kw_only=True)
class FGSM:
    """Fast gradient (sign) method: one step from the image.

    Attributes:
        norm: Norm of the ball, a member of `threat_models.NORMS`.
        loss: Loss to ascend, a key of `losses.LOSSES`.
        step_size: Length of the step as a fraction of epsilon.
        random_start: Whether the step starts at a random point of the ball.

    Reference:
        Goodfellow, Shlens and Szegedy (2015), Explaining and harnessing adversarial
        examples, section 4.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from wbad_jax.attacks import FGSM
        >>> logits_fn = lambda x: x.mean((1, 2)) @ jnp.array([[-1.0, 1.0]])
        >>> images, labels = jnp.full((1, 4, 4, 1), 0.25), jnp.array([1])
        >>> result = FGSM()(logits_fn, jax.random.key(0), images, labels, epsilon=0.125)
        >>> print(result.adversarial[0, 0, 0], result.success, result.distance)
        [0.125] [False] [0.125]
    """

    norm: threat_models.Norm = "linf"
    loss: str = "margin"
    step_size: float = 1.0
    random_start: bool = False

    def __post_init__(self):
        validation.check_norm_and_loss(self.norm, self.loss)
        validation.check_positive("step_size", self.step_size)

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
        """Steps along the gradient of `logits_fn`, and of each surrogate.

        Args:
            logits_fn: The attacked model, images to logits `[batch, classes]`.
            key: One typed key for the random start, or one per example `[batch]`; not
                used without one.
            images: `[batch, height, width, channels]`, within `bounds`.
            labels: True classes, `[batch]`.
            epsilon: Radius in pixel units, scalar or `[batch]`.
            bounds: Smallest and largest pixel value, each scalar or `[batch]`.
            mask: Where pixels may change (nonzero); everywhere if None.
            surrogates: More models to take gradients from. The step is chosen, and
                success judged, by `logits_fn`.

        Returns:
            Per example the step of lowest margin, or the clean image if that is
            misclassified by more.

        Raises:
            ValueError: If an argument breaks the rules above.
        """
        images, labels = validation.check_inputs(
            logits_fn, images, labels,
            epsilon=epsilon, bounds=bounds, mask=mask, surrogates=surrogates,
            norm=self.norm,
        )  # fmt: skip
        ball = Ball(images, self.norm, epsilon, bounds, mask)
        start, best = images, None
        if self.random_start:
            start = ball.sample(key)
            best = judge_clean(images, logits_fn(images), labels)
        for model in (logits_fn, *(surrogates or {}).values()):
            oracle = make_oracle(logits_fn, model, labels, losses.LOSSES[self.loss])
            logits, gradient = oracle(start)
            best = best or judge_clean(images, logits, labels)
            moved = ball.step(start, ball.steepest(gradient, start), self.step_size)
            best = better(judge(moved, logits_fn(moved), labels), best)
        assert best is not None  # The attacked model itself is always in the loop.
        return finish(logits_fn, images, best.images, labels, **ball.constraints)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomStartFGSM(FGSM):
    """FGSM-RS: a step of 1.25 epsilon from a random point of the ball.

    Reference:
        Wong, Rice and Kolter (2020), Fast is better than free: revisiting adversarial
        training, algorithm 3.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from wbad_jax.attacks import RandomStartFGSM
        >>> logits_fn = lambda x: x.mean((1, 2)) @ jnp.array([[-1.0, 1.0]])
        >>> images, labels = jnp.full((1, 4, 4, 1), 0.05), jnp.array([1])
        >>> attack = RandomStartFGSM()
        >>> result = attack(logits_fn, jax.random.key(0), images, labels, epsilon=0.1)
        >>> print(result.success)
        [False]
    """

    step_size: float = 1.25
    random_start: bool = True
