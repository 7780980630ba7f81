"""Evaluation of classifiers: attacks, metrics, ceilings, certificates, results."""

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

__all__ = [
    "AccuracyCurve",
    "Attacked",
    "Certificates",
    "Condition",
    "Decision",
    "Evaluator",
    "Examples",
    "InformedObserver",
    "Metrics",
    "Outcome",
    "PairBound",
    "Row",
    "ScanningObserver",
    "SmoothedEvaluator",
    "above_pair_bound",
    "accuracy_curve",
    "add_worst_cases",
    "attack_smoothed",
    "certified_accuracy",
    "certified_right",
    "certify_votes",
    "classification_metrics",
    "contradictory_twins",
    "count_votes",
    "crossings",
    "decide_votes",
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
    "smoothed_logits_fn",
    "twin_rows",
    "violations",
    "wilson_interval",
    "worst_case",
    "write_parquet",
    "write_results",
]
