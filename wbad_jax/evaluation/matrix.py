"""Which examples are right under which attack at which radius, as one array."""

import dataclasses
from collections.abc import Iterable

import numpy as np

from wbad_jax.evaluation.outcomes import Outcome


@dataclasses.dataclass(frozen=True, kw_only=True)
class CorrectMatrix:
    """Decisions of one classifier under one protocol and norm.

    Attributes:
        attacks: Names; "none" is first.
        epsilons: Radii in pixel units, ascending; the first is 0, the clean images.
        example_ids: `[examples]` strings.
        correct: `[attacks, epsilons, examples]`, True also where nothing was run.
        evaluated: `[attacks, epsilons]`, whether the attack was run at that radius.

    Examples:
        >>> from wbad_jax.evaluation import correct_matrix
        >>> correct_matrix([clean, attacked]).robust_accuracy  # see `Outcome`
        array([1. , 0.5])
    """

    attacks: tuple[str, ...]
    epsilons: np.ndarray
    example_ids: np.ndarray
    correct: np.ndarray
    evaluated: np.ndarray

    @property
    def worst(self) -> np.ndarray:
        """Whether no attack at this radius or a smaller one works, `[epsilons, n]`.

        A perturbation inside a ball is inside every larger one.
        """
        return np.logical_and.accumulate(self.correct.all(axis=0), axis=0)

    @property
    def robust_accuracy(self) -> np.ndarray:
        """Share of examples that are right in the worst case, `[epsilons]`."""
        return self.worst.mean(axis=-1)


def correct_matrix(outcomes: Iterable[Outcome]) -> CorrectMatrix:
    """Arrange outcomes by attack and radius.

    Args:
        outcomes: Of one arm, set, protocol other than "clean", norm and surrogate, with
            the clean one of that arm and set. Worst cases, which follow from the
            others, are left out.

    Raises:
        ValueError: If they are of several arms, sets, protocols, norms or surrogates,
            of other examples, or the clean one is missing.

    Examples:
        >>> from wbad_jax.evaluation import correct_matrix
        >>> matrix = correct_matrix([clean, attacked])  # see `Outcome`
        >>> matrix.attacks, matrix.correct.shape
        (('none', 'pgd'), (2, 2, 4))
    """
    outcomes = [o for o in outcomes if o.condition.attack != "worst_case"]
    clean = [o for o in outcomes if o.condition.protocol == "clean"]
    attacked = [o for o in outcomes if o.condition.protocol != "clean"]
    for field in ("arm", "set", "protocol", "norm"):
        among = attacked if field in ("protocol", "norm") else outcomes
        values = {getattr(o.condition, field) for o in among}
        if len(values) > 1:
            raise ValueError(f"correct_matrix needs one {field}, got {sorted(values)}.")
    if len(clean) != 1:
        raise ValueError(f"correct_matrix needs one clean outcome, got {len(clean)}.")
    names = ["none", *dict.fromkeys(o.condition.attack for o in attacked)]
    radii = [0.0, *sorted({float(o.condition.epsilon or 0) for o in attacked})]
    n = len(clean[0].labels)
    correct = np.ones((len(names), len(radii), n), bool)
    evaluated = np.zeros((len(names), len(radii)), bool)
    for outcome in outcomes:
        if not np.array_equal(outcome.example_ids, clean[0].example_ids):
            raise ValueError("correct_matrix needs the same examples in one order.")
        place = (
            names.index(outcome.condition.attack),
            radii.index(float(outcome.condition.epsilon or 0)),
        )
        if evaluated[place]:
            raise ValueError(f"correct_matrix got {outcome.condition} twice.")
        correct[place], evaluated[place] = outcome.correct, True
    return CorrectMatrix(
        attacks=tuple(names),
        epsilons=np.array(radii),
        example_ids=clean[0].example_ids,
        correct=correct,
        evaluated=evaluated,
    )
