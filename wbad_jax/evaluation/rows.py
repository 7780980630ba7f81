"""From outcomes to rows of results."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from wbad_jax.evaluation.metrics import POSITIVE, classification_metrics
from wbad_jax.evaluation.operating_point import (
    AtSpecificity,
    OperatingPoint,
    choose_operating_point,
    evaluate_at,
)
from wbad_jax.evaluation.outcomes import Outcome, by_patient

Row = dict[str, Any]

COLUMNS: tuple[str, ...] = (
    "arm",
    "set",
    "protocol",
    "attack",
    "norm",
    "epsilon",
    "epsilon_celsius",
    "unit",
    "n",
    "evaluated_on",
    "accuracy",
    "ci_low",
    "ci_high",
    "sensitivity",
    "specificity",
    "auc",
    "median_distance",
    "ceiling",
    "seconds",
    "seed",
    "sensitivity_low",
    "sensitivity_high",
    "specificity_low",
    "specificity_high",
    "auc_low",
    "auc_high",
    "sensitivity_at_90_specificity",
    "sensitivity_at_90_specificity_low",
    "sensitivity_at_90_specificity_high",
    "specificity_there",
    "brier",
    "ece",
    "calibration_slope",
    "calibration_intercept",
    "missed_cancer",
    "false_alarm",
    "distance_10",
    "distance_90",
    "surrogate",
)

VALIDATION = "validation"  # set whose clean outcomes give thresholds, and no rows
Ceilings = Mapping[tuple[str | None, float | None], float]


def make_rows(
    outcomes: Sequence[Outcome],
    window: tuple[float, float],
    ceilings: Ceilings | None = None,
) -> list[Row]:
    """All rows of results.

    Where patients have several images of a set in one state, each row of unit "image"
    is followed by one of unit "patient", see `by_patient`.

    Args:
        outcomes: Of all conditions, worst cases among them. Clean ones of the set
            "validation" give the thresholds of their arm.
        window: Temperatures of pixel values 0 and 1, in degrees Celsius; (0, 1) where
            pixels stand for no temperature.
        ceilings: By norm and epsilon, what no classifier exceeds on "test_pairs" under
            adaptive attacks.

    Examples:
        >>> from wbad_jax.evaluation import make_rows
        >>> rows = make_rows([clean, attacked], window=(22.0, 38.0))  # see `Outcome`
        >>> [(row["attack"], row["accuracy"]) for row in rows]
        [('none', 1.0), ('pgd', 0.5)]
    """
    images = _References.of(outcomes)
    patients = _References.of([by_patient(o) for o in outcomes if _is_clean(o)])
    rows = []
    for outcome in outcomes:
        c = outcome.condition
        if c.set == VALIDATION:
            continue
        binds = c.set == "test_pairs" and c.protocol == "adaptive"
        ceiling = (ceilings or {}).get((c.norm, c.epsilon)) if binds else None
        rows.append(_make_row(outcome, window, images, ceiling=ceiling))
        means = by_patient(outcome)
        if len(means.labels) < len(outcome.labels):
            rows.append(_make_row(means, window, patients, unit="patient"))
    return rows


def make_row(outcome: Outcome, window: tuple[float, float]) -> Row:
    """One row of results, without what takes other outcomes: see `make_rows`.

    Args:
        outcome: The condition and its logits.
        window: Temperatures of pixel values 0 and 1, in degrees Celsius.

    Examples:
        >>> from wbad_jax.evaluation import make_row
        >>> row = make_row(attacked, window=(22.0, 38.0))  # see `Outcome`
        >>> row["accuracy"], row["epsilon_celsius"]
        (0.5, 0.16)
    """
    return _make_row(outcome, window, _References({}, {}))


class _References(NamedTuple):
    """What rows are held against."""

    clean: Mapping[tuple[str, str], Outcome]  # by arm and set
    points: Mapping[str, OperatingPoint | None]  # by arm

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> "_References":
        clean = {
            (o.condition.arm, o.condition.set): o for o in outcomes if _is_clean(o)
        }
        points = {
            arm: choose_operating_point(outcome)
            for (arm, name), outcome in clean.items()
            if name == VALIDATION
        }
        return cls(clean, points)


def _is_clean(outcome: Outcome) -> bool:
    return outcome.condition.protocol == "clean"


def _make_row(
    outcome: Outcome, window, known: _References, *, unit=None, ceiling=None
) -> Row:
    condition = dataclasses.asdict(outcome.condition)
    epsilon, patient_ids = condition["epsilon"], outcome.patient_ids
    one_each = len(np.unique(patient_ids)) == len(patient_ids)
    metrics = classification_metrics(outcome.logits, outcome.labels, patient_ids)
    point = known.points.get(condition["arm"])
    at = evaluate_at(point, outcome) if point else AtSpecificity()
    values = {
        **condition,
        **dataclasses.asdict(metrics),
        **dataclasses.asdict(at),
        **_distances(outcome),
        **_direction(outcome, known.clean.get((condition["arm"], condition["set"]))),
        "epsilon_celsius": _celsius(epsilon, window),
        "unit": unit or ("patient" if one_each else "image"),
        "evaluated_on": outcome.evaluated_on,
        "ceiling": ceiling,
        "seconds": outcome.seconds,
    }
    return {name: values[name] for name in COLUMNS}


def _celsius(epsilon: float | None, window: tuple[float, float]) -> float | None:
    if epsilon is None or window == (0.0, 1.0):
        return None
    return epsilon * (window[1] - window[0])


def _distances(outcome: Outcome) -> Row:
    names = "distance_10", "median_distance", "distance_90"
    if _is_clean(outcome):
        return dict.fromkeys(names)
    quantiles = np.quantile(outcome.distance, (0.1, 0.5, 0.9))
    return dict(zip(names, map(float, quantiles), strict=True))


def _direction(outcome: Outcome, clean: Outcome | None) -> Row:
    """Of the decisions that are right when clean, the share that is wrong here.

    Apart for images with tumour, which are missed then, and for those without.
    """
    if clean is None or _is_clean(outcome):
        return {"missed_cancer": None, "false_alarm": None}
    if not np.array_equal(clean.example_ids, outcome.example_ids):
        raise ValueError("Clean and attacked outcomes are not of the same examples.")
    ill = outcome.labels == POSITIVE
    parts = {"missed_cancer": clean.correct & ill, "false_alarm": clean.correct & ~ill}
    return {
        name: float(np.mean(~outcome.correct[rows])) if rows.any() else None
        for name, rows in parts.items()
    }
