"""The page of the ablation: its tables are those of the results file."""

import pathlib

import pytest

from configs.sweeps import thresholds
from docs.figures import page_tables, threshold_tables

PAGE = pathlib.Path(threshold_tables.PAGE).read_text("utf-8")

pytestmark = pytest.mark.fast


def test_the_tables_are_those_of_the_results_file():
    assert page_tables.filled(PAGE, threshold_tables.tables()) == PAGE


def test_every_run_of_the_sweep_has_a_name():
    runs = thresholds.RULES | thresholds.CONTROLS | thresholds.OTHERS
    assert set(threshold_tables.NAMES) == set(runs)


def row(run, **more):
    each = {"accuracy": 0.5, "ci_low": 0.4, "ci_high": 0.625}
    names = ("clean", "graybox", "adaptive", "approximation")
    return {
        "run": run, "seeds": [0, 1], "accuracy": dict.fromkeys(names, each),
        "minus": {}, **more,
    }  # fmt: skip


def test_accuracies_and_differences_in_points():
    each = {"difference": 0.01, "difference_low": -0.02, "difference_high": 0.04}
    each["difference_seeds"] = 2
    minus = {"universal": dict.fromkeys(("clean", "graybox", "adaptive"), each)}
    rows = [row("learned", minus=minus), row("universal")]
    rows = threshold_tables.in_order(rows)
    assert [r["run"] for r in rows] == ["universal", "learned"]
    first = threshold_tables.accuracy_table(rows).splitlines()[2]
    assert first.startswith("| universal | 2 | 50.0 [40.0, 62.5] |")
    (line,) = threshold_tables.endpoints_table(rows, ["learned"]).splitlines()[2:]
    assert line.startswith("| learned | universal | +1.0 [-2.0, +4.0] |")


def test_thresholds_by_level_and_orientation():
    found = {"sigmas": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], "epsilons": [[0.1] * 3] * 2}
    rows = [row("learned", thresholds=[found] * 2, collapsed=[0.5, None])]
    lines = threshold_tables.converged_table(rows).splitlines()[2:]
    assert lines[0].startswith("| learned | 0 | 1.0, 2.0, 3.0 | 4.0, 5.0, 6.0 | 0.1,")
    assert lines[0].endswith("| 50 % |")
    assert lines[1].endswith("| - |")
