"""Checks of what an evaluation recorded: a sound record passes, faults fail."""

import dataclasses

import numpy as np
import pytest

from wbad_jax import evaluation
from wbad_jax.evaluation import ArmRecord, Condition, Outcome, check_record
from wbad_jax.evaluation.arm_record import was_attacked
from wbad_jax.evaluation.check_results import combine, not_run, plain, verdict

N, EPSILON = 40, 0.01
CLEAN = Condition(
    arm="wbad", set="test", protocol="clean", attack="none", norm=None, epsilon=None,
    seed=0,
)  # fmt: skip
LABELS = np.arange(N) % 2
THREAT_MODEL = {
    "norms": ["linf"], "epsilon": {"linf": EPSILON}, "epsilon_celsius": 0.16,
    "bounds": [0, 1], "knowledge": ["clean", "adaptive"], "goal": "untargeted",
}  # fmt: skip
pytestmark = pytest.mark.fast


def outcome(margins, attack="none", protocol="adaptive", epsilon=EPSILON, **changes):
    """Logits of given margins; attacks use the whole budget."""
    margins = np.asarray(margins, np.float32)
    told = {"attack": attack, "protocol": protocol, "norm": "linf", "epsilon": epsilon}
    clean = attack == "none"
    condition = CLEAN if clean else dataclasses.replace(CLEAN, **told)
    condition = dataclasses.replace(condition, **changes)
    n = len(margins)
    labels = np.resize(LABELS, n)
    signs = np.where(labels == 1, 1, -1)
    return Outcome(
        condition=condition,
        example_ids=np.array([f"e{i}" for i in range(n)]),
        patient_ids=np.arange(n),
        labels=labels,
        logits=np.stack([-signs * margins / 2, signs * margins / 2], axis=-1),
        distance=np.full(n, 0.0 if clean else epsilon),
        seconds=1.0,
    )


def sound():
    """38 of 40 right; FGSM breaks 10 of them, PGD 20, from a surrogate 5 and 8."""
    margins = np.linspace(0.5, 4, N)
    margins[:2] = -1
    rng = np.random.default_rng(0)

    def broken(count, **kwargs):
        moved = margins - rng.uniform(0.05, 0.1, N)
        moved[:count] = -rng.uniform(1, 2, count)
        return outcome(moved, **kwargs)

    return {
        "clean": outcome(margins),
        "fgsm": broken(12, attack="fgsm"),
        "pgd": broken(22, attack="pgd"),
        "graybox_fgsm": broken(7, attack="fgsm", protocol="graybox"),
        "graybox_pgd": broken(10, attack="pgd", protocol="graybox"),
        "square": broken(18, attack="square"),
        "large": broken(N, attack="pgd", epsilon=0.5),
    }


def record(outcomes, **changes):
    outcomes = list(outcomes.values())
    known = [o for o in outcomes if o.condition.protocol != "clean"]
    rows = []
    if not ArmRecord(arm="wbad", outcomes=outcomes).misplaced() and known:
        rows = [
            evaluation.make_row(o, (22.0, 38.0))
            for o in evaluation.add_worst_cases(outcomes)
        ]
    settings = {
        "arm": "wbad", "outcomes": outcomes, "rows": rows,
        "num_examples": {"test": N}, "threat_model": THREAT_MODEL,
        "trained_on": ("fgsm",),
    }  # fmt: skip
    return ArmRecord(**(settings | changes))


def checks(outcomes, **changes):
    return check_record(record(outcomes, **changes))


def test_a_sound_record_passes_all():
    undefended = record(sound())
    pairs = outcome(sound()["pgd"].margin, attack="pgd", set="test_pairs")
    with_pairs = sound() | {
        "pairs": outcome(sound()["clean"].margin, set="test_pairs"),
        "pairs_pgd": pairs,
    }
    found = checks(
        with_pairs, undefended=undefended, pair_bounds={("linf", EPSILON): 0.5}
    )
    bad = {name: v.sentence for name, v in found.items() if v.status != "pass"}
    assert not bad
    assert found["pair_bound"].evidence["groups"]


@pytest.mark.parametrize("field", THREAT_MODEL)
def test_c1_a_threat_model_with_a_hole(field):
    found = checks(sound(), threat_model={**THREAT_MODEL, field: None})["C1"]
    assert found.status == "fail"
    assert field in found.sentence


