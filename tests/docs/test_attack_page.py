"""The page on attacks runs, and names what exists."""

import pathlib
import re

import pytest

from docs.figures import attack_tables, page_tables
from wbad_jax import attacks

PAGE = (pathlib.Path(__file__).parents[2] / "docs" / "attacks.md").read_text("utf-8")


def test_the_code_of_the_attack_page_runs():
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 4
    namespace = {}
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"block {number} of attacks.md", "exec"), namespace)
    assert namespace["result"].success.shape == (8,)


@pytest.mark.fast
def test_the_attacks_named_exist():
    table = PAGE.split("## Which attack")[1].split("\n## ")[0]
    answers = [line.split("|")[2] for line in table.splitlines() if line[:2] == "| "]
    named = {name for cell in answers[1:] for name in re.findall(r"`(\w+)`", cell)}
    named |= set(re.findall(r"attacks\.(\w+)", PAGE))
    assert len(named) > 30
    assert named - {"epsilon", "md"} <= set(attacks.__all__)


@pytest.mark.fast
def test_every_attack_with_a_name_is_in_the_table():
    for attack in attacks.ATTACKS.values():
        assert f"`{attack.__name__}`" in PAGE, attack.__name__


@pytest.mark.fast
def test_the_tables_are_those_of_the_results_files():
    assert page_tables.filled(PAGE, attack_tables.tables()) == PAGE


@pytest.mark.fast
def test_the_suite_is_quoted_as_it_was_measured():
    record = page_tables.read_results("attack_suite")
    text = " ".join(PAGE.split())
    falls = (
        f"{100 * record['clean_accuracy']:.1f} to {100 * record['robust_accuracy']:.1f}"
    )
    interval = f"{100 * record['ci_low']:.1f} to {100 * record['ci_high']:.1f}"
    assert f"from {falls} % (95 % interval {interval})" in text
    assert f"{record['wall_minutes']:.0f} minutes in all" in text
    assert f"{record['images'][0]} simulated thermograms" in text
    later = [n for name, n in record["broken_by"].items() if name != "apgd"]
    assert sum(later) == 0
