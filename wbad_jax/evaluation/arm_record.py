"""What an evaluation has recorded of one arm, ordered for the checks."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from wbad_jax.evaluation.outcomes import Outcome, worst_case

# Names of attacks that take one gradient, and of those that take none of the model.
SINGLE_STEP = ("fgsm", "fgsm_rs")
BLACK_BOX = ("square", "noise", "coarse")
TRANSFER = ("transfer",)
_SHOWN_IDS = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArmRecord:
    """Outcomes and rows of one arm.

    Attributes:
        arm: Name.
        outcomes: Of this arm alone, without worst cases.
        rows: Of `results.json`, of this arm alone; None if there are none yet.
        num_examples: Of each set, as its data set has them.
        threat_model: What the attacker may do: "norms", "epsilon", "epsilon_celsius",
            "bounds", "knowledge", "goal".
        trained_on: Names of the attacks that made its training examples.
        pair_bounds: Highest robust accuracy on "test_pairs" by (norm, epsilon).
        undefended: Record of the arm without any defence, None if there is none.

    Examples:
        >>> from wbad_jax.evaluation import ArmRecord
        >>> record = ArmRecord(arm="wbad", outcomes=[clean, attacked])  # see `Outcome`
        >>> list(record.clean())
        ['test']
    """

    arm: str
    outcomes: Sequence[Outcome]
    rows: Sequence[Mapping[str, Any]] | None = None
    num_examples: Mapping[str, int] = dataclasses.field(default_factory=dict)
    threat_model: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    trained_on: Sequence[str] = ()
    pair_bounds: Mapping[tuple[str, float], float] = dataclasses.field(
        default_factory=dict
    )
    undefended: "ArmRecord | None" = None

    def clean(self) -> dict[str, Outcome]:
        """Outcome on the clean images of each set."""
        return {
            o.condition.set: o for o in self.outcomes if o.condition.protocol == "clean"
        }

    def groups(self) -> "Iterator[Group]":
        """Attacks of equal set, norm and epsilon; of attacked sets with clean ones."""
        clean = self.clean()
        found: dict[tuple, Group] = {}
        for outcome in self.outcomes:
            told = outcome.condition
            if told.protocol == "clean" or not _same(outcome, clean.get(told.set)):
                continue
            key = (told.set, str(told.norm), float(told.epsilon or 0.0))
            if key not in found:
                found[key] = Group(*key, clean[told.set], {}, {})
            kind = found[key].adaptive
            kind = found[key].graybox if told.protocol == "graybox" else kind
            kind[told.attack] = outcome
        yield from (found[key] for key in sorted(found))

    def misplaced(self) -> list[Outcome]:
        """Outcomes that are not of the examples that the clean images are of."""
        clean = self.clean()
        return [o for o in self.outcomes if not _same(o, clean.get(o.condition.set))]

    def one_answer(self) -> int | None:
        """The class that it names whatever happens; None if it names several."""
        named = [
            np.argmax(outcome.logits, axis=-1)
            for outcome in self.outcomes
            if outcome.condition.protocol in ("clean", "adaptive")
        ]
        classes = np.unique(np.concatenate(named)) if named else np.zeros(0)
        return int(classes[0]) if len(classes) == 1 else None


@dataclasses.dataclass(frozen=True)
class Group:
    """Attacks of one arm in the same ball, on the same examples.

    Attributes:
        set: Name of the examples.
        norm: Of the ball.
        epsilon: Its radius.
        clean: Outcome without an attack.
        adaptive: White-box and query attacks, by name.
        graybox: Attacks on a surrogate, by name.
    """

    set: str
    norm: str
    epsilon: float
    clean: Outcome
    adaptive: dict[str, Outcome]
    graybox: dict[str, Outcome]

    @property
    def told(self) -> str:
        """Set and ball, for a sentence."""
        return f"{self.set}, {self.norm}, epsilon {self.epsilon:.5g}"

    def iterative(self) -> dict[str, Outcome]:
        """Adaptive attacks of many steps that follow gradients."""
        others = (*SINGLE_STEP, *BLACK_BOX, *TRANSFER)
        return {name: o for name, o in self.adaptive.items() if name not in others}

    def white_box(self) -> dict[str, Outcome]:
        """Adaptive attacks that follow the model's gradients."""
        others = (*BLACK_BOX, *TRANSFER)
        return {name: o for name, o in self.adaptive.items() if name not in others}

    def black_box(self) -> dict[str, Outcome]:
        """Adaptive attacks that only query the model."""
        return {name: o for name, o in self.adaptive.items() if name in BLACK_BOX}


def withstood(outcomes: Sequence[Outcome]) -> np.ndarray:
    """Examples that are right under all of the outcomes, `[n]`."""
    return np.all([outcome.correct for outcome in outcomes], axis=0)


def worst(group: Group) -> Outcome:
    """Per example the worst of the clean image and all adaptive attacks."""
    return worst_case([group.clean, *group.adaptive.values()])


def was_attacked(outcome: Outcome) -> np.ndarray:
    """Examples that the attack was run on, `[n]`; the others keep what they had."""
    return getattr(outcome, "attacked", np.ones(len(outcome.labels), bool))


def ids_of(outcome: Outcome, chosen: np.ndarray) -> list[str]:
    """The first of the chosen examples, for the evidence."""
    return [str(name) for name in outcome.example_ids[chosen][:_SHOWN_IDS]]


def percent(share: float) -> str:
    """A share for a sentence."""
    return f"{100 * share:.1f} %"


def _same(outcome: Outcome, clean: Outcome | None) -> bool:
    return clean is not None and np.array_equal(outcome.example_ids, clean.example_ids)
