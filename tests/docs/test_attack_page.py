"""The page on attacks runs, and names what exists."""

import pathlib
import re

import pytest

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
