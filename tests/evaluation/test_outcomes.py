"""Outcomes: worst case by example, pooling of folds, the file."""

import dataclasses

import numpy as np
import pyarrow.parquet as pq
import pytest

from wbad_jax import evaluation

CLEAN = evaluation.Condition(
    arm="wbad", set="test", protocol="clean", attack="none", norm=None, epsilon=None,
    seed=3,
)  # fmt: skip
PGD = dataclasses.replace(
    CLEAN, protocol="adaptive", attack="pgd", norm="linf", epsilon=0.01
)


def outcome(margins, condition=PGD, seconds=1.0, first_id=0):
    """Two classes, all labels 1: a negative margin is a wrong decision."""
    margins = np.asarray(margins, np.float32)
    n = len(margins)
    return evaluation.Outcome(
        condition=condition,
        example_ids=np.array([f"e{first_id + i}" for i in range(n)]),
        patient_ids=np.arange(first_id, first_id + n),
        labels=np.ones(n, np.int32),
        logits=np.stack([np.zeros(n, np.float32), margins], axis=-1),
        distance=np.abs(margins) / 100,
        seconds=seconds,
    )


def assert_same(actual, expected):
    for field in dataclasses.fields(expected):
        got, want = (getattr(o, field.name) for o in (actual, expected))
        np.testing.assert_array_equal(got, want, field.name)
        if isinstance(want, np.ndarray) and want.dtype.kind != "U":
            assert got.dtype == want.dtype, field.name


@pytest.mark.fast
def test_margin_and_correct_with_three_classes():
    three = dataclasses.replace(
        outcome([0, 0, 0]),
        labels=np.array([0, 1, 2]),
        logits=np.array([[3.0, 1.0, 2.0], [3.0, 1.0, 2.0], [-5.0, -1.0, -0.5]]),
    )
    np.testing.assert_allclose(three.margin, [1.0, -2.0, 0.5])
    np.testing.assert_array_equal(three.correct, [True, False, True])


@pytest.mark.fast
def test_wrong_under_any_attack_is_wrong_in_the_worst_case():
    parts = [
        outcome([2.0, -1.0, 3.0, -2.0], dataclasses.replace(PGD, attack="fgsm")),
        outcome([1.0, 1.0, -3.0, -1.0]),
    ]
    worst = evaluation.worst_case(parts)
    # The lower margin of each example, from either attack: no attack wins as a whole.
    np.testing.assert_array_equal(worst.margin, [1.0, -1.0, -3.0, -2.0])
    np.testing.assert_array_equal(worst.correct, [True, False, False, False])
    np.testing.assert_allclose(worst.distance, [0.01, 0.01, 0.03, 0.02])
    assert worst.condition == dataclasses.replace(PGD, attack="worst_case")
    assert worst.seconds == 2.0
    for part in parts:
        assert worst.correct.mean() < part.correct.mean()


@pytest.mark.fast
def test_a_tie_that_decides_wrongly_is_worse_than_a_smaller_right_margin():
    """Both logits equal: argmax takes class 0, which is wrong, at margin 0."""
    parts = [outcome([0.0, 0.5]), outcome([0.1, 0.2])]
    for order in (parts, parts[::-1]):
        worst = evaluation.worst_case(order)
        np.testing.assert_array_equal(worst.correct, [False, True])
        np.testing.assert_array_equal(worst.margin, np.array([0, 0.2], np.float32))


@pytest.mark.fast
def test_of_two_equal_margins_the_wrong_decision_is_worse():
    """Ties go to the lower class: with label 1, one with class 0 is wrong."""
    wrong, right = (
        dataclasses.replace(outcome([0.0]), logits=np.array([logits]))
        for logits in ([1.0, 1.0, 0.0], [0.0, 1.0, 1.0])
    )
    for order in ([wrong, right], [right, wrong]):
        assert not evaluation.worst_case(order).correct[0]


@pytest.mark.fast
def test_worst_case_of_other_examples_is_refused():
    with pytest.raises(ValueError, match="same examples"):
        evaluation.worst_case([outcome([1.0]), outcome([1.0], first_id=5)])


@pytest.mark.fast
def test_pool_joins_equal_conditions_only():
    other = dataclasses.replace(PGD, epsilon=0.02)
    parts = [outcome([1.0]), outcome([2.0], other), outcome([3.0, 4.0], first_id=7)]
    first, second = evaluation.pool(parts)
    np.testing.assert_array_equal(first.margin, [1, 3, 4])
    assert first.example_ids.tolist() == ["e0", "e7", "e8"]
    assert first.patient_ids.tolist() == [0, 7, 8]
    assert first.seconds == 2.0
    assert first.folds.tolist() == [0, 1, 1]
    assert first.fold_of_example.tolist() == [0, 1, 1]
    assert_same(second, parts[1])
    assert second.fold_of_example.tolist() == [0]


@pytest.mark.fast
def test_a_patient_has_the_mean_logits_of_her_images():
    images = dataclasses.replace(
        outcome([1.0, 4.0, -2.0, 5.0, 7.0]),
        patient_ids=np.array([7, 3, 3, 7, 3]),
        labels=np.array([1, 1, 1, 1, 0]),  # patient 3 is there in both states
        folds=np.array([0, 1, 1, 0, 1]),
    )
    patients = evaluation.by_patient(images)
    assert patients.patient_ids.tolist() == [3, 3, 7]
    assert patients.labels.tolist() == [0, 1, 1]
    np.testing.assert_allclose(patients.logits, [[0, 7], [0, 1], [0, 3]])
    np.testing.assert_allclose(patients.distance, [0.07, 0.03, 0.03], rtol=1e-6)
    assert patients.folds.tolist() == [1, 1, 0]
    assert len(set(patients.example_ids)) == 3
    assert patients.condition == images.condition


@pytest.mark.fast
def test_the_worst_case_of_a_patient_takes_the_worst_attack_of_each_image():
    parts = [outcome([2.0, -3.0]), outcome([-1.0, 1.0])]
    parts = [dataclasses.replace(p, patient_ids=np.array([5, 5])) for p in parts]
    worst = evaluation.by_patient(evaluation.worst_case(parts))
    np.testing.assert_allclose(worst.margin, [-2.0])
    assert worst.margin < min(evaluation.by_patient(p).margin for p in parts)


@pytest.mark.fast
def test_parquet_gives_back_what_was_written(tmp_path):
    path = tmp_path / "predictions.parquet"
    parts = [
        outcome([1 / 3, -2.0], CLEAN, seconds=0.25),
        dataclasses.replace(outcome([3.0, 1e-20]), folds=np.array([0, 1], np.int32)),
        # The same attack on another set, with other examples in another order.
        outcome([5.0, 4.0, 3.0], dataclasses.replace(PGD, set="pairs"), first_id=9),
    ]
    evaluation.write_parquet(parts, path)
    restored = evaluation.read_parquet(path)
    assert len(restored) == 3
    for got, want in zip(restored, parts, strict=True):
        assert_same(got, want)
    assert [p.name for p in tmp_path.iterdir()] == ["predictions.parquet"]


@pytest.mark.fast
def test_parquet_columns(tmp_path):
    path = tmp_path / "predictions.parquet"
    evaluation.write_parquet([outcome([1.0, -2.0])], path)
    table = pq.read_table(path)
    wanted = {
        "arm", "set", "protocol", "attack", "norm", "epsilon", "seed", "example_id",
        "patient_id", "label", "predicted", "logits", "distance", "seconds", "fold",
        "attacked", "surrogate",
    }  # fmt: skip
    assert set(table.column_names) == wanted
    assert table.column("predicted").to_pylist() == [1, 0]