def test_c2_an_evaluation_of_correct_images_only():
    right = sound()["clean"].correct
    kept = {
        name: dataclasses.replace(
            o,
            **{
                field: getattr(o, field)[right]
                for field in (
                    "example_ids", "patient_ids", "labels", "logits", "distance",
                    "attacked",
                )
            },
        )
        for name, o in sound().items()
    }  # fmt: skip
    found = checks(kept)["C2"]
    assert found.status == "fail"
    assert "40 images, but 38 were evaluated and all" in found.sentence
    # Under attack alone: the clean images are all there.
    some = sound() | {"pgd": kept["pgd"]}
    found = checks(some)["C2"]
    assert found.status == "fail"
    assert "other images than the clean ones in adaptive pgd" in found.sentence


def test_c2_shuffled_labels():
    rng = np.random.default_rng(0)
    margins = rng.normal(size=N)
    found = checks({"clean": outcome(margins), "pgd": outcome(margins, attack="pgd")})
    assert found["C2"].status == "fail"
    assert "do not tell the classes apart" in found["C2"].sentence


def test_c2_nothing_or_one_class():
    assert checks({"pgd": sound()["pgd"]})["C2"].status == "fail"
    ones = {
        name: dataclasses.replace(o, labels=np.ones(N, int))
        for name, o in sound().items()
    }
    assert "one class only" in checks(ones)["C2"].sentence


def test_a_constant_classifier_is_named_and_not_called_masked():
    logits = np.tile(np.array([2.0, -1.0], np.float32), (N, 1))
    same = {name: dataclasses.replace(o, logits=logits) for name, o in sound().items()}
    found = checks(same)
    assert found["constant"].status == "fail"
    assert "class 0 for every image" in found["constant"].sentence
    assert found["C11"].status == "not_run"
    assert found["C2"].status == "fail"


def test_c7_one_step_that_finds_what_many_miss():
    better = sound()
    margins = better["fgsm"].margin.copy()
    margins[-1] = -1
    found = checks(better | {"fgsm": outcome(margins, attack="fgsm")})["C7"]
    assert found.status == "fail"
    assert found.evidence["groups"][0]["ids"] == [f"e{N - 1}"]
    # By less than programs differ: no finding.
    margins[-1] = -1e-6
    close = checks(better | {"fgsm": outcome(margins, attack="fgsm")})["C7"]
    assert close.status == "pass"


def test_c8_many_steps_that_do_what_one_does():
    copied = sound() | {"pgd": outcome(sound()["fgsm"].margin, attack="pgd")}
    found = checks(copied)["C8"]
    assert found.status == "fail"
    assert "pgd = fgsm" in found.sentence


def test_c10_accuracy_that_rises_with_the_budget():
    wide = outcome(sound()["clean"].margin, attack="pgd", epsilon=2 * EPSILON)
    found = checks(sound() | {"wide": wide})["C10"]
    assert found.status == "fail"
    assert "0.01 to 0.02" in found.sentence


def test_c11_a_large_budget_that_leaves_something():
    margins = sound()["large"].margin.copy()
    margins[-1] = 1
    large = outcome(margins, attack="pgd", epsilon=0.5)
    found = checks(sound() | {"large": large})["C11"]
    assert found.status == "fail"
    assert found.evidence["accuracy"] == {"test, linf, epsilon 0.5": 1 / N}


@pytest.mark.parametrize(
    ("check", "name", "attack", "protocol"),
    [
        ("C12", "square", "square", "adaptive"),
        ("C14", "graybox_pgd", "pgd", "graybox"),
    ],
)
def test_what_knows_less_breaks_more(check, name, attack, protocol):
    margins = sound()[name].margin.copy()
    for count, status in ((1, "pass"), (3, "fail")):
        margins[N - count :] = -1
        stronger = outcome(margins, attack=attack, protocol=protocol)
        found = checks(sound() | {name: stronger})[check]
        assert found.status == status, count


def test_graybox_below_adaptive_on_the_same_attack():
    margins = sound()["graybox_pgd"].margin.copy()
    margins[:26] = -1
    stronger = outcome(margins, attack="pgd", protocol="graybox")
    found = checks(sound() | {"graybox_pgd": stronger})["adaptive_below_graybox"]
    assert found.status == "fail"
    gaps = found.evidence["adaptive_minus_graybox"]
    assert gaps["pgd (test, linf, epsilon 0.01)"] == pytest.approx(4 / N)


