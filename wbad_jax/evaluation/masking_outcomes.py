"""Checks that compare attacks with each other, from the outcomes alone.

A stronger attacker must do at least as well: many steps as one, a larger ball as a
smaller, the whole classifier as a surrogate, gradients as queries. Where the order is
reversed the gradients are masked, or an attack is broken (Athalye, Carlini and Wagner
2018, Obfuscated gradients give a false sense of security, section 3.1; Carlini et al.
2019, On evaluating adversarial robustness).
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from wbad_jax.evaluation.arm_record import (
    SINGLE_STEP,
    ArmRecord,
    Group,
    ids_of,
    percent,
    was_attacked,
    withstood,
    worst,
)
from wbad_jax.evaluation.check_results import Verdict, not_run, too_many, verdict
from wbad_jax.evaluation.intervals import wilson_interval
from wbad_jax.evaluation.outcomes import Outcome

# Rates below this are taken for chance.
TOLERANCE = 0.01
# From this radius on a Linf ball in the pixel range [0, 1] holds a flat grey image.
LARGE_EPSILON = 0.5
# Of the median margin: decisions closer to the boundary may be rounding.
_ROUNDING = 1e-3
# Share of equal logits from which an attack counts as another one.
_SAME_ATTACK = 0.99


def iterative_beats_single_step(record: ArmRecord) -> Verdict:
    """C7: no example is broken by one step alone."""

    def compare(group: Group):
        single = {n: o for n, o in group.adaptive.items() if n in SINGLE_STEP}
        iterative = group.iterative()
        if not single or not iterative:
            return None
        left = withstood([group.clean, *iterative.values()])
        return left & _clearly_broken(group, single.values())

    return _contradictions(
        record,
        compare,
        good="No image is broken by one gradient step and by no iterative attack.",
        bad="One gradient step breaks what all iterative attacks leave",
        missing="Needs a single-step and an iterative attack of the same norm.",
        tolerance=0.0,
    )


def iterates(record: ArmRecord) -> Verdict:
    """C8: an attack of many steps does other things than one of one step."""
    found = {}
    for group in record.groups():
        for single in set(SINGLE_STEP) & set(group.adaptive):
            for name, outcome in group.iterative().items():
                same = _share_equal(outcome, group.adaptive[single], group.clean)
                if same is not None:
                    found[f"{name} = {single} ({group.told})"] = same
    copies = [name for name, same in found.items() if same >= _SAME_ATTACK]
    if not found:
        return not_run("Needs a single-step and an iterative attack of the same norm.")
    return verdict(
        not copies,
        "Iterative attacks end elsewhere than single-step ones.",
        f"The logits are the same for nearly all images: {', '.join(copies)}. The "
        "attack of many steps may be one of one step under another name.",
        share_of_equal_logits=found,
    )


def monotone_in_epsilon(record: ArmRecord) -> Verdict:
    """C10: more budget does not mean more accuracy."""
    curves: dict[tuple[str, str], dict[float, Outcome]] = {}
    for group in record.groups():
        if group.adaptive:
            curve = curves.setdefault((group.set, group.norm), {0.0: group.clean})
            curve[group.epsilon] = worst(group)
    rises, evidence = [], []
    for (name, norm), curve in curves.items():
        radii = sorted(curve)
        for small, large in zip(radii, radii[1:], strict=False):
            lost = curve[small].correct & ~curve[large].correct
            gained = ~curve[small].correct & curve[large].correct
            rise = int(gained.sum()) - int(lost.sum())
            step = f"{name}, {norm}, {small:.5g} to {large:.5g}"
            evidence.append({"step": step, "right_again": int(gained.sum())})
            if too_many(rise, len(gained), TOLERANCE):
                rises.append(f"{step}: {percent(rise / len(gained))}")
    if not curves:
        return not_run("Needs an adaptive attack.")
    return verdict(
        not rises,
        "Accuracy does not rise with the budget.",
        f"Accuracy rises with the budget ({'; '.join(rises)}): the attack is worse "
        "where it should be better.",
        steps=evidence,
    )


def large_budget_reaches_all(record: ArmRecord) -> Verdict:
    """C11: with a budget of half the pixel range nothing is left."""
    if record.one_answer() is not None:
        return not_run("The classifier names one class always: see 'constant'.")
    left = {}
    for group in record.groups():
        if group.norm == "linf" and group.epsilon >= LARGE_EPSILON and group.adaptive:
            left[group.told] = float(worst(group).correct.mean())
    if not left:
        return not_run(f"Needs an attack of Linf epsilon {LARGE_EPSILON} or more.")
    return verdict(
        max(left.values()) == 0,
        "With half of the pixel range to change, every image is broken.",
        f"{percent(max(left.values()))} of the images withstand a budget of half the "
        "pixel range, which no classifier can: the attacks do not find what is there.",
        accuracy=left,
    )


def white_box_beats_black_box(record: ArmRecord) -> Verdict:
    """C12: queries alone break nothing that gradients do not."""

    def compare(group: Group):
        black, white = group.black_box(), group.white_box()
        if not black or not white:
            return None
        left = withstood([group.clean, *white.values()])
        return left & _clearly_broken(group, black.values())

    return _contradictions(
        record,
        compare,
        good="Black-box attacks break next to nothing that white-box attacks leave.",
        bad="Black-box attacks break what white-box attacks leave",
        missing="Needs a white-box and a black-box attack of the same norm.",
    )


def white_box_beats_transfer(record: ArmRecord) -> Verdict:
    """C14: images made on a surrogate break nothing that adaptive attacks do not."""

    def compare(group: Group):
        if not group.graybox or not group.adaptive:
            return None
        left = withstood([group.clean, *group.adaptive.values()])
        return left & _clearly_broken(group, group.graybox.values())

    return _contradictions(
        record,
        compare,
        good="Transferred images break next to nothing that adaptive attacks leave.",
        bad="Images made on a surrogate break what adaptive attacks leave",
        missing="Needs graybox and adaptive attacks of the same norm.",
    )


def adaptive_below_graybox(record: ArmRecord) -> Verdict:
    """An attack that knows the classifier beats the same attack on a surrogate."""
    gaps: dict[str, float] = {}
    wrong = []
    for group in record.groups():
        for name in set(group.adaptive) & set(group.graybox):
            adaptive, graybox = group.adaptive[name], group.graybox[name]
            gap = int(adaptive.correct.sum()) - int(graybox.correct.sum())
            gaps[f"{name} ({group.told})"] = gap / len(adaptive.labels)
            if too_many(gap, len(adaptive.labels), TOLERANCE):
                wrong.append(f"{name} ({group.told})")
    if not gaps:
        return not_run("Needs the same attack in both protocols.")
    return verdict(
        not wrong,
        "No attack does better from a surrogate than on the classifier itself.",
        f"Made on a surrogate, {', '.join(wrong)} lowers accuracy by more than made on "
        "the classifier itself: its gradients mislead.",
        adaptive_minus_graybox=gaps,
    )


def attack_above_clean(record: ArmRecord) -> Verdict:
    """No attack raises accuracy."""
    return _not_above_clean(
        record,
        lambda group: group.adaptive,
        lambda right, clean: too_many(
            int(right.sum()) - int(clean.sum()), len(clean), TOLERANCE
        ),
        "adaptive",
    )


def graybox_above_clean(record: ArmRecord) -> Verdict:
    """No attack from a surrogate raises accuracy beyond its interval."""
    return _not_above_clean(
        record,
        lambda group: group.graybox,
        lambda right, clean: (
            wilson_interval(int(right.sum()), len(right))[0] > clean.mean()
        ),
        "graybox",
    )


def undefended_is_broken(record: ArmRecord, most_kept: float = 0.9) -> Verdict:
    """C16: the same attacks succeed where all defences are removed."""
    reference = record.undefended
    kept = {}
    for group in reference.groups() if reference else ():
        if group.adaptive and group.clean.correct.any():
            right = worst(group).correct.sum() / group.clean.correct.sum()
            kept[group.told] = float(right)
    if not kept or reference is None:
        return not_run("Needs adaptive attacks on an arm without defence.")
    if reference.one_answer() is not None:
        return not_run("The arm without defence names one class always.")
    return verdict(
        min(kept.values()) < most_kept,
        f"The attacks leave {percent(min(kept.values()))} of the right decisions of "
        f"{reference.arm!r}, which has no defence.",
        f"{reference.arm!r}, which has no defence, keeps {percent(min(kept.values()))} "
        "of its right decisions: the attacks are broken, or the budget too small to "
        "tell.",
        share_kept=kept,
    )


def _contradictions(
    record: ArmRecord,
    compare: Callable[[Group], np.ndarray | None],
    *,
    good: str,
    bad: str,
    missing: str,
    tolerance: float = TOLERANCE,
) -> Verdict:
    """Images of each group that contradict an order of attacks, as a verdict."""
    groups: list[dict[str, Any]] = []
    failed = []
    for group in record.groups():
        found = compare(group)
        if found is None:
            continue
        count, n = int(found.sum()), len(found)
        ids = ids_of(group.clean, found)
        groups.append({"group": group.told, "count": count, "n": n, "ids": ids})
        if count > 0 if tolerance == 0 else too_many(count, n, tolerance):
            failed.append(f"{count} of {n} images ({group.told})")
    if not groups:
        return not_run(missing)
    return verdict(not failed, good, f"{bad}: {'; '.join(failed)}.", groups=groups)


def _not_above_clean(record: ArmRecord, attacks_of, above, protocol: str) -> Verdict:
    found, wrong = {}, []
    for group in record.groups():
        for name, outcome in attacks_of(group).items():
            right, clean = outcome.correct, group.clean.correct
            found[f"{name} ({group.told})"] = float(right.mean() - clean.mean())
            if above(right, clean):
                wrong.append(
                    f"{name} ({group.told}) {percent(right.mean())} against "
                    f"{percent(clean.mean())} clean"
                )
    if not found:
        return not_run(f"Needs a {protocol} attack.")
    return verdict(
        not wrong,
        f"No {protocol} attack raises accuracy.",
        f"Accuracy under attack is above that on clean images: {'; '.join(wrong)}. "
        "What helps a classifier is no attack.",
        attacked_minus_clean=found,
    )


def _clearly_broken(group: Group, outcomes: Iterable[Outcome]) -> np.ndarray:
    """Examples that some outcome gets wrong by more than rounding."""
    scale = _ROUNDING * float(np.median(np.abs(group.clean.margin)))
    return np.any([~o.correct & (o.margin < -scale) for o in outcomes], axis=0)


def _share_equal(one: Outcome, other: Outcome, clean: Outcome) -> float | None:
    """Share of the attacked images, moved at all, whose logits agree."""
    scale = float(np.median(np.abs(clean.margin))) or 1.0
    moved = np.abs(other.margin - clean.margin) > _ROUNDING * scale
    moved &= was_attacked(one) & was_attacked(other)
    if not moved.any():
        return None
    same = np.abs(one.margin - other.margin) <= 1e-5 * scale
    return float(same[moved].mean())
