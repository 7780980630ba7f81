"""The checks of an evaluation, C1 to C23: can its numbers be trusted?

Each ends as pass, fail or not run, with its evidence and one sentence. Some follow from
what was recorded, of which they take an `ArmRecord`; others compute on a `Subject`, and
one on the attacks alone. None imports a model: they are given functions.

Reference:
    Carlini et al. (2019), On evaluating adversarial robustness, arXiv 1902.06705;
    Athalye, Carlini and Wagner (2018), arXiv 1802.00420; Tramer et al. (2020), On
    adaptive attacks to adversarial example defenses, arXiv 2002.08347; Zimmermann et
    al. (2022), arXiv 2206.13991; Pintor et al. (2022), arXiv 2106.09947.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from wbad_jax.evaluation import masking_gradients as gradients
from wbad_jax.evaluation import masking_outcomes as outcomes
from wbad_jax.evaluation import masking_reporting as reporting
from wbad_jax.evaluation import masking_search as search
from wbad_jax.evaluation.arm_record import ArmRecord
from wbad_jax.evaluation.binarization import binarization
from wbad_jax.evaluation.check_results import (
    CheckResult,
    Verdict,
    combine,
    not_run,
)
from wbad_jax.evaluation.subject import CheckSettings, Subject

TITLES = {
    "C1": "Threat model recorded",
    "C2": "Clean accuracy, all images, better than chance",
    "constant": "More than one answer",
    "C3": "Gradient of the whole pipeline",
    "C4": "Gradients available",
    "C5": "Scale of the logits",
    "C6": "Determinism",
    "C7": "Iterative attacks beat single-step ones",
    "C8": "Attacks converged",
    "C9": "No success lost",
    "C10": "Accuracy falls with epsilon",
    "C11": "A large budget breaks everything",
    "C12": "White box beats black box",
    "C13": "Random noise finds nothing new",
    "C14": "White box beats transfer",
    "C15": "Union of backward passes",
    "C16": "Attacks break what is undefended",
    "C17": "Worst case per image",
    "C18": "Attacks that training has not seen",
    "C19": "Attacks on a linear classifier",
    "C20": "Binarization test",
    "C21": "Budgets kept",
    "C22": "Stable predictions",
    "C23": "Intervals",
    "attack_above_clean": "No attack helps",
    "graybox_above_clean": "No graybox attack helps",
    "adaptive_below_graybox": "Adaptive attacks beat graybox ones",
    "pair_bound": "Below the bound of every classifier",
}
# Of no arm.
SHARED = ("C1", "C19")

OfRecord = Callable[[ArmRecord], Verdict]
OfSubject = Callable[[Subject, CheckSettings], Verdict]

RECORD_CHECKS: dict[str, OfRecord] = {
    "C1": reporting.threat_model_recorded,
    "C2": reporting.clean_accuracy_reported,
    "constant": reporting.constant,
    "C7": outcomes.iterative_beats_single_step,
    "C8": outcomes.iterates,
    "C10": outcomes.monotone_in_epsilon,
    "C11": outcomes.large_budget_reaches_all,
    "C12": outcomes.white_box_beats_black_box,
    "C14": outcomes.white_box_beats_transfer,
    "C16": outcomes.undefended_is_broken,
    "C17": reporting.worst_case_reported,
    "C18": reporting.held_out_attack,
    "C21": reporting.within_budget,
    "C23": reporting.intervals_reported,
    "attack_above_clean": outcomes.attack_above_clean,
    "graybox_above_clean": outcomes.graybox_above_clean,
    "adaptive_below_graybox": outcomes.adaptive_below_graybox,
    "pair_bound": reporting.below_pair_bound,
}
SUBJECT_CHECKS: dict[str, OfSubject] = {
    "C3": gradients.pipeline_differentiated,
    "C4": gradients.gradients_available,
    "C5": gradients.logits_scaled_well,
    "C6": gradients.deterministic,
    "C8": search.converged,
    "C9": gradients.silent_success,
    "C11": search.large_budget,
    "C12": search.square,
    "C13": search.random_noise,
    "C14": search.without_parts,
    "C15": search.backward_modes,
    "C20": binarization,
    "C21": search.images_rechecked,
    "C22": gradients.predictions_stable,
}


def check_record(record: ArmRecord) -> dict[str, Verdict]:
    """Run the checks of what was recorded of one arm.

    Args:
        record: Its outcomes, rows and circumstances.

    Returns:
        Verdicts by check.

    Examples:
        >>> from wbad_jax.evaluation import ArmRecord, check_record
        >>> record = ArmRecord(arm="wbad", outcomes=[clean, attacked])  # see `Outcome`
        >>> sorted({verdict.status for verdict in check_record(record).values()})
        ['fail', 'not_run', 'pass']
    """
    return {name: check(record) for name, check in RECORD_CHECKS.items()}


def collect(
    arm: str | None, verdicts: Iterable[tuple[str, Verdict]], *, reason: str = ""
) -> list[CheckResult]:
    """One result for each check of an arm, several verdicts on one question joined.

    Args:
        arm: Its name; None for the checks that concern all.
        verdicts: Pairs of check and verdict.
        reason: Why the checks without a verdict did not run.

    Returns:
        Results in the order of `TITLES`.

    Examples:
        >>> from wbad_jax.evaluation import Verdict, collect
        >>> results = collect("wbad", [("C1", Verdict("pass", "It holds.", {}))])
        >>> sorted({result.status for result in results})
        ['not_run']
    """
    found: dict[str, list[Verdict]] = {}
    for name, verdict in verdicts:
        found.setdefault(name, []).append(verdict)
    return [
        CheckResult(
            id=name,
            title=title,
            arm=arm,
            **combine(found.get(name) or [not_run(reason)])._asdict(),
        )
        for name, title in TITLES.items()
        if (name in SHARED) == (arm is None)
    ]


def to_records(results: Iterable[CheckResult]) -> list[dict[str, Any]]:
    """Results as `checks.json` holds them.

    Examples:
        >>> from wbad_jax.evaluation import Verdict, collect, to_records
        >>> results = collect("wbad", [("C1", Verdict("pass", "It holds.", {}))])
        >>> sorted(to_records(results)[0])
        ['arm', 'evidence', 'id', 'sentence', 'status', 'title']
    """
    return [dataclasses.asdict(result) for result in results]


def format_failures(results: Iterable[CheckResult]) -> str:
    """The failed checks in words, for the terminal; a line that says so if none did.

    Examples:
        >>> from wbad_jax.evaluation import Verdict, collect, format_failures
        >>> results = collect("wbad", [("C1", Verdict("pass", "It holds.", {}))])
        >>> print(format_failures(results))
        Checks: 0 passed, 0 failed, 26 not run.
    """
    results = list(results)
    failed = [result for result in results if result.status == "fail"]
    passed = sum(result.status == "pass" for result in results)
    left = len(results) - passed - len(failed)
    counts = f"Checks: {passed} passed, {len(failed)} failed, {left} not run."
    lines = [
        f"  {result.id} {result.title}{f' ({result.arm})' if result.arm else ''}: "
        f"{result.sentence}"
        for result in failed
    ]
    return "\n".join([counts, *lines])
