"""Evaluation of classifiers under attack: outcomes, metrics, ceilings, results."""

from wbad_jax.evaluation.ceiling import (
    PairBound,
    maximum_matching,
    one_member_bound,
    pair_bound,
)
from wbad_jax.evaluation.detection import (
    FALSE_ALARMS,
    Detection,
    Guarded,
    best_hidden,
    frozen_limit,
    measure_detection,
    prediction_change,
)
from wbad_jax.evaluation.evasion import Evasion
from wbad_jax.evaluation.metrics import (
    Metrics,
    classification_metrics,
    margins,
    wilson_interval,
)
from wbad_jax.evaluation.observer import (
    InformedObserver,
    mean_with_interval,
    observe_in_stationary_noise,
    observe_in_white_noise,
)
from wbad_jax.evaluation.outcomes import (
    Condition,
    Outcome,
    pool,
    read_parquet,
    worst_case,
    write_parquet,
)
from wbad_jax.evaluation.report import (
    Row,
    add_worst_cases,
    format_table,
    make_row,
    write_results,
)
from wbad_jax.evaluation.robustness import Attacked, Evaluator, Examples
from wbad_jax.evaluation.scanning import ScanningObserver, certified_accuracy
from wbad_jax.evaluation.scanning_fit import fit_scanning_observers

__all__ = [
    "FALSE_ALARMS",
    "Attacked",
    "Condition",
    "Detection",
    "Evaluator",
    "Evasion",
    "Examples",
    "Guarded",
    "InformedObserver",
    "Metrics",
    "Outcome",
    "PairBound",
    "Row",
    "ScanningObserver",
    "add_worst_cases",
    "best_hidden",
    "certified_accuracy",
    "classification_metrics",
    "measure_detection",
    "fit_scanning_observers",
    "format_table",
    "frozen_limit",
    "make_row",
    "margins",
    "maximum_matching",
    "mean_with_interval",
    "observe_in_stationary_noise",
    "observe_in_white_noise",
    "one_member_bound",
    "pair_bound",
    "pool",
    "prediction_change",
    "read_parquet",
    "wilson_interval",
    "worst_case",
    "write_parquet",
    "write_results",
]
