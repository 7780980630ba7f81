"""Evaluation of classifiers under attack: outcomes, metrics, ceilings, results."""

from wbad_jax.evaluation.arm_record import ArmRecord
from wbad_jax.evaluation.attack_self_test import attack_self_test
from wbad_jax.evaluation.ceiling import (
    PairBound,
    maximum_matching,
    one_member_bound,
    pair_bound,
)
from wbad_jax.evaluation.check_results import CheckResult, Verdict
from wbad_jax.evaluation.masking import (
    SUBJECT_CHECKS,
    check_record,
    collect,
    format_failures,
    to_records,
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
from wbad_jax.evaluation.scanning import ScanningObserver, certified_accuracy
from wbad_jax.evaluation.scanning_fit import fit_scanning_observers
from wbad_jax.evaluation.subject import CheckSettings, Subject

__all__ = [
    "ArmRecord",
    "Attacked",
    "CheckResult",
    "CheckSettings",
    "Condition",
    "Evaluator",
    "Examples",
    "InformedObserver",
    "Metrics",
    "Outcome",
    "PairBound",
    "Row",
    "SUBJECT_CHECKS",
    "ScanningObserver",
    "Subject",
    "Verdict",
    "add_worst_cases",
    "attack_self_test",
    "certified_accuracy",
    "check_record",
    "classification_metrics",
    "collect",
    "fit_scanning_observers",
    "format_failures",
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
    "to_records",
    "wilson_interval",
    "worst_case",
    "write_parquet",
    "write_results",
]
