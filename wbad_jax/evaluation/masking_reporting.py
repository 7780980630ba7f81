"""Checks of what an evaluation records and reports."""

import numpy as np
import scipy

from wbad_jax.evaluation.arm_record import ArmRecord, ids_of, percent, worst
from wbad_jax.evaluation.check_results import Verdict, not_run, verdict
from wbad_jax.evaluation.metrics import POSITIVE, classification_metrics

# What a threat model has to say (Carlini et al. 2019, section 3.1).
_THREAT_MODEL = (
    "norms", "epsilon", "epsilon_celsius", "bounds", "knowledge", "goal",
)  # fmt: skip
_SLACK = 1e-6  # relative excess over epsilon that float32 may cause
_LEVEL = 0.05


def threat_model_recorded(record: ArmRecord) -> Verdict:
    """C1: what the attacker may do is written down."""
    given = dict(record.threat_model)
    missing = [field for field in _THREAT_MODEL if given.get(field) in (None, (), [])]
    return verdict(
        not missing,
        "Norms, budgets, pixel range, knowledge and goal of the attacker are recorded.",
        f"The threat model lacks {', '.join(missing)}.",
        **given,
    )


def clean_accuracy_reported(record: ArmRecord) -> Verdict:
    """C2: clean accuracy of all examples, both classes, better than chance."""
    clean = record.clean()
    if not clean:
        return verdict(False, "", "There is no clean accuracy.")
    evidence, faults = {}, []
    for name, outcome in clean.items():
        found = classification_metrics(outcome.logits, outcome.labels)
        evidence[name] = {
            "n": found.n, "accuracy": found.accuracy, "sensitivity": found.sensitivity,
            "specificity": found.specificity,
            "p_value": _separation_p_value(outcome.logits, outcome.labels),
        }  # fmt: skip
        faults += _clean_faults(name, evidence[name], record.num_examples.get(name))
    misplaced = [
        f"{o.condition.protocol} {o.condition.attack} on {o.condition.set}"
        for o in record.misplaced()
    ]
    if misplaced:
        faults.append(f"other images than the clean ones in {', '.join(misplaced)}")
    accuracy = {name: percent(value["accuracy"]) for name, value in evidence.items()}
    return verdict(
        not faults,
        "Clean accuracy "
        + ", ".join(f"{value} on {name}" for name, value in accuracy.items())
        + ", with sensitivity and specificity.",
        f"Clean accuracy: {'; '.join(faults)}.",
        **evidence,
    )


def constant(record: ArmRecord) -> Verdict:
    """A classifier that always gives one answer is not robust but useless."""
    if not record.outcomes:
        return not_run("There are no outcomes.")
    label = record.one_answer()
    if label is None:
        return verdict(True, "The classifier names more than one class.", "")
    share = np.mean(next(iter(record.clean().values())).labels == label)
    return verdict(
        False,
        "",
        f"The classifier names class {label} for every image, clean or attacked: its "
        f"{percent(float(share))} under any attack is the share of that class, not "
        "robustness.",
        label=label,
        share=float(share),
    )


def worst_case_reported(record: ArmRecord) -> Verdict:
    """C17: the headline counts an image as right only if it withstands all attacks."""
    if record.rows is None:
        return not_run("There are no rows.")
    found, wrong = {}, []
    for group in record.groups():
        if not group.adaptive:
            continue
        expected = float(worst(group).correct.mean())
        lowest = min(float(o.correct.mean()) for o in group.adaptive.values())
        told = [
            row["accuracy"]
            for row in record.rows
            if row["n"] == len(group.clean.labels)  # not patients of many images
            and (row["set"], row["norm"], row["epsilon"]) == (
                group.set, group.norm, group.epsilon,
            )
            and (row["protocol"], row["attack"]) == ("adaptive", "worst_case")
        ]  # fmt: skip
        found[group.told] = {"per_image": expected, "best_single_attack": lowest}
        if not told or any(abs(value - expected) > 1e-9 for value in told):
            wrong.append(group.told)
    if not found:
        return not_run("Needs an adaptive attack.")
    return verdict(
        not wrong,
        "The worst case is taken per image, over all adaptive attacks.",
        f"The worst case per image is not what is reported: {'; '.join(wrong)}.",
        groups=found,
    )


