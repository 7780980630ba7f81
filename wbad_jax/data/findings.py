"""What an audit says: one finding a question, with its evidence."""

import dataclasses
from collections.abc import Sequence
from typing import Any

# From the best to the worst; "not_run" says nothing, good or bad.
STATUSES = ("not_run", "pass", "warn", "fail")
# Level of each test, as for all trivial baselines of this library: an audit asks some
# fifteen questions, and a clean data set should pass them all in 98 cases of 100.
ALPHA = 0.001


@dataclasses.dataclass(frozen=True)
class Finding:
    """The answer to one question about a data set.

    Attributes:
        id: Short name of the question, "exact_duplicates".
        title: The question in a few words.
        status: One of `STATUSES`. "fail": results on this data mean something else than
            they seem to. "warn": they may. "not_run": the question could not be asked.
        sentence: The answer, with its numbers.
        evidence: More numbers; what JSON can hold, without NaN.

    Examples:
        >>> from wbad_jax.data import Finding
        >>> Finding("exact_duplicates", "Equal images", "pass", "None.").status
        'pass'
    """

    id: str
    title: str
    status: str
    sentence: str
    evidence: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        if self.status not in STATUSES:
            raise ValueError(f"status must be one of {STATUSES}, got {self.status!r}.")


def worst_status(findings: Sequence[Finding]) -> str:
    """The worst status among findings, "not_run" if there are none.

    Examples:
        >>> from wbad_jax.data import Finding, worst_status
        >>> told = (("a", "pass"), ("b", "warn"))
        >>> found = [Finding(name, name, status, "") for name, status in told]
        >>> worst_status(found)
        'warn'
    """
    return max((f.status for f in findings), key=STATUSES.index, default="not_run")


def some(names: Sequence[Any], most: int = 5) -> str:
    """The first few of many names, "a, b, c and 9 more"."""
    shown = ", ".join(str(name) for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
