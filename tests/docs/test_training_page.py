"""The page on training runs, and names what exists."""

import pathlib
import re

import pytest

from configs import default
from docs.figures import page_tables, training_tables
from wbad_jax import training

PAGE = (pathlib.Path(__file__).parents[2] / "docs" / "training.md").read_text("utf-8")


def test_the_code_of_the_training_page_runs():
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    namespace = {}
    # JAX has started: the number of devices is settled.
    blocks[1] = blocks[1].replace("devices.use_all_cores()", "pass")
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"block {number} of training.md", "exec"), namespace)
    assert int(namespace["state"].step) == 10


@pytest.mark.fast
def test_every_objective_is_in_the_table():
    table = PAGE.split("## Objectives")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert sorted(rows) == sorted(training.OBJECTIVES)


@pytest.mark.fast
def test_the_settings_named_exist():
    named = set(re.findall(r"`(training\.[a-z_.]+|arm\.NAME\.\w+)`", PAGE))
    assert len(named) > 8
    config = default.get_config()
    for path in named:
        value = config
        for part in path.replace("NAME", "wbad").split("."):
            assert part in value, path
            value = value[part]


@pytest.mark.fast
def test_the_tables_are_those_of_the_results_files():
    assert page_tables.filled(PAGE, training_tables.tables()) == PAGE