def held_out_attack(record: ArmRecord) -> Verdict:
    """C18: some attack of the evaluation was not part of training."""
    used = {name for group in record.groups() for name in group.adaptive}
    fresh = sorted(used - set(record.trained_on))
    if not used:
        return not_run("Needs an adaptive attack.")
    return verdict(
        bool(fresh),
        f"{', '.join(fresh)} made no training examples."
        if record.trained_on
        else "No attack made training examples.",
        f"Every adaptive attack ({', '.join(sorted(used))}) also made training "
        "examples: add one that did not, such as 'apgd' or 'square', to "
        "evaluation.attacks.",
        evaluated=sorted(used),
        trained_on=sorted(record.trained_on),
    )


def within_budget(record: ArmRecord) -> Verdict:
    """C21: perturbations lie in the ball, and logits are numbers."""
    excess, wrong = 0.0, []
    for outcome in record.outcomes:
        told = outcome.condition
        name = f"{told.protocol} {told.attack} on {told.set}"
        if not np.isfinite(outcome.logits).all():
            wrong.append(f"{name}: a logit is not finite")
        allowed = 0.0 if told.epsilon is None else told.epsilon
        over = outcome.distance > allowed * (1 + _SLACK)
        over |= ~np.isfinite(outcome.distance)
        if allowed:
            excess = max(excess, float(np.max(outcome.distance)) / allowed)
        if over.any():
            wrong.append(
                f"{name}: {int(over.sum())} perturbations of up to "
                f"{float(np.max(outcome.distance)):.4g} for a budget of {allowed:.4g} "
                f"({', '.join(ids_of(outcome, over)[:3])})"
            )
    if not record.outcomes:
        return not_run("There are no outcomes.")
    return verdict(
        not wrong,
        "Every perturbation lies within its budget.",
        f"Outside of what is allowed: {'; '.join(wrong)}.",
        largest_share_of_budget=excess,
    )


def intervals_reported(record: ArmRecord) -> Verdict:
    """C23: every accuracy comes with its interval."""
    if not record.rows:
        return not_run("There are no rows.")
    bare = [
        f"{row['protocol']} {row['attack']}"
        for row in record.rows
        if row.get("ci_low") is None
        or row.get("ci_high") is None
        or not row["ci_low"] - 1e-9 <= row["accuracy"] <= row["ci_high"] + 1e-9
    ]
    return verdict(
        not bare,
        f"All {len(record.rows)} accuracies have 95 % intervals.",
        f"No interval around the accuracy of: {', '.join(bare)}.",
        rows=len(record.rows),
    )


def below_pair_bound(record: ArmRecord) -> Verdict:
    """No adaptive accuracy on pairs is above what any classifier can reach."""
    found, wrong = {}, []
    for group in record.groups():
        bound = record.pair_bounds.get((group.norm, group.epsilon))
        if group.set != "test_pairs" or bound is None or not group.adaptive:
            continue
        accuracy = float(worst(group).correct.mean())
        found[group.told] = {"accuracy": accuracy, "bound": bound}
        if accuracy > bound + 1e-9:
            wrong.append(f"{percent(accuracy)} > {percent(bound)} ({group.told})")
    if not found:
        return not_run("Needs adaptive attacks on the set 'test_pairs'.")
    return verdict(
        not wrong,
        "Adaptive accuracy on pairs is at most the bound of every classifier.",
        f"Adaptive accuracy is above what any classifier can reach: "
        f"{'; '.join(wrong)}. The attacks are too weak; the twin attack is missing or "
        "broken.",
        groups=found,
    )


def _clean_faults(name: str, found: dict, expected: int | None) -> list[str]:
    faults = []
    if expected is not None and found["n"] != expected:
        perfect = " and all are classified correctly" if found["accuracy"] == 1 else ""
        faults.append(
            f"{name} has {expected} images, but {found['n']} were evaluated{perfect}"
        )
    if found["sensitivity"] is None or found["specificity"] is None:
        faults.append(f"{name} holds one class only")
    elif not found["p_value"] < _LEVEL:
        faults.append(
            f"scores on {name} do not tell the classes apart (accuracy "
            f"{percent(found['accuracy'])}, p = {found['p_value']:.2g}): robustness of "
            "such a classifier says nothing; are the labels right"
        )
    return faults


def _separation_p_value(logits: np.ndarray, labels: np.ndarray) -> float | None:
    """Whether scores of tumours are higher: one-sided test of Mann and Whitney."""
    positive = labels == POSITIVE
    if positive.all() or not positive.any():
        return None
    score = logits[:, POSITIVE] - np.delete(logits, POSITIVE, axis=-1).max(axis=-1)
    test = scipy.stats.mannwhitneyu(
        score[positive], score[~positive], alternative="greater"
    )  # fmt: skip
    return float(test.pvalue)
