"""The cost of training an arm, and of the arm that it starts from."""

import json

import pytest

from benchmarks import training_cost


def row(arm, steps, cpu_ms, init_from=""):
    times = {"cpu_ms": cpu_ms, "wall_ms": 1.0}
    return {"arm": arm, "init_from": init_from, "steps": steps, "step": times}


@pytest.mark.fast
def test_the_start_of_an_arm_is_paid_for_too():
    rows = training_cost.with_totals(
        [
            row("undefended", 600, 100.0),
            row("adversarial", 800, 500.0, "undefended"),
            row("lesion_map", 1600, 300.0),
        ]
    )
    totals = {each["arm"]: each["total_cpu_s"] for each in rows}
    expected = {"undefended": 60.0, "adversarial": 460.0, "lesion_map": 480.0}
    assert totals == pytest.approx(expected)


@pytest.mark.slow
def test_every_arm_of_the_headline_is_timed(tmp_path):
    output = tmp_path / "cost.json"
    arguments = ["--mode=smoke", "--rounds=2", f"--output={output}"]
    assert training_cost.main(arguments) == 0
    rows = json.loads(output.read_text())["rows"]
    assert [each["arm"] for each in rows] == [
        "undefended", "denoise", "adversarial", "wbad", "lesion_map",
    ]  # fmt: skip
    assert all(each["step"]["cpu_ms"] > 0 for each in rows)
    costs = {each["arm"]: each["total_cpu_s"] for each in rows}
    assert costs["adversarial"] > costs["undefended"]
