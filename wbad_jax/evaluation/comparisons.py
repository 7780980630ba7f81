"""Is one classifier better than another? Paired comparisons on the same patients.

Two fixed classifiers with one image a patient are compared by McNemar's test. Where
patients have several images, or scores are means over seeds, the signs of the patients'
differences are flipped at random. Intervals draw patients anew.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy
from jaxtyping import Bool, Float, Int

from wbad_jax.evaluation.intervals import (
    bootstrap_interval,
    sums_by_patient,
    wilson_interval,
)
from wbad_jax.evaluation.outcomes import Condition, Outcome

_FLIPS = 2000


def mcnemar(first: Bool[np.ndarray, " n"], second: Bool[np.ndarray, " n"]) -> float:
    """Exact two-sided p-value that two classifiers are right equally often.

    Args:
        first: Whether one is right, of each patient.
        second: Whether the other is.

    Reference:
        McNemar (1947), Psychometrika 12(2), with the binomial law in place of its
        approximation.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.evaluation import mcnemar
        >>> mcnemar(np.array([True] * 5), np.array([False] * 5))
        0.0625
    """
    first, second = np.asarray(first, bool), np.asarray(second, bool)
    only_first, only_second = int(np.sum(first & ~second)), int(np.sum(second & ~first))
    discordant = only_first + only_second
    if not discordant:
        return 1.0
    return float(scipy.stats.binomtest(only_first, discordant).pvalue)


def sign_flip(sums: Float[np.ndarray, " patients"]) -> float:
    """Two-sided p-value of a total, by 2,000 random draws of the patients' signs.

    Args:
        sums: Difference of each patient, such as of her mean over seeds.

    Returns:
        Share of the draws with a total as far from 0, itself counted in.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.evaluation import sign_flip
        >>> round(sign_flip(np.array([1.0, 1.0, 1.0])), 2)
        0.25
    """
    sums = sums[sums != 0]
    signs = np.random.default_rng(0).choice((-1.0, 1.0), (_FLIPS, len(sums)))
    far = np.abs(signs @ sums) >= np.abs(sums.sum()) - 1e-9
    return float((1 + far.sum()) / (1 + _FLIPS))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number, in the same order.

    Reference:
        Holm (1979), A simple sequentially rejective multiple test procedure,
        Scandinavian Journal of Statistics 6(2).

    Examples:
        >>> from wbad_jax.evaluation import holm
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


def paired_interval(
    change: Float[np.ndarray, " n"], patient_ids: Int[np.ndarray, " n"]
) -> tuple[float, float]:
    """Interval of the mean difference of two classifiers, patients drawn anew.

    Args:
        change: Difference of each example.
        patient_ids: To whom the examples belong.

    Returns:
        Both ends. Where no patient differs the next one may, either way: then they are
        Wilson's bound for none among as many patients.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.evaluation import paired_interval
        >>> low, high = paired_interval(np.array([0.0, 1.0, 1.0, 0.0]), np.arange(4))
        >>> low < 0.5 < high
        True
    """
    if np.any(change):
        return bootstrap_interval(change, patient_ids)
    high = wilson_interval(0, len(np.unique(patient_ids)))[1]
    return -high, high


def compare(own: Outcome, reference: Outcome) -> dict[str, Any]:
    """Difference of the accuracies of two fixed classifiers under one condition.

    Args:
        own: Of the classifier.
        reference: Of the one it is compared with; of the same examples.

    Returns:
        `difference`, its `ci_low` and `ci_high`, `p_value`, the `test` it is from, and
        the number of examples `n`.

    Raises:
        ValueError: If the examples are not the same.

    Examples:
        >>> from wbad_jax.evaluation import compare
        >>> found = compare(attacked, clean)  # see `Outcome`
        >>> found["difference"], found["p_value"]
        (-0.5, 0.5)
    """
    if not np.array_equal(own.example_ids, reference.example_ids):
        raise ValueError("compare needs outcomes of the same examples in order.")
    change = own.correct.astype(float) - reference.correct
    sums, counts = sums_by_patient(change, own.patient_ids)
    low, high = paired_interval(change, own.patient_ids)
    single = counts.max() == 1
    return {
        "difference": float(change.mean()),
        "ci_low": low,
        "ci_high": high,
        "test": "mcnemar" if single else "sign_flip",
        "p_value": mcnemar(own.correct, reference.correct)
        if single
        else sign_flip(sums),
        "n": len(change),
    }


def compare_arms(
    outcomes: Sequence[Outcome], reference: str, primary: Condition | None = None
) -> list[dict[str, Any]]:
    """Each arm against the reference, on clean images and under the worst cases.

    Single attacks are not compared: an arm may be weak to one and strong to another.

    Args:
        outcomes: With the worst cases.
        reference: Arm that the others are compared with.
        primary: The one comparison named before the results were seen; it needs no
            correction. All others are secondary: `p_holm` corrects for their number.

    Returns:
        Records with the fields of `compare`, the condition and `p_holm`.

    Examples:
        >>> from wbad_jax.evaluation import compare_arms
        >>> other = dataclasses.replace(clean.condition, arm="undefended")
        >>> reference = dataclasses.replace(clean, condition=other)
        >>> [row["arm"] for row in compare_arms([reference, clean], "undefended")]
        ['wbad']
    """
    kept = [o for o in outcomes if o.condition.attack in ("none", "worst_case")]
    of_reference = {o.condition: o for o in kept if o.condition.arm == reference}
    records, secondary = [], []
    for own in kept:
        condition = own.condition
        other = of_reference.get(dataclasses.replace(condition, arm=reference))
        if other is None or condition.arm == reference:
            continue
        record = {
            **dataclasses.asdict(condition),
            "reference": reference,
            **compare(own, other),
            "primary": condition == primary,
        }
        record["p_holm"] = record["p_value"]
        records.append(record)
        if not record["primary"]:
            secondary.append(record)
    for record, p in zip(
        secondary, holm([r["p_value"] for r in secondary]), strict=True
    ):
        record["p_holm"] = p
    return records
