"""Rows, files and the printed table."""

import csv
import dataclasses
import json

import numpy as np
import pytest

from wbad_jax import evaluation

COLUMNS = {
    "arm", "set", "ceiling", "protocol", "attack", "norm", "epsilon",
    "epsilon_celsius", "unit", "n", "accuracy", "ci_low", "ci_high", "sensitivity",
    "specificity", "auc", "median_distance", "seconds", "seed", "sensitivity_low",
    "sensitivity_high", "specificity_low", "specificity_high", "auc_low", "auc_high",
    "sensitivity_at_90_specificity", "sensitivity_at_90_specificity_low",
    "sensitivity_at_90_specificity_high", "specificity_there", "brier", "ece",
    "calibration_slope", "calibration_intercept", "missed_cancer", "false_alarm",
    "distance_10", "distance_90", "evaluated_on", "surrogate",
}  # fmt: skip
CLEAN = evaluation.Condition(
    arm="wbad", set="test", protocol="clean", attack="none", norm=None, epsilon=None,
    seed=3,
)  # fmt: skip
PGD = dataclasses.replace(
    CLEAN, protocol="adaptive", attack="pgd", norm="linf", epsilon=2 / 255
)
WINDOW = (22.0, 38.0)


def outcome(condition=PGD, margins=(1.0, -1.0, 2.0, 3.0), patients=(0, 1, 2, 3)):
    n = len(margins)
    labels = np.arange(n) % 2
    sign = (2 * labels - 1) * np.asarray(margins, np.float32) / 2
    return evaluation.Outcome(
        condition=condition,
        example_ids=np.array([f"e{i}" for i in range(n)]),
        patient_ids=np.asarray(patients),
        labels=labels,
        logits=np.stack([-sign, sign], axis=-1),
        distance=np.array([0.001, 0.002, 0.004, 0.1])[:n],
        seconds=2.5,
    )


