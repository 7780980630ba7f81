"""The page on drills: its tables are those of the results files."""

import pathlib

import pytest

from docs.figures import drill_tables, page_tables

PAGE = (pathlib.Path(__file__).parents[2] / "docs" / "drills.md").read_text("utf-8")

pytestmark = pytest.mark.fast


def test_the_tables_are_those_of_the_results_files():
    assert page_tables.filled(PAGE, drill_tables.tables()) == PAGE


def test_a_loss_is_told():
    fine = {"status": 0, "said": [], "traceback": False}
    drills = {
        "lost": {"found": {"end": fine, "same": {"parameters": False}}},
        "kept": {"found": {"end": fine, "same": {"parameters": True}}},
        "dead": {"found": {"end": {**fine, "status": 1}, "same": {}}},
    }
    shown = drill_tables.faults_table({"drills": drills})
    assert "**other parameters**" in shown
    assert "| kept |  | went on | the same |" in shown
    assert "**failed**" in shown
