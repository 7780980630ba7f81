"""The page on certificates quotes what was measured."""

import pathlib
import re

import numpy as np
import pytest

from configs import default
from docs.figures import certificate_tables, page_tables

DOCS = pathlib.Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "certificates.md").read_text("utf-8")
RESULTS = page_tables.read_results("certificates")


@pytest.mark.fast
def test_the_tables_are_those_of_the_results_file():
    assert page_tables.filled(PAGE, certificate_tables.tables()) == PAGE


@pytest.mark.fast
def test_the_settings_are_those_of_the_results():
    first = RESULTS["runs"][0]
    assert first["meta"]["num_samples"] == 10_000
    (curve,) = first["curves"]
    assert curve["noise_trained"]
    assert (curve["n"], curve["num_patients"]) == (220, 110)
    assert curve["checks"]["certified"] >= 200
    for run in RESULTS["runs"]:
        meta = run["meta"]
        assert meta["sigmas"] == [0.1]
        assert meta["alpha"] == 1e-7
        assert meta["radius_per_linf_epsilon"] == 64
        assert meta["window_celsius"][1] - meta["window_celsius"][0] == 16


@pytest.mark.fast
def test_no_certificate_was_refuted():
    assert RESULTS["holds"]
    assert RESULTS["second_implementation"]["within_interval"]
    for run in RESULTS["runs"]:
        for curve in run["curves"]:
            checks = dict(curve["checks"])
            checks.pop("certified")
            assert not any(checks.values())


@pytest.mark.fast
def test_the_settings_named_exist():
    named = set(re.findall(r"`((?:training|config)\.[a-z_.]+)`", PAGE))
    assert named
    for path in named:
        value = default.get_config()
        for part in path.removeprefix("config.").split("."):
            assert part in value, path
            value = value[part]


def test_the_code_runs():
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    namespace = {}
    exec(compile(block, "certificates.md", "exec"), namespace)
    examples, found = namespace["examples"], namespace["found"]
    # Distances to a plane, which no certificate may exceed.
    margins = np.abs((examples.images - 0.5).sum(axis=(1, 2, 3))) / 8
    assert np.all(found.radius <= margins)
    assert np.any(found.radius > 0)
