"""AutoAttack: a fixed set of attacks, one after another, on what is still robust.

For three and more classes it is the published one. Two classes, where its ratios of
logits are not defined and its targets repeat each other, have a suite of their own.
"""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

import jax
import jax.numpy as jnp

from wbad_jax.attacks import threat_models, validation
from wbad_jax.attacks.apgd import APGD
from wbad_jax.attacks.fab import FAB
from wbad_jax.attacks.fmn import FMN
from wbad_jax.attacks.pgd import PGD
from wbad_jax.attacks.result import Attack, AttackResult, judge_clean, select
from wbad_jax.attacks.square import Square
from wbad_jax.attacks.subband import SubbandPGD
from wbad_jax.types import Images, Key, Labels, LogitsFn


def standard_suite(norm: threat_models.Norm, classes: int) -> Mapping[str, Attack]:
    """The published suite: APGD, targeted APGD, targeted FAB and Square.

    Args:
        norm: Norm of the ball.
        classes: At least 3. With three the ratio of four logits gives way to the
            margin.

    Reference:
        Croce and Hein (2020), Reliable evaluation of adversarial robustness with an
        ensemble of diverse parameter-free attacks, section 5; Croce and Hein (2021),
        Mind the box, section 5, for L1, without FAB and Square, which have no L1 form
        here.
    """
    targeted = "targeted_dlr" if classes > 3 else "targeted_margin"
    stop = {"norm": norm, "stop_on_success": True}
    if norm == "l1":
        return {
            "apgd": APGD(**stop, loss="cross_entropy", restarts=5, widened=True),
            "apgd_targeted": APGD(**stop, loss=targeted, num_targets=5, widened=True),
        }
    return {
        "apgd": APGD(**stop, loss="cross_entropy"),
        "apgd_targeted": APGD(**stop, loss=targeted),
        "fab_targeted": FAB(norm=norm, num_targets=9),
        "square": Square(norm=norm, rescale_schedule=False),
    }


def binary_suite(norm: threat_models.Norm) -> Mapping[str, Attack]:
    """For two classes: APGD on the margin, FAB, FMN, the coarsest bands, Square.

    Cross-entropy, ratios and targets add nothing to the margin there, see
    `wbad_jax.attacks.losses`. What adds is other geometry (FAB, FMN), other directions
    (an approximation band passes a soft threshold untouched) and no gradient at all.

    Args:
        norm: Norm of the ball.
    """
    apgd = APGD(norm=norm, widened=norm == "l1", stop_on_success=True)
    # Restarts as attacks of their own: what one breaks, the next need not try.
    restarts = {"apgd": apgd} | {f"apgd_{number}": apgd for number in range(2, 6)}
    if norm == "l1":
        return restarts | {"fmn": FMN(norm=norm), "pgd": PGD(norm=norm, restarts=5)}
    return restarts | {
        "fab": FAB(norm=norm, restarts=5),
        "fmn": FMN(norm=norm),
        "subband": SubbandPGD(norm=norm, num_steps=100),
        "square": Square(norm=norm, rescale_schedule=False),
    }


# Attacks of the suites here that follow surrogates as well; the others would cost as
# many times more as there are models, for little beside these.
_FOLLOW_SURROGATES = ("apgd", "subband")


@dataclasses.dataclass(frozen=True, kw_only=True)
class AutoAttack:
    """All attacks of a suite on one batch; the first success on an example is kept.

    Once every example is broken, the attacks that are left are skipped. For a data set
    `CompiledSuite` is faster: it gathers the examples that are still robust.

    Attributes:
        norm: Norm of the ball.
        attacks: Names and attacks, in order; the standard suite for three and more
            classes, or the binary one for two, if empty. All of these follow surrogates
            where there are any, of the two suites only the first APGD and the attack
            confined to subbands.

    Reference:
        Croce and Hein (2020), section 5.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from wbad_jax.attacks import PGD, AutoAttack
        >>> logits_fn = lambda x: x.mean((1, 2)) @ jnp.array([[-1.0, 1.0]])
        >>> images, labels = jnp.full((1, 4, 4, 1), 0.05), jnp.array([1])
        >>> attack = AutoAttack(attacks=(("pgd", PGD(num_steps=3)),))
        >>> result = attack(logits_fn, jax.random.key(0), images, labels, epsilon=0.1)
        >>> print(result.success)
        [ True]
    """

    norm: threat_models.Norm = "linf"
    attacks: tuple[tuple[str, Attack], ...] = ()

    def __post_init__(self):
        validation.check_choice("norm", self.norm, threat_models.NORMS)
        for name, attack in self.attacks:
            if attack.norm != self.norm:
                raise ValueError(
                    f"all attacks must have the norm {self.norm!r}, but {name} has "
                    f"{attack.norm!r}."
                )

    def suite(self, classes: int) -> Mapping[str, Attack]:
        """The attacks for a number of classes, in order."""
        if self.attacks:
            return MappingProxyType(dict(self.attacks))
        if classes == 2:
            return binary_suite(self.norm)
        return standard_suite(self.norm, classes)

    def follows_surrogates(self, name: str) -> bool:
        """Whether the named attack of the suite takes gradients of surrogates too."""
        return bool(self.attacks) or name in _FOLLOW_SURROGATES

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
        """Runs the suite.

        Args:
            logits_fn: The attacked model, images to logits `[batch, classes]`.
            key: One typed key, or one per example `[batch]`.
            images: `[batch, height, width, channels]`, within `bounds`.
            labels: True classes, `[batch]`.
            epsilon: Radius in pixel units, scalar or `[batch]`.
            bounds: Smallest and largest pixel value.
            mask: Where pixels may change; everywhere if None.
            surrogates: More models whose gradients are followed, see `attacks`.

        Returns:
            Per example the first success; without one the point of lowest margin.

        Raises:
            ValueError: If an argument breaks the rules above.
        """
        images, labels = validation.check_inputs(
            logits_fn, images, labels,
            epsilon=epsilon, bounds=bounds, mask=mask, surrogates=surrogates,
            norm=self.norm,
        )  # fmt: skip
        classes = jax.eval_shape(logits_fn, images).shape[-1]
        clean = judge_clean(images, logits_fn(images), labels)
        best = AttackResult(
            images, clean.success, clean.margin, jnp.zeros_like(clean.margin)
        )
        for number, (name, attack) in enumerate(self.suite(classes).items()):
            models = surrogates if self.follows_surrogates(name) else None
            own_key = threat_models.fold_in(key, number)

            def run(best, attack=attack, own_key=own_key, models=models):
                found = attack(
                    logits_fn, own_key, images, labels, epsilon=epsilon, bounds=bounds,
                    mask=mask, surrogates=models,
                )  # fmt: skip
                return first_success(best, found)

            broken = jnp.all(best.success)
            best = jax.lax.cond(broken, lambda best: best, run, best)
        return jax.lax.stop_gradient(best)


def first_success(before: AttackResult, found: AttackResult) -> AttackResult:
    """Keeps an earlier success; before there is one, the lower margin."""
    taken = ~before.success & (found.success | (found.margin < before.margin))
    return select(taken, found, before)
