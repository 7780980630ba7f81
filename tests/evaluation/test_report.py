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
    "specificity", "auc", "median_distance", "seconds", "seed",
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
        "%", "interval]", "sens", "spec",
    ]  # fmt: skip
    low, high = (f"{100 * bound:.1f}" for bound in evaluation.wilson_interval(3, 4))
    shared = ["4", "75.0", f"[{low},", f"{high}]"]
    assert [line.split() for line in body] == [
        ["wbad", "clean", "none", "-", "-", "-", *shared, "-", "100.0"],
        ["wbad", "adaptive", "pgd", "linf", "2.00/255", "0.125", *shared,
         "50.0", "100.0"],
        ["wbad", "(test_pairs)", "adaptive", "pgd", "l2", "0.5000", "8.000", *shared,
         "50.0", "100.0"],
    ]  # fmt: skip
