"""Evaluation of classifiers under attack: outcomes, metrics, ceilings, results."""

from wbad_jax.evaluation.arm_record import ArmRecord
from wbad_jax.evaluation.attack_self_test import attack_self_test
from wbad_jax.evaluation.ceiling import (
    PairBound,
    maximum_matching,
    one_member_bound,
    pair_bound,
)
from wbad_jax.evaluation.certified_curve import (
    AccuracyCurve,
    above_pair_bound,
    accuracy_curve,
    certified_right,
    contradictory_twins,
    crossings,
    twin_rows,
)
from wbad_jax.evaluation.check_results import CheckResult, Verdict
from wbad_jax.evaluation.comparisons import (
    compare,
    compare_arms,
    holm,
    mcnemar,
    paired_interval,
    sign_flip,
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
from wbad_jax.evaluation.explain import explain
from wbad_jax.evaluation.intervals import (
    auc_with_interval,
    bootstrap_interval,
    proportion_interval,
    sums_by_patient,
    wilson_interval,
)
from wbad_jax.evaluation.masking import (
    SUBJECT_CHECKS,
    check_record,
    collect,
    format_failures,
    to_records,
)
from wbad_jax.evaluation.matrix import CorrectMatrix, correct_matrix
from wbad_jax.evaluation.metrics import Metrics, classification_metrics, margins
from wbad_jax.evaluation.observer import (
    InformedObserver,
    mean_with_interval,
    observe_in_stationary_noise,
    observe_in_white_noise,
)
from wbad_jax.evaluation.operating_point import (
    AtSpecificity,
    OperatingPoint,
    choose_operating_point,
    evaluate_at,
)
from wbad_jax.evaluation.outcome_files import read_parquet, write_parquet
from wbad_jax.evaluation.outcomes import (
    Condition,
    Outcome,
    by_patient,
    carry_over,
    pool,
    within,
    worst_case,
)
from wbad_jax.evaluation.report import add_worst_cases, format_table, write_results
from wbad_jax.evaluation.robustness import (
    Attacked,
    AttackOfParameters,
    Evaluator,
    Examples,
)
from wbad_jax.evaluation.rows import VALIDATION, Row, make_row, make_rows
from wbad_jax.evaluation.scanning import ScanningObserver, certified_accuracy
from wbad_jax.evaluation.scanning_fit import fit_scanning_observers
from wbad_jax.evaluation.smoothed_evaluator import SmoothedEvaluator
from wbad_jax.evaluation.smoothing import (
    Certificates,
    Decision,
    certify_votes,
    count_votes,
    decide_votes,
    violations,
)
from wbad_jax.evaluation.smoothing_attack import attack_smoothed, smoothed_logits_fn
from wbad_jax.evaluation.subject import CheckSettings, Subject
from wbad_jax.evaluation.variance import (
    CohortVariance,
    CrossedVariance,
    cohort_variance,
    crossed_variance,
)

__all__ = [
    "AccuracyCurve",
    "ArmRecord",
    "AtSpecificity",
    "AttackOfParameters",
    "Attacked",
    "Certificates",
    "CheckResult",
    "CheckSettings",
    "CohortVariance",
    "Condition",
    "CorrectMatrix",
    "CrossedVariance",
    "Decision",
    "Detection",
    "Evaluator",
    "Evasion",
    "Examples",
    "FALSE_ALARMS",
    "Guarded",
    "InformedObserver",
    "Metrics",
    "OperatingPoint",
    "Outcome",
    "PairBound",
    "Row",
    "SUBJECT_CHECKS",
    "ScanningObserver",
    "SmoothedEvaluator",
    "Subject",
    "VALIDATION",
    "Verdict",
    "above_pair_bound",
    "accuracy_curve",
    "add_worst_cases",
    "attack_self_test",
    "attack_smoothed",
    "auc_with_interval",
    "best_hidden",
    "bootstrap_interval",
    "by_patient",
    "carry_over",
    "certified_accuracy",
    "certified_right",
    "certify_votes",
    "check_record",
    "choose_operating_point",
    "classification_metrics",
    "cohort_variance",
    "collect",
    "compare",
    "compare_arms",
    "contradictory_twins",
    "correct_matrix",
    "count_votes",
    "crossed_variance",
    "crossings",
    "decide_votes",
    "evaluate_at",
    "explain",
    "fit_scanning_observers",
    "format_failures",
    "format_table",
    "frozen_limit",
    "holm",
    "make_row",
    "make_rows",
    "margins",
    "maximum_matching",
    "mcnemar",
    "mean_with_interval",
    "measure_detection",
    "observe_in_stationary_noise",
    "observe_in_white_noise",
    "one_member_bound",
    "pair_bound",
    "paired_interval",
    "pool",
    "prediction_change",
    "proportion_interval",
    "read_parquet",
    "sign_flip",
    "smoothed_logits_fn",
    "sums_by_patient",
    "to_records",
    "twin_rows",
    "violations",
    "wilson_interval",
    "within",
    "worst_case",
    "write_parquet",
    "write_results",
]
