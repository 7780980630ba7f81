"""Transfer: images crafted on other models, judged by the attacked one.

The attacker neither sees the attacked model's gradients nor queries it: its logits only
choose, per example, among the surrogates' images.
"""

import dataclasses
from collections.abc import Mapping

from wbad_jax.attacks import threat_models, validation
from wbad_jax.attacks.pgd import PGD
from wbad_jax.attacks.result import (
    Attack,
    AttackResult,
    better,
    finish,
    judge,
    judge_clean,
)
from wbad_jax.types import Images, Key, Labels, LogitsFn


@dataclasses.dataclass(frozen=True, kw_only=True)
class Transfer:
    """Attacks each surrogate, and keeps the image that harms the attacked model most.

    An inner attack that goes on past the surrogate's boundary transfers best: PGD keeps
    the lowest margin, while a closest or a first success rarely fools another model.

    Attributes:
        attack: Attack on each surrogate; it sees nothing else.

    Reference:
        Papernot, McDaniel and Goodfellow (2016), Transferability in machine learning.

    Examples:
        >>> from wbad_jax.attacks import PGD, Transfer
        >>> Transfer(attack=PGD(num_steps=10)).norm
        'linf'
    """

    attack: Attack = PGD()

    @property
    def norm(self) -> threat_models.Norm:
        """Norm of the inner attack."""
        return self.attack.norm

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
        """Crafts an image on every surrogate and judges each on `logits_fn`.

        Args:
            logits_fn: The attacked model, images to logits `[batch, classes]`.
            key: Key or keys of the inner attack, the same for every surrogate.
            images: `[batch, height, width, channels]`, within `bounds`.
            labels: True classes, `[batch]`.
            epsilon: Radius in pixel units, scalar or `[batch]`.
            bounds: Smallest and largest pixel value, each scalar or `[batch]`.
            mask: Where pixels may change (nonzero); everywhere if None.
            surrogates: The models to craft on, at least one.

        Returns:
            Per example the surrogate's image of lowest margin on `logits_fn`, or the
            clean image if that is misclassified by more.

        Raises:
            ValueError: If there is no surrogate, or an argument breaks the rules above.
        """
        if not surrogates:
            raise ValueError(
                f"surrogates must name at least one model, got {surrogates}."
            )
        images, labels = validation.check_inputs(
            logits_fn, images, labels,
            epsilon=epsilon, bounds=bounds, mask=mask, surrogates=surrogates,
            norm=self.norm,
        )  # fmt: skip
        budget = {"epsilon": epsilon, "bounds": bounds, "mask": mask}
        best = judge_clean(images, logits_fn(images), labels)
        for model in surrogates.values():
            crafted = self.attack(model, key, images, labels, **budget).adversarial
            best = better(judge(crafted, logits_fn(crafted), labels), best)
        return finish(logits_fn, images, best.images, labels, norm=self.norm, **budget)
