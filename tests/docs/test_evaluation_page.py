"""The page on numbers names columns, settings and functions that exist."""

import pathlib
import re

import pytest

from configs import default
from wbad_jax import attacks, evaluation
from wbad_jax.evaluation.rows import COLUMNS

PAGE = (pathlib.Path(__file__).parents[2] / "docs" / "evaluation.md").read_text("utf-8")
pytestmark = pytest.mark.fast


def test_every_metric_is_explained():
    explained = set(re.findall(r"`(\w+)`", PAGE))
    trivial = {"seed", "seconds", "n", "ci_low", "ci_high"}
    ends = {name for name in COLUMNS if name.endswith(("_low", "_high"))}
    assert set(COLUMNS) - trivial - ends <= explained


def test_what_is_named_exists():
    for name in re.findall(r"`evaluation\.(\w+)`", PAGE):
        assert hasattr(evaluation, name)
    for name in re.findall(r"`attacks\.(\w+)`", PAGE):
        assert hasattr(attacks, name)
    settings = re.findall(r"`config\.evaluation\.(\w+)`", PAGE)
    assert settings
    for name in settings:
        assert name in default.get_config().evaluation