def test_attacks_that_raise_accuracy():
    margins = sound()["clean"].margin.copy()
    margins[:8] = -1
    weak = sound() | {"clean": outcome(margins)}
    helped = outcome(np.abs(margins), attack="pgd")
    found = checks(weak | {"pgd": helped})["attack_above_clean"]
    assert found.status == "fail"
    assert "100.0 % against 80.0 % clean" in found.sentence
    helped = outcome(np.abs(margins), attack="pgd", protocol="graybox")
    found = checks(weak | {"graybox_pgd": helped})["graybox_above_clean"]
    assert found.status == "fail"
    # Within the interval: chance.
    margins[:7] = 1
    slight = outcome(margins, attack="pgd", protocol="graybox")
    found = checks(sound() | {"graybox_pgd": slight})["graybox_above_clean"]
    assert found.status == "pass"


def test_c16_attacks_that_leave_the_undefended_alone():
    names = ("clean", "fgsm", "pgd")
    margins = sound()["clean"].margin
    weak = {name: outcome(margins, attack=name) for name in names[1:]}
    weak["clean"] = outcome(margins)
    found = checks(sound(), undefended=record(weak))["C16"]
    assert found.status == "fail"
    assert checks(sound())["C16"].status == "not_run"


def test_c17_and_c23_rows_that_say_something_else():
    rows = [dict(row) for row in record(sound()).rows]
    best = max(row["accuracy"] for row in rows if row["attack"] == "pgd")
    for row in rows:
        if row["attack"] == "worst_case":
            row["accuracy"] = best
    assert checks(sound(), rows=rows)["C17"].status == "fail"
    rows[0]["ci_low"] = None
    assert checks(sound(), rows=rows)["C23"].status == "fail"


def test_c18_attacks_that_all_made_training_examples():
    found = checks(sound(), trained_on=("fgsm", "pgd", "square"))["C18"]
    assert found.status == "fail"


def test_c21_a_wrong_epsilon():
    over = dataclasses.replace(sound()["pgd"], distance=np.full(N, 1.2 * EPSILON))
    found = checks(sound() | {"pgd": over})["C21"]
    assert found.status == "fail"
    assert found.evidence["largest_share_of_budget"] == pytest.approx(1.2)
    rounding = dataclasses.replace(over, distance=np.full(N, EPSILON * (1 + 1e-7)))
    assert checks(sound() | {"pgd": rounding})["C21"].status == "pass"


def test_more_than_any_classifier_can_reach_on_pairs():
    with_pairs = {
        "pairs": outcome(sound()["clean"].margin, set="test_pairs"),
        "pairs_pgd": outcome(sound()["pgd"].margin, attack="pgd", set="test_pairs"),
    }
    accuracy = float(with_pairs["pairs_pgd"].correct.mean())
    for bound, status in ((accuracy, "pass"), (accuracy - 1 / N, "fail")):
        found = checks(sound() | with_pairs, pair_bounds={("linf", EPSILON): bound})
        assert found["pair_bound"].status == status


def test_nothing_to_compare_is_not_run():
    found = checks({"clean": sound()["clean"]}, rows=None)
    ran = {name for name, v in found.items() if v.status != "not_run"}
    assert ran == {"C1", "C2", "constant", "C21"}


def test_examples_that_an_attack_left_out_do_not_count_as_equal():
    """An attack run on what others left keeps their logits on the rest."""
    fgsm = sound()["fgsm"]
    left = fgsm.correct
    margins = np.where(left, fgsm.margin - 0.2, fgsm.margin)
    cascade = outcome(margins, attack="pgd")
    assert was_attacked(cascade).all()
    object.__setattr__(cascade, "attacked", left)
    found = checks(sound() | {"pgd": cascade})["C8"]
    assert found.status == "pass"
    (share,) = found.evidence["share_of_equal_logits"].values()
    assert share == 0


def test_verdicts_on_one_question_are_joined():
    good, bad = (verdict(holds, "good", "bad", x=1.0) for holds in (True, False))
    missing = not_run("missing", y=np.float32(2))
    assert combine([missing, good]) == ("pass", "good", {"x": 1.0, "y": 2.0})
    assert combine([good, bad, missing]).status == "fail"
    assert combine([missing]).sentence == "missing"
    assert plain({"a": np.array([1.0, np.nan]), 2: np.bool_(True)}) == {
        "a": [1.0, None], "2": True,
    }  # fmt: skip


def test_every_check_is_reported_once():
    found = evaluation.collect("wbad", checks(sound()).items(), reason="later")
    shared = evaluation.collect(None, checks(sound()).items(), reason="later")
    names = [result.id for result in [*shared, *found]]
    assert len(names) == len(set(names))
    assert {f"C{number}" for number in range(1, 24)} <= set(names)
    by_id = {result.id: result for result in found}
    assert by_id["C13"].status == "not_run"
    assert by_id["C13"].sentence == "later"
    text = evaluation.format_failures([*shared, *found])
    assert "0 failed" in text
