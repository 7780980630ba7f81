"""What a check of an evaluation says: a status, one sentence, and the numbers."""

import dataclasses
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import numpy as np

Status = Literal["pass", "fail", "not_run"]


class Verdict(NamedTuple):
    """Outcome of a check, before it is known of which arm.

    Attributes:
        status: "pass", "fail" or "not_run".
        sentence: What was found, with its numbers, or why nothing was.
        evidence: Numbers, strings, and lists and dicts of them; no NaN.

    Examples:
        >>> from wbad_jax.evaluation import Verdict
        >>> Verdict("fail", "An attack is too weak.", {"n": 3}).status
        'fail'
    """

    status: Status
    sentence: str
    evidence: dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckResult:
    """One line of `checks.json`.

    Attributes:
        id: "C1" to "C23", or a short name.
        title: What is checked, in a few words.
        arm: Classifier; None for what concerns all.
        status: "pass", "fail" or "not_run".
        sentence: As in `Verdict`.
        evidence: As in `Verdict`.

    Examples:
        >>> from wbad_jax.evaluation import Verdict, collect
        >>> results = collect("wbad", [("C1", Verdict("pass", "It holds.", {}))])
        >>> results[0].arm, results[0].id
        ('wbad', 'C2')
    """

    id: str
    title: str
    arm: str | None
    status: Status
    sentence: str
    evidence: dict[str, Any]


def verdict(holds: bool, good: str, bad: str, **evidence: Any) -> Verdict:
    """A pass with the sentence `good`, or a fail with `bad`."""
    status = "pass" if holds else "fail"
    return Verdict(status, good if holds else bad, plain(evidence))


def not_run(reason: str, **evidence: Any) -> Verdict:
    """No verdict, and why."""
    return Verdict("not_run", reason, plain(evidence))


def combine(verdicts: Iterable[Verdict]) -> Verdict:
    """One verdict of several on the same question: the worst of those that ran."""
    verdicts = list(verdicts)
    order: tuple[Status, ...] = ("fail", "pass", "not_run")
    status: Status = next(s for s in order if any(v.status == s for v in verdicts))
    told = [v.sentence for v in verdicts if v.status == status]
    evidence: dict[str, Any] = {}
    for each in verdicts:
        evidence |= each.evidence
    return Verdict(status, " ".join(dict.fromkeys(told)), evidence)


def too_many(count: int, n: int, tolerance: float) -> bool:
    """Whether `count` of `n` is above a rate, and more than one: one may be rounding.

    Args:
        count: Examples that contradict.
        n: Examples looked at.
        tolerance: Rate that is allowed.
    """
    return count > max(1.0, tolerance * n)


def plain(value: Any) -> Any:
    """What JSON can hold: no arrays, and None for numbers that are not finite."""
    if isinstance(value, dict):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | np.ndarray):
        items = value.tolist() if isinstance(value, np.ndarray) else value
        return [plain(inner) for inner in items]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
