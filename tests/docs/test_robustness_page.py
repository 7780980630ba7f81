"""The page on robustness: its tables and sentences are those of the results files."""

import pathlib

import pytest

from docs.figures import page_tables, robustness_tables
from experiments.attack_suite import SUITES

PAGE = (pathlib.Path(__file__).parents[2] / "docs" / "robustness.md").read_text("utf-8")

pytestmark = pytest.mark.fast


def test_the_tables_are_those_of_the_results_files():
    assert page_tables.filled(PAGE, robustness_tables.tables()) == PAGE


@pytest.mark.parametrize("suite", ["short", "full"])
def test_the_attacks_of_a_suite_are_listed_in_order(suite):
    listed = ", ".join(f"`{name}`" for name in SUITES[suite])
    assert f"| `{suite}` | {listed} |" in PAGE
