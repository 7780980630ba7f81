"""The page on detection quotes what was measured."""

import pathlib

import pytest

from docs.figures import detection_tables, page_tables

PAGE = (pathlib.Path(__file__).parents[2] / "docs" / "detection.md").read_text("utf-8")
RESULTS = page_tables.read_results("detection")

pytestmark = pytest.mark.fast


def test_the_tables_are_those_of_the_results_file():
    assert page_tables.filled(PAGE, detection_tables.tables()) == PAGE


def test_the_settings_are_those_of_the_results():
    meta = RESULTS["meta"]
    assert meta["name"] == "quickstart"
    for setting in (
        "max_examples=105",
        "aware_pgd.num_steps=30",
        "physics_examples=10",
    ):
        path, value = setting.split("=")
        found = meta["detection"]
        for part in path.split("."):
            found = found[part]
        assert str(found) == value
        assert f"--config.detection.{setting}" in PAGE
    assert all(row["n"] <= 105 for row in RESULTS["detectors"])