@pytest.mark.fast
def test_row_has_the_columns_of_the_results_file():
    row = evaluation.make_row(outcome(), WINDOW)
    assert set(row) == COLUMNS
    low, high = evaluation.wilson_interval(3, 4)
    expected = {
        "arm": "wbad", "set": "test", "ceiling": None, "protocol": "adaptive",
        "attack": "pgd", "norm": "linf", "unit": "patient", "n": 4,
        "sensitivity": 0.5, "specificity": 1.0, "seconds": 2.5, "seed": 3,
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected
    numbers = {
        "epsilon": 2 / 255, "epsilon_celsius": 2 / 255 * 16, "accuracy": 0.75,
        "ci_low": low, "ci_high": high, "median_distance": 0.003,
    }  # fmt: skip
    assert {name: row[name] for name in numbers} == pytest.approx(numbers)


@pytest.mark.fast
def test_clean_rows_have_no_budget_and_no_distance():
    row = evaluation.make_row(outcome(CLEAN), WINDOW)
    for name in ("norm", "epsilon", "epsilon_celsius", "median_distance", "ceiling"):
        assert row[name] is None, name


@pytest.mark.fast
def test_unit_is_the_image_where_a_patient_has_several():
    row = evaluation.make_row(outcome(patients=(0, 0, 1, 2)), WINDOW)
    assert row["unit"] == "image"


@pytest.mark.fast
def test_worst_cases_follow_each_group_and_include_clean():
    fgsm = dataclasses.replace(PGD, attack="fgsm")
    far = dataclasses.replace(PGD, epsilon=8 / 255)
    other = dataclasses.replace(CLEAN, arm="undefended")
    outcomes = [
        outcome(CLEAN, margins=(1.0, 1.0, -1.0, 1.0)),
        outcome(other, margins=(-1.0, -1.0, -1.0, -1.0)),
        outcome(fgsm, margins=(-1.0, 1.0, 1.0, 1.0)),
        outcome(PGD, margins=(1.0, -1.0, 1.0, 1.0)),
        outcome(far, margins=(1.0, -2.0, 1.0, 1.0)),
    ]
    result = evaluation.add_worst_cases(outcomes)
    names = [(o.condition.attack, o.condition.epsilon) for o in result]
    near, far_away = 2 / 255, 8 / 255
    assert names == [
        ("none", None), ("none", None), ("fgsm", near), ("pgd", near),
        ("worst_case", near), ("pgd", far_away), ("worst_case", far_away),
    ]  # fmt: skip
    # Wrong where clean, or any attack of that budget, of the same arm, is wrong.
    np.testing.assert_array_equal(result[4].correct, [False, False, False, True])
    np.testing.assert_array_equal(result[6].correct, [True, False, False, True])
    assert result[4].condition == dataclasses.replace(PGD, attack="worst_case")


@pytest.mark.fast
def test_files_hold_the_rows(tmp_path):
    rows = [
        evaluation.make_row(o, WINDOW)
        for o in (outcome(CLEAN), outcome(), outcome(margins=(1.0,), patients=(0,)))
    ]
    meta = {"headline_epsilon": 2 / 255, "device": "cpu °C"}
    evaluation.write_results(tmp_path, meta, iter(rows))

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON.")

    text = (tmp_path / "results.json").read_text(encoding="utf-8")
    content = json.loads(text, parse_constant=refuse)
    assert content == {"meta": meta, "rows": rows}
    with (tmp_path / "results.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 3
    for line, row in zip(lines, rows, strict=True):
        assert line == {k: "" if v is None else str(v) for k, v in row.items()}
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"results.json", "results.csv"}


@pytest.mark.fast
def test_nan_is_refused_and_the_old_file_kept(tmp_path):
    row = evaluation.make_row(outcome(), WINDOW)
    evaluation.write_results(tmp_path, {}, [row])
    before = (tmp_path / "results.json").read_text()
    with pytest.raises(ValueError, match="not JSON compliant"):
        evaluation.write_results(tmp_path, {}, [row | {"accuracy": float("nan")}])
    assert (tmp_path / "results.json").read_text() == before


@pytest.mark.fast
def test_table():
    l2 = dataclasses.replace(PGD, norm="l2", epsilon=0.5, set="test_pairs")
    rows = [evaluation.make_row(outcome(c), WINDOW) for c in (CLEAN, PGD, l2)]
    rows[0]["sensitivity"] = None
    lines = evaluation.format_table(rows).splitlines()
    assert len({len(line) for line in lines}) == 1  # Columns are aligned.
    header, rule, *body = lines
    assert set(rule) == {"-", " "}
    assert header.split() == [
        "arm", "protocol", "attack", "norm", "epsilon", "°C", "n", "accuracy", "[95",
        "%", "interval]", "sens", "spec", "AUC",
    ]  # fmt: skip
    low, high = (f"{100 * bound:.1f}" for bound in evaluation.wilson_interval(3, 4))
    shared = ["4", "75.0", f"[{low},", f"{high}]"]
    assert [line.split() for line in body] == [
        ["wbad", "clean", "none", "-", "-", "-", *shared, "-", "100.0", "87.5"],
        ["wbad", "adaptive", "pgd", "linf", "2.00/255", "0.125", *shared,
         "50.0", "100.0", "87.5"],
        ["wbad", "(test_pairs)", "adaptive", "pgd", "l2", "0.5000", "8.000", *shared,
         "50.0", "100.0", "87.5"],
    ]  # fmt: skip


def validation(scores):
    """Healthy validation images with these scores."""
    scores = np.asarray(scores, float)
    n = len(scores)
    return evaluation.Outcome(
        condition=dataclasses.replace(CLEAN, set="validation"),
        example_ids=np.array([f"v{i}" for i in range(n)]),
        patient_ids=100 + np.arange(n),
        labels=np.zeros(n, int),
        logits=np.stack([np.zeros(n), scores], axis=-1),
        distance=np.zeros(n),
        seconds=0.0,
    )


@pytest.mark.fast
def test_rows_are_held_against_clean_images_and_the_validation_threshold():
    # Labels 0, 1, 0, 1; scores are -1, -1, 2, 3 when attacked.
    clean = outcome(CLEAN, margins=(1.0, 1.0, 1.0, -1.0))
    attacked = outcome(margins=(1.0, -1.0, -2.0, 3.0))
    rows = evaluation.make_rows([clean, validation([-4, 2]), attacked], WINDOW)
    assert [row["set"] for row in rows] == ["test", "test"]
    assert rows[0]["missed_cancer"] is rows[0]["false_alarm"] is None
    assert rows[0]["sensitivity_at_90_specificity"] == 0
    # Of what was right when clean: one image with tumour, and it is missed; of the two
    # without, one is a false alarm.
    assert rows[1]["missed_cancer"] == 1
    assert rows[1]["false_alarm"] == 0.5
    # The threshold is 2 for clean and attacked images.
    assert rows[1]["sensitivity_at_90_specificity"] == 0.5
    assert (rows[1]["specificity_there"], rows[1]["specificity"]) == (1, 0.5)
    alone = evaluation.make_row(attacked, WINDOW)
    assert alone["sensitivity_at_90_specificity"] is alone["missed_cancer"] is None
    same = {name for name in COLUMNS if alone[name] == rows[1][name]}
    assert COLUMNS - same == {
        "missed_cancer", "false_alarm", "sensitivity_at_90_specificity",
        "sensitivity_at_90_specificity_low", "sensitivity_at_90_specificity_high",
        "specificity_there",
    }  # fmt: skip


@pytest.mark.fast
def test_distances_have_quantiles():
    row = evaluation.make_row(outcome(), WINDOW)
    assert row["distance_10"] == pytest.approx(0.0013)
    assert row["distance_90"] == pytest.approx(0.0712)


@pytest.mark.fast
def test_patients_with_several_images_have_rows_of_both_units():
    patients = (0, 1, 0, 1)
    clean = outcome(CLEAN, margins=(1.0, 1.0, 1.0, 1.0), patients=patients)
    attacked = outcome(margins=(1.0, -1.0, -2.0, 3.0), patients=patients)
    rows = evaluation.make_rows([clean, attacked], WINDOW)
    assert [(row["unit"], row["n"]) for row in rows] == [
        ("image", 4), ("patient", 2), ("image", 4), ("patient", 2),
    ]  # fmt: skip
    image, patient = rows[2:]
    assert (image["accuracy"], patient["accuracy"]) == (0.5, 0.5)
    assert (image["missed_cancer"], image["false_alarm"]) == (0.5, 0.5)
    # Mean margins of -0.5 for the healthy patient, 1 for the one with tumour.
    assert (patient["missed_cancer"], patient["false_alarm"]) == (0, 1)


@pytest.mark.fast
def test_twins_are_images_of_one_patient_and_no_second_unit():
    pairs = dataclasses.replace(CLEAN, set="test_pairs")
    rows = evaluation.make_rows([outcome(pairs, patients=(0, 0, 1, 1))], WINDOW)
    assert [row["unit"] for row in rows] == ["image"]
    assert rows[0]["ci_low"] == 0.5  # patients drawn anew: 1/2 of one, 1 of the other


@pytest.mark.fast
def test_the_ceiling_binds_adaptive_attacks_on_pairs():
    budget = {"norm": "linf", "epsilon": 2 / 255}
    conditions = [
        dataclasses.replace(PGD, set=name, protocol=protocol)
        for name in ("test", "test_pairs")
        for protocol in ("graybox", "adaptive")
    ]
    conditions.append(dataclasses.replace(conditions[-1], epsilon=0.5))
    ceilings = {tuple(budget.values()): 0.8}
    outcomes = [outcome(condition) for condition in conditions]
    rows = evaluation.make_rows(outcomes, WINDOW, ceilings)
    assert [row["ceiling"] for row in rows] == [None, None, None, 0.8, None]


@pytest.mark.fast
def test_comparisons_stand_beside_the_rows(tmp_path):
    evaluation.write_results(tmp_path, {}, [], [{"arm": "wbad"}])
    content = json.loads((tmp_path / "results.json").read_text())
    assert content["comparisons"] == [{"arm": "wbad"}]
