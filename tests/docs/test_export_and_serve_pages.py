"""The pages on export and the twin page name what exists."""

import pathlib
import re

import pytest

from experiments import export_check
from experiments.serve.limits import Limits
from experiments.serve.uploads import MOST_PIXELS

ROOT = pathlib.Path(__file__).parents[2]
pytestmark = pytest.mark.fast


def read(path):
    return (ROOT / path).read_text("utf-8")


@pytest.mark.parametrize(
    ("page", "command"),
    [
        ("docs/export.md", "experiments/export.py"),
        ("docs/serve.md", "experiments/serve/__main__.py"),
    ],
)
def test_every_flag_named_is_one(page, command):
    named = set(re.findall(r"--(\w+)", read(page))) - {"data"}
    defined = set(re.findall(r'DEFINE_\w+\(\s*"(\w+)"', read(command)))
    assert named
    assert named <= defined | {"workdir"}
    assert "diagnostic device" in read(page)


def test_the_numbers_are_those_of_the_code():
    page, limits = read("docs/serve.md"), Limits()
    assert f"{limits.upload_bytes // 2**20} MiB" in page
    assert f"{MOST_PIXELS:,} pixels" in page
    assert f"{limits.requests_a_minute} requests a minute" in page
    assert f"within {limits.upload_seconds:g} s" in page
    assert f"beyond {limits.work_seconds:g} s" in page
    assert limits.waiting == 4  # one computed, three wait
    page = read("docs/export.md")
    assert "1e-4 on a logit" in page
    assert export_check.LOGITS_TOLERANCE == 1e-4
    assert "1e-3 of its length" in page
    assert export_check.GRADIENT_TOLERANCE == 1e-3
    sizes = " and ".join(map(str, export_check.BATCH_SIZES))
    assert f"batches of {sizes}" in page
    lines = len(read("docs/examples/load_exported.py").splitlines())
    assert f"{lines} lines" in page
