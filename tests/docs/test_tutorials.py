"""Tutorials are run, with tiny sizes, and their results stand on their pages."""

import ast
import importlib.util
import re

import pytest

from docs import tutorial_pages

NAMES = tutorial_pages.names()
NOTEBOOKS = all(
    importlib.util.find_spec(name)
    for name in ("jupytext", "nbclient", "nbconvert", "ipykernel")
)
needs_notebooks = pytest.mark.skipif(not NOTEBOOKS, reason="needs the extra docs")


def source(name):
    return (tutorial_pages.FOLDER / f"{name}.py").read_text("utf-8")


@pytest.mark.fast
def test_the_list_of_tutorials_has_all():
    listed = (tutorial_pages.FOLDER / "index.md").read_text("utf-8")
    assert set(re.findall(r"\]\((\w+)\.md\)", listed)) == set(NAMES)


@pytest.mark.fast
@pytest.mark.parametrize("name", NAMES)
def test_a_tutorial_has_a_heading_a_smoke_form_and_a_warning(name):
    text = source(name)
    ast.parse(text)
    first = text.split("# %% [markdown]\n")[1]
    assert re.match(r"# # \w", first)
    assert f'os.environ.get("{tutorial_pages.SMOKE}")' in text
    assert text.count("SMOKE") > 2
    assert "not a diagnostic device" in " ".join(text.replace("\n# ", " ").split())


SMALL = """\
# %% [markdown]
# # Small
#
# Text.

# %%
import os, sys
print("a bar", file=sys.stderr)
print("smoke" if os.environ.get("WBAD_TUTORIAL_SMOKE") else "full", 6 * 7)
print("\\x1b[1mbold\\x1b[0m")
"""


@needs_notebooks
def test_results_stand_on_the_page(tmp_path, monkeypatch):
    (tmp_path / "small.py").write_text(SMALL)
    monkeypatch.setattr(tutorial_pages, "FOLDER", tmp_path)
    (_, plain), *_ = tutorial_pages.page("small")
    assert "Built without running" in plain
    assert "42" not in plain
    tutorial_pages.execute("small", tmp_path / "run", smoke=True)
    (address, page), *_ = tutorial_pages.page("small", tmp_path / "run" / "small.ipynb")
    assert address == "tutorials/small.md"
    assert page.startswith("# Small\n\n!!! warning")
    assert "smoke 42" in page
    assert "a bar\n" not in page
    assert "    bold" in page
    tutorial_pages.execute("small", tmp_path / "run", smoke=False)
    (_, page), *_ = tutorial_pages.page("small", tmp_path / "run" / "small.ipynb")
    assert "full 42" in page
    assert "warning" not in page


@needs_notebooks
def test_a_failing_tutorial_is_an_error(tmp_path, monkeypatch):
    from nbclient.exceptions import CellExecutionError

    (tmp_path / "small.py").write_text(SMALL + "\n# %%\n1 / 0\n")
    monkeypatch.setattr(tutorial_pages, "FOLDER", tmp_path)
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        tutorial_pages.execute("small", tmp_path / "run", smoke=True)
    assert not (tmp_path / "run" / "small.ipynb").exists()


@pytest.mark.slow
@needs_notebooks
@pytest.mark.parametrize("name", NAMES)
def test_a_tutorial_runs(name, tmp_path):
    tutorial_pages.execute(name, tmp_path, smoke=True)
