"""Evaluation of classifiers under attack: outcomes, metrics, ceilings, results."""

from wbad_jax.evaluation.ceiling import (
    PairBound,
    maximum_matching,
    one_member_bound,
    pair_bound,
)
from wbad_jax.evaluation.matrix import CorrectMatrix, correct_matrix
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
    carry_over,
    pool,
    read_parquet,
    within,
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
from wbad_jax.evaluation.robustness import (
    Attacked,
    AttackOfParameters,
    Evaluator,
    Examples,
)
from wbad_jax.evaluation.scanning import ScanningObserver, certified_accuracy
from wbad_jax.evaluation.scanning_fit import fit_scanning_observers

__all__ = [
    "AttackOfParameters",
    "Attacked",
    "Condition",
    "CorrectMatrix",
    "Evaluator",
    "Examples",
    "InformedObserver",
    "Metrics",
    "Outcome",
    "PairBound",
    "Row",
    "ScanningObserver",
    "add_worst_cases",
    "carry_over",
    "certified_accuracy",
    "classification_metrics",
    "correct_matrix",
    "fit_scanning_observers",
    "format_table",
    "make_row",
    "margins",
    "maximum_matching",
    "mean_with_interval",
    "observe_in_stationary_noise",
    "observe_in_white_noise",
    "one_member_bound",
    "pair_bound",
    "pool",
    "read_parquet",
    "wilson_interval",
    "within",
    "worst_case",
    "write_parquet",
    "write_results",
]
