"""Evaluation of classifiers under attack: outcomes, metrics, ceilings, results."""

from wbad_jax.evaluation.ceiling import (
    PairBound,
    maximum_matching,
    one_member_bound,
    pair_bound,
)
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
from wbad_jax.evaluation.scanning import (
    ScanningObserver,
    certified_accuracy,
    fit_scanning_observers,
)

__all__ = [
    "pair_bound",
    "one_member_bound",
    "observe_in_white_noise",
    "observe_in_stationary_noise",
    "mean_with_interval",
    "maximum_matching",
    "fit_scanning_observers",
    "certified_accuracy",
    "ScanningObserver",
    "PairBound",
    "InformedObserver",
    "Attacked",
    "Condition",
    "Evaluator",
    "Examples",
    "Metrics",
    "Outcome",
    "Row",
    "add_worst_cases",
    "classification_metrics",
    "format_table",
    "make_row",
    "margins",
    "pool",
    "read_parquet",
    "wilson_interval",
    "worst_case",
    "write_parquet",
    "write_results",
]
