"""The page on checks runs, and its table is that of the code."""

import pathlib
import re

import pytest

from configs import default
from wbad_jax.evaluation import masking

PAGE = (pathlib.Path(__file__).parents[2] / "docs" / "checks.md").read_text("utf-8")
ROWS = re.findall(r"^\| `(\w+)`[^|]*\| (x?) ?\| (x?) ?\|", PAGE, re.MULTILINE)


@pytest.mark.fast
def test_every_check_is_in_the_table():
    table = {name: (recorded, computed) for name, recorded, computed in ROWS}
    assert list(table) == [name for name in masking.TITLES if name in table]
    assert set(table) == set(masking.TITLES)
    for name, (recorded, computed) in table.items():
        assert bool(recorded) == (name in masking.RECORD_CHECKS), name
        assert bool(computed) == (name in {*masking.SUBJECT_CHECKS, "C19"}), name


@pytest.mark.fast
def test_the_settings_named_exist():
    for field in re.findall(r"`(?:config\.)?evaluation\.([a-z_]+)`", PAGE):
        assert field in default.get_config().evaluation, field


def test_the_code_of_the_page_runs(capsys):
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    exec(compile(block, "block of checks.md", "exec"), {})
    assert capsys.readouterr().out.startswith("fail 16 of 16 images meet a gradient")
