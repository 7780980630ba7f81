"""Tables of the pages, written from results files between marks in the text.

A table called "speed" stands between `<!-- speed -->` and `<!-- /speed -->`.
"""

import json
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

_REPOSITORY = pathlib.Path(__file__).parents[2]
DOCS = _REPOSITORY / "docs"
RESULTS = _REPOSITORY / "benchmarks" / "results"


def read_results(name: str) -> dict[str, Any]:
    """A results file of `benchmarks`, by its name without the suffix."""
    return json.loads((RESULTS / f"{name}.json").read_text("utf-8"))


def write(page: pathlib.Path, tables: Mapping[str, str]) -> None:
    """Puts all tables into a page."""
    page.write_text(filled(page.read_text("utf-8"), tables), "utf-8")


def filled(page: str, tables: Mapping[str, str]) -> str:
    """The text of a page with all tables between their marks."""
    for name, lines in tables.items():
        page = replace(page, name, lines)
    return page


def replace(page: str, name: str, lines: str) -> str:
    """The text of a page with a table between its marks.

    Raises:
        ValueError: If the page has no such marks.
    """
    mark = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not mark.search(page):
        raise ValueError(f"the page has no marks of the table {name!r}.")
    return mark.sub(lambda found: f"{found[1]}\n{lines}\n{found[2]}", page)


def table(head: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def with_interval(row: Mapping[str, Any]) -> str:
    """Accuracy of a row in %, with its interval."""
    percent = [100 * row[name] for name in ("accuracy", "ci_low", "ci_high")]
    return f"{percent[0]:.1f} [{percent[1]:.1f}, {percent[2]:.1f}]"


def short(value: float) -> str:
    """Three or so digits."""
    return f"{value:.2f}" if value < 20 else f"{value:.0f}"
