"""Attacks towards a chosen class."""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from wbad_jax.attacks import threat_models
from wbad_jax.attacks.result import Attack, AttackResult
from wbad_jax.types import Images, Key, Labels, Logits, LogitsFn


def towards(logits_fn: LogitsFn, targets: Labels) -> LogitsFn:
    """Returns two logits: the largest of the unwanted classes, and the wanted one.

    A model of two classes, of which the first is to be left: what makes any attack a
    targeted one.

    Args:
        logits_fn: The attacked model.
        targets: The class wanted for each example, `[batch]`.
    """

    def two_logits(images: Images) -> Logits:
        logits = logits_fn(images)
        wanted = jax.nn.one_hot(targets, logits.shape[-1], dtype=bool)
        target = jnp.sum(jnp.where(wanted, logits, 0), axis=-1)
        others = jnp.max(jnp.where(wanted, -jnp.inf, logits), axis=-1)
        return jnp.stack([others, target], axis=-1)

    return two_logits


@dataclasses.dataclass(frozen=True, kw_only=True)
class Targeted:
    """Any attack, towards a class: the labels of a call are the classes wanted.

    With two classes it is the attack itself on the other label. Missed cancer and false
    alarm are told apart by the labels of the examples.

    Attributes:
        attack: The attack.

    Examples:
        >>> from wbad_jax.attacks import APGD, Targeted
        >>> Targeted(attack=APGD(num_steps=10)).norm
        'linf'
    """

    attack: Attack

    @property
    def norm(self) -> threat_models.Norm:
        """Norm of the attack."""
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
        """Searches for images that are taken for the wanted classes.

        Args:
            logits_fn: The attacked model.
            key: As for the attack.
            images: `[batch, height, width, channels]`, within `bounds`.
            labels: The classes wanted, `[batch]`.
            epsilon: Radius in pixel units, scalar or `[batch]`.
            bounds: Smallest and largest pixel value.
            mask: Where pixels may change; everywhere if None.
            surrogates: More models whose gradients are followed.

        Returns:
            `success` is whether the wanted class was reached, `margin` the largest
            other logit minus the wanted one.

        Raises:
            ValueError: As the attack.
        """
        models = {
            name: towards(model, labels) for name, model in (surrogates or {}).items()
        }
        return self.attack(
            towards(logits_fn, labels), key, images, jnp.zeros_like(labels),
            epsilon=epsilon, bounds=bounds, mask=mask, surrogates=models or None,
        )  # fmt: skip
