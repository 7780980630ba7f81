"""An attack on classifier and detector with the signature that all attacks share."""

import dataclasses
from collections.abc import Mapping

from wbad_jax.attacks import AttackResult, DetectorAwarePGD, threat_models
from wbad_jax.types import Images, Key, Labels, LogitsFn


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evasion:
    """`DetectorAwarePGD` with the signature of all attacks.

    The function it attacks returns logits and, as one more column, the score less its
    limit: an image is flagged where that is above 0, in whatever unit logits are.

    Attributes:
        attack: The attack on classifier and detector.

    Examples:
        >>> from wbad_jax.attacks import DetectorAwarePGD
        >>> from wbad_jax.evaluation import Evasion
        >>> Evasion(attack=DetectorAwarePGD(num_steps=10)).norm
        'linf'
    """

    attack: DetectorAwarePGD

    @property
    def norm(self) -> threat_models.Norm:
        """Of the ball."""
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
        """Searches the ball for a misclassified image that is not flagged.

        Args:
            logits_fn: Images to `[batch, classes + 1]`, see above.
            key: As in `DetectorAwarePGD`, like all that follows.
            images: To attack.
            labels: True classes.
            epsilon: Radius in pixel units.
            bounds: Smallest and largest pixel value.
            mask: Where pixels may change.
            surrogates: Of the same columns; the last is not used.

        Returns:
            As of `DetectorAwarePGD`.
        """

        def classifier(outputs_fn: LogitsFn) -> LogitsFn:
            return lambda x: outputs_fn(x)[:, :-1]

        others = {name: classifier(fn) for name, fn in (surrogates or {}).items()}
        return self.attack(
            classifier(logits_fn), key, images, labels,
            epsilon=epsilon, bounds=bounds, mask=mask, surrogates=others or None,
            score_fn=lambda x: logits_fn(x)[:, -1], score_limit=0.0,
        )  # fmt: skip
