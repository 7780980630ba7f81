"""What happened to each example under each condition.

An `Outcome` is one condition (arm, protocol, attack, epsilon) with the logits of every
example. All numbers in a report follow from outcomes; `outcome_files.py` keeps them.
"""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from wbad_jax.evaluation.metrics import margins


@dataclasses.dataclass(frozen=True, kw_only=True)
class Condition:
    """Under what circumstances logits were computed.

    Attributes:
        arm: Classifier, such as "undefended" or "wbad".
        set: Examples, such as "test" or "test_pairs".
        protocol: "clean", "graybox" or "adaptive".
        attack: "none", an attack's name, or "worst_case".
        norm: "linf", "l2", or None for clean.
        epsilon: Radius in pixel units, or None for clean.
        seed: Seed of the run.
        surrogate: Where graybox perturbations were made; None for other protocols.

    Examples:
        >>> clean.condition.protocol, attacked.condition.epsilon  # see `Outcome`
        ('clean', 0.01)
    """

    arm: str
    set: str
    protocol: str
    attack: str
    norm: str | None
    epsilon: float | None
    seed: int
    surrogate: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """Logits of every example under one condition.

    Attributes:
        condition: The circumstances.
        example_ids: `[n]` strings.
        patient_ids: `[n]` integers.
        labels: `[n]` integers.
        logits: `[n, classes]`.
        distance: `[n]`, norm of the perturbation in pixel units; 0 for clean.
        seconds: Wall time spent.
        attacked: `[n]`, whether the attack was run on the example; all if None. Where
            it was not, logits and distance are those of an attack before it.
        folds: `[n]` integers, whose classifier of a cross-validation it was; None where
            there is one. See `pool`.

    Examples:
        >>> import dataclasses
        >>> import numpy as np
        >>> from wbad_jax.evaluation import Condition, Outcome
        >>> told = dict(arm="wbad", set="test", seed=0)
        >>> none = dict(protocol="clean", attack="none", norm=None, epsilon=None)
        >>> pgd = dict(protocol="adaptive", attack="pgd", norm="linf", epsilon=0.01)
        >>> clean = Outcome(
        ...     condition=Condition(**told, **none), seconds=1.0,
        ...     example_ids=np.array(["a", "b", "c", "d"]), patient_ids=np.arange(4),
        ...     labels=np.array([0, 0, 1, 1]), distance=np.zeros(4),
        ...     logits=np.array([[2.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 2.0]]),
        ... )
        >>> attacked = dataclasses.replace(
        ...     clean, condition=Condition(**told, **pgd), distance=np.full(4, 0.01),
        ...     logits=np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]),
        ... )
        >>> attacked.correct.tolist(), clean.margin.tolist()
        ([True, False, False, True], [2.0, 1.0, 1.0, 2.0])
    """

    condition: Condition
    example_ids: np.ndarray
    patient_ids: np.ndarray
    labels: np.ndarray
    logits: np.ndarray
    distance: np.ndarray
    seconds: float
    attacked: np.ndarray = dataclasses.field(default=None)  # pyright: ignore

    def __post_init__(self):
        if self.attacked is None:
            object.__setattr__(self, "attacked", np.ones(len(self.labels), bool))

    @property
    def evaluated_on(self) -> int:
        """Number of examples that the attack was run on."""
        return int(self.attacked.sum())

    folds: np.ndarray | None = None

    @property
    def fold_of_example(self) -> np.ndarray:
        """`folds`, or 0 for all, `[n]`."""
        if self.folds is None:
            return np.zeros(len(self.labels), np.int32)
        return self.folds

    @property
    def correct(self) -> np.ndarray:
        """Whether the decision is right, `[n]`."""
        return np.argmax(self.logits, axis=-1) == self.labels

    @property
    def margin(self) -> np.ndarray:
        """True logit minus the largest other, `[n]`."""
        return margins(self.logits, self.labels)


def worst_case(outcomes: Sequence[Outcome]) -> Outcome:
    """Per example, the outcome that harms most: wrong before right, then the margin.

    Raises:
        ValueError: If the outcomes are not of the same examples.

    Examples:
        >>> from wbad_jax.evaluation import worst_case
        >>> worst_case([clean, attacked]).correct.tolist()  # see `Outcome`
        [True, False, False, True]
    """
    first = outcomes[0]
    for outcome in outcomes:
        if not np.array_equal(outcome.example_ids, first.example_ids):
            raise ValueError("worst_case needs outcomes of the same examples in order.")
    harm = np.stack([np.where(o.correct, o.margin, -np.inf) for o in outcomes])
    margins = np.stack([o.margin for o in outcomes])
    worst = np.lexsort((margins, harm), axis=0)[0]
    rows = np.arange(len(worst))
    last = outcomes[-1].condition
    return dataclasses.replace(
        first,
        condition=dataclasses.replace(last, attack="worst_case"),
        logits=np.stack([o.logits for o in outcomes])[worst, rows],
        distance=np.stack([o.distance for o in outcomes])[worst, rows],
        seconds=sum(o.seconds for o in outcomes),
        attacked=np.any([o.attacked for o in outcomes], axis=0),
    )


