"""The package: what is in it, and what its files say of it."""

import importlib.util
import pathlib
import re
import tomllib

import pytest

import wbad_jax
from docs import package_check

ROOT = pathlib.Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
CITATION = (ROOT / "CITATION.cff").read_text("utf-8")
WHEEL = [*package_check.NEEDED, "wbad_jax/types.py", "wbad_jax-0.1.0.dist-info/RECORD"]


@pytest.mark.fast
def test_files_beside_the_code_are_declared():
    declared = PROJECT["tool"]["setuptools"]["package-data"]
    named = {
        f"{package.replace('.', '/')}/{file}"
        for package, files in declared.items()
        for file in files
    }
    assert set(package_check.NEEDED) <= named
    for name in package_check.NEEDED:
        assert (ROOT / name).is_file()


@pytest.mark.fast
def test_a_bad_wheel_is_seen():
    assert package_check.wheel_problems(WHEEL) == []
    assert package_check.wheel_problems(WHEEL[1:]) == ["wbad_jax/py.typed is missing"]
    for name in ("tests/conftest.py", "docs/build.py", "configs/default.py"):
        (problem,) = package_check.wheel_problems([*WHEEL, name])
        assert name in problem
    (problem,) = package_check.wheel_problems([*WHEEL, "wbad_jax/data/T0001.txt"])
    assert problem == "wbad_jax/data/T0001.txt could be data"


@pytest.mark.fast
def test_a_bad_sdist_is_seen():
    names = [f"wbad_jax-0.1.0/{name}" for name in package_check.NEEDED]
    fine = "wbad_jax-0.1.0/wbad_jax.egg-info/SOURCES.txt"
    assert package_check.sdist_problems([*names, fine]) == []
    found = package_check.sdist_problems([*names, "wbad_jax-0.1.0/data/p1.tiff"])
    assert found == ["data/p1.tiff could be data"]
    found = package_check.sdist_problems([*names, "wbad_jax-0.1.0/tests/pairs.py"])
    assert found == ["tests/pairs.py is a test"]
    assert package_check.sdist_problems(names[1:]) == ["wbad_jax/py.typed is missing"]


@pytest.mark.fast
def test_the_citation_is_of_this_version():
    version = PROJECT["project"]["version"]
    assert f"\nversion: {version}\n" in CITATION
    assert version == wbad_jax.__version__
    assert f"license: {PROJECT['project']['license']}" in CITATION
    assert re.search(r"^date-released: \d{4}-\d\d-\d\d$", CITATION, re.MULTILINE)
    assert re.search(r"^    doi: 10\.\d{4,}/\S+$", CITATION, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("build", "twine"))),
    reason="needs the extra docs",
)
def test_the_package_is_built_and_sound(tmp_path):
    assert package_check.check_package(tmp_path) == []
