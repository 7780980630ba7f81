"""The array of decisions by attack and radius, and outcomes that carry others over."""

import dataclasses

import numpy as np
import pytest

from tests.evaluation.test_outcomes import CLEAN, PGD, outcome
from wbad_jax import evaluation

pytestmark = pytest.mark.fast


def at(margins, attack, epsilon):
    condition = dataclasses.replace(PGD, attack=attack, epsilon=epsilon)
    return outcome(margins, condition)


CASES = [
    outcome([3, 3, 3, -1], CLEAN),
    at([3, -1, 3, -1], "pgd", 0.01),
    at([3, 3, -1, -1], "fab", 0.01),
    # PGD does worse at the larger radius, which happens.
    at([-1, 3, 3, -1], "pgd", 0.02),
]


def test_decisions_stand_where_attack_and_radius_say():
    matrix = evaluation.correct_matrix(CASES)
    assert matrix.attacks == ("none", "pgd", "fab")
    np.testing.assert_array_equal(matrix.epsilons, [0, 0.01, 0.02])
    np.testing.assert_array_equal(matrix.evaluated, [[1, 0, 0], [0, 1, 1], [0, 1, 0]])
    np.testing.assert_array_equal(matrix.correct[0, 0], [1, 1, 1, 0])
    np.testing.assert_array_equal(matrix.correct[1, 2], [0, 1, 1, 0])
    np.testing.assert_array_equal(matrix.correct[2, 2], 1)  # nothing was run


def test_what_is_broken_stays_broken_at_larger_radii():
    matrix = evaluation.correct_matrix(reversed(CASES))
    np.testing.assert_array_equal(
        matrix.worst, [[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    )
    np.testing.assert_allclose(matrix.robust_accuracy, [0.75, 0.25, 0])


def test_the_worst_case_of_one_radius_is_that_of_the_outcomes():
    rng = np.random.default_rng(0)
    parts = [at(rng.normal(1, 1, 50), name, 0.01) for name in ("a", "b", "c")]
    clean = outcome(rng.normal(1, 1, 50), CLEAN)
    matrix = evaluation.correct_matrix([clean, *parts])
    worst = evaluation.worst_case([clean, *parts])
    np.testing.assert_array_equal(matrix.worst[1], worst.correct)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (CASES[1:], "one clean outcome, got 0"),
        ([*CASES, CASES[1]], "twice"),
        ([*CASES, at([1] * 4, "pgd", 0.03), outcome([1] * 4, dataclasses.replace(
            PGD, norm="l2"))], "one norm"),
        ([CASES[0], outcome([1] * 4, PGD, first_id=3)], "same examples"),
        ([CASES[0], outcome([1] * 4, dataclasses.replace(PGD, arm="x"))], "one arm"),
    ],
)  # fmt: skip
def test_outcomes_that_do_not_belong_together_are_refused(parts, message):
    with pytest.raises(ValueError, match=message):
        evaluation.correct_matrix(parts)


def test_examples_that_were_not_attacked_keep_what_broke_them():
    before = evaluation.worst_case([CASES[0], CASES[1]])
    rows = np.flatnonzero(before.correct)
    found = evaluation.carry_over(
        before, dataclasses.replace(PGD, attack="fab"), rows,
        logits=np.array([[0, -5.0], [0, 2.0]], np.float32),
        distance=np.array([0.5, 0.25], np.float32), seconds=2.0,
    )  # fmt: skip
    np.testing.assert_array_equal(found.margin, [-5, -1, 2, -1])
    np.testing.assert_allclose(found.distance, [0.5, 0.01, 0.25, 0.01])
    np.testing.assert_array_equal(found.attacked, [1, 0, 1, 0])
    assert found.evaluated_on == 2
    assert found.condition.attack == "fab"
    # What was before is as it was.
    np.testing.assert_array_equal(before.margin, [3, -1, 3, -1])


def test_a_minimal_norm_attack_says_all_smaller_radii():
    clean = outcome([1, 1, 1, -1], CLEAN)
    found = dataclasses.replace(
        at([-1, -2, 2, -1], "minimal_norm", 0.04),
        distance=np.array([0.01, 0.03, 0.04, 0.0], np.float32),
    )
    near = evaluation.within(found, clean, 0.01)
    np.testing.assert_array_equal(near.margin, [-1, 1, 1, -1])
    np.testing.assert_array_equal(near.distance, np.float32([0.01, 0, 0, 0]))
    assert near.condition.epsilon == 0.01
    assert near.seconds == 0
    far = evaluation.within(found, clean, 0.04)
    np.testing.assert_array_equal(far.correct, [0, 0, 1, 0])
    assert far.seconds == found.seconds
