"""Evaluation of classifiers under attack: outcomes, metrics, results files."""

from wbad_jax.evaluation.metrics import (
    Metrics,
    classification_metrics,
    margins,
    wilson_interval,
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

__all__ = [
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