def carry_over(
    before: Outcome,
    condition: Condition,
    rows: np.ndarray,
    *,
    logits: np.ndarray,
    distance: np.ndarray,
    seconds: float,
) -> Outcome:
    """The outcome of an attack on some examples; the others keep what they had.

    Args:
        before: Worst case of all attacks before, on all examples.
        condition: Of the new attack.
        rows: Positions of the `k` examples that it was run on.
        logits: Theirs, `[k, classes]`.
        distance: Theirs, `[k]`.
        seconds: Wall time of the attack.

    Returns:
        An outcome of all examples, of which the `rows` are marked as attacked.

    Examples:
        >>> from wbad_jax.evaluation import carry_over
        >>> new = dict(logits=np.array([[0.0, 3.0]]), distance=np.array([0.01]))
        >>> row, told = np.array([1]), attacked.condition  # see `Outcome`
        >>> later = carry_over(clean, told, row, seconds=1.0, **new)
        >>> later.correct.tolist(), later.attacked.tolist()
        ([True, False, True, True], [False, True, False, False])
    """
    merged = {"logits": before.logits.copy(), "distance": before.distance.copy()}
    merged["logits"][rows], merged["distance"][rows] = logits, distance
    attacked = np.zeros(len(before.labels), bool)
    attacked[rows] = True
    return dataclasses.replace(
        before, condition=condition, seconds=seconds, attacked=attacked, **merged
    )


def within(found: Outcome, clean: Outcome, epsilon: float) -> Outcome:
    """What a minimal-norm attack has broken within a radius.

    Args:
        found: Of the attack, its radius at least `epsilon`.
        clean: Of the images as they are, which stay where nothing closer was found.
        epsilon: In the norm of the attack.

    Examples:
        >>> from wbad_jax.evaluation import within
        >>> within(attacked, clean, epsilon=0.005).correct.tolist()  # see `Outcome`
        [True, True, True, True]
    """
    # The tolerance of an attack's promise to stay in the ball.
    broken = ~found.correct & (found.distance <= epsilon * (1 + 1e-6))
    whole = epsilon == found.condition.epsilon
    return dataclasses.replace(
        found,
        condition=dataclasses.replace(found.condition, epsilon=epsilon),
        logits=np.where(broken[:, None], found.logits, clean.logits),
        distance=np.where(broken, found.distance, 0).astype(np.float32),
        # One search serves all radii; its time counts once.
        seconds=found.seconds if whole else 0.0,
    )


def by_patient(outcome: Outcome) -> Outcome:
    """One example for each patient and label: mean logits over her images.

    An attack has changed each image as it liked. So the mean over the images' worst
    cases is the worst case of the patient, whose images may be attacked in different
    ways: with two classes no mean margin is lower. Distances are means too.

    Examples:
        >>> from wbad_jax.evaluation import by_patient
        >>> twice = dataclasses.replace(clean, patient_ids=np.array([0, 0, 1, 1]))
        >>> by_patient(twice).logits  # see `Outcome`
        array([[1.5, 0. ],
               [0. , 1.5]])
    """
    keys = np.stack([outcome.patient_ids, outcome.labels], axis=1)
    names, first, index, counts = np.unique(
        keys, axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    index = index.reshape(-1)  # NumPy 2.0 gives it another shape

    def mean(values: np.ndarray) -> np.ndarray:
        sums = np.zeros((len(names), *values.shape[1:]))
        np.add.at(sums, index, values)
        return (sums.T / counts).T

    return dataclasses.replace(
        outcome,
        example_ids=np.array([f"patient {p} label {label}" for p, label in names]),
        patient_ids=names[:, 0],
        labels=names[:, 1].astype(outcome.labels.dtype),
        logits=mean(outcome.logits),
        distance=mean(outcome.distance),
        attacked=mean(outcome.attacked) > 0,
        folds=None if outcome.folds is None else outcome.folds[first],
    )


def pool(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Concatenate outcomes of equal condition: the folds of a cross-validation.

    They have to be in order: `folds` numbers them, so that each keeps the threshold of
    its own classifier.

    Examples:
        >>> from wbad_jax.evaluation import pool
        >>> (both,) = pool([clean, clean])  # see `Outcome`: two folds
        >>> len(both.labels), both.folds.tolist()
        (8, [0, 0, 0, 0, 1, 1, 1, 1])
    """
    groups: dict[Condition, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.condition, []).append(outcome)
    return [
        dataclasses.replace(
            group[0],
            example_ids=np.concatenate([o.example_ids for o in group]),
            patient_ids=np.concatenate([o.patient_ids for o in group]),
            labels=np.concatenate([o.labels for o in group]),
            logits=np.concatenate([o.logits for o in group]),
            distance=np.concatenate([o.distance for o in group]),
            seconds=sum(o.seconds for o in group),
            attacked=np.concatenate([o.attacked for o in group]),
            folds=_number(group) if len(group) > 1 else None,
        )
        for group in groups.values()
    ]


def _number(group: Sequence[Outcome]) -> np.ndarray:
    sizes = [len(outcome.labels) for outcome in group]
    return np.repeat(np.arange(len(group), dtype=np.int32), sizes)
