"""The page on data, and the tables of its results files."""

import pathlib
import re

import pytest

from configs import default, image_folder
from docs.figures import data_tables, page_tables
from wbad_jax import data
from wbad_jax.data import dmr_ir_names

PAGE = (pathlib.Path(__file__).parents[2] / "docs" / "data.md").read_text("utf-8")
pytestmark = pytest.mark.fast


def test_the_tables_are_those_of_the_results_files():
    assert page_tables.filled(PAGE, data_tables.tables()) == PAGE


def test_the_options_are_those_of_the_config():
    table = PAGE.split("| option | meaning |")[1].split("\n\n")[0]
    first = [line.split(" | ")[0] for line in table.splitlines() if "`" in line]
    named = {name for cell in first for name in re.findall(r"`(\w+)`", cell)}
    assert named == set(image_folder.get_config().data.options)


def test_the_names_of_the_archive_are_read():
    table = PAGE.split("| name | says |")[1].split("\n\n")[0]
    names = re.findall(r"^\| `(.*?)\.txt` \|", table, re.MULTILINE)
    assert {data.parse_name(name).grammar for name in names} == set(
        dmr_ir_names.EXAMPLES
    )


def test_the_configs_of_the_builders_exist():
    named = set(re.findall(r"`(?:--config\.data\.builder=)?dmr_ir/(\w+)`", PAGE))
    assert named == {config.name for config in data.DmrIr.BUILDER_CONFIGS}
    config = default.get_config().data
    for field in ("split", "patients", "num_folds", "allow_leakage", "era"):
        assert field in config
        assert field in PAGE
