"""The page on detection quotes what was measured, and names what exists."""

import pathlib
import re

import pytest

from configs import default
from docs.figures import detection_tables, page_tables
from experiments.watch import SCORES

PAGE = (pathlib.Path(__file__).parents[2] / "docs" / "detection.md").read_text("utf-8")
RECORD = page_tables.read_results("detection")


@pytest.mark.fast
def test_the_tables_are_those_of_the_results_file():
    assert page_tables.filled(PAGE, detection_tables.tables()) == PAGE


@pytest.mark.fast
def test_every_score_is_explained():
    table = PAGE.split("## What the scores see")[1].split("\n## ")[0]
    named = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert named == [*SCORES, RECORD["meta"]["physics_score"]]


@pytest.mark.fast
def test_the_command_and_its_settings_are_those_of_the_results():
    assert RECORD["command"] in PAGE
    config = default.get_config()
    for name in re.findall(r"`detection\.([a-z_]+)`", PAGE):
        assert name in config.detection
    for name, value in re.findall(r"--config\.detection\.([\w.]+)=(\S+)", PAGE):
        kept = RECORD["meta"]["detection"]
        for part in name.split("."):
            kept = kept[part]
        assert str(kept) == value
