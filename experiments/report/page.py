"""The page: sections of blocks, turned into one self-contained HTML file.

Jinja escapes all text. A policy in the page (CSP) lets the browser run the two scripts
of the page and nothing else, and lets it load nothing from anywhere.
"""

import base64
import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup
from plotly.offline import get_plotlyjs

from experiments.page_environment import page_environment
from experiments.report.charts import Figure
from experiments.report.plotly_charts import to_plotly

_FOLDER = pathlib.Path(__file__).parent
# Told by word and by shape, not by colour alone.
MARKS = {
    "fail": "✗ failed",
    "warn": "▲ warning",
    "pass": "✓ passed",
    "not_run": "○ not run",
    "note": "",
}


@dataclasses.dataclass(frozen=True)
class Cell:
    """Text of a table cell; a number to sort by; a status; lines below."""

    text: str
    value: float | None = None
    status: str | None = None
    below: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """A table that can be sorted by each column.

    Attributes:
        slug: Its name in the page.
        caption: What it shows.
        columns: Their titles.
        rows: Cells, as many as columns.
        filters: Numbers of the columns that rows can be chosen by.
        tall: Whether it may scroll inside a box of its own.
    """

    slug: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    filters: Sequence[int] = ()
    tall: bool = False

    def is_numeric(self, column: int) -> bool:
        """Whether a column holds numbers."""
        cells = [row[column] for row in self.rows]
        return any(c.value is not None and c.status is None for c in cells)

    def choices(self, column: int) -> list[str]:
        """Different texts of a column, in order of appearance."""
        return list(dict.fromkeys(row[column].text for row in self.rows))


@dataclasses.dataclass(frozen=True)
class Note:
    """A paragraph; of a missing part, which command makes it."""

    text: str
    missing: bool = False
    command: str = ""


@dataclasses.dataclass(frozen=True)
class Finding:
    """Sentences with a status of `MARKS`, and what they are about."""

    status: str
    about: str
    text: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bar:
    """A colour bar: its colours as a PNG in base64, and the values at its ends."""

    title: str
    png: str
    low: str
    high: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pictures:
    """Rows of pictures under common headings; each picture is a PNG in base64."""

    title: str
    headings: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str]]]
    bars: Sequence[Bar]


@dataclasses.dataclass(frozen=True)
class Details:
    """Something long that opens at a click."""

    summary: str
    text: str


Block = Table | Note | Figure | Pictures | Details


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading with blocks under it."""

    slug: str
    title: str
    blocks: Sequence[Block]


def render(
    title: str, verdict: str, findings: Sequence[Finding], sections: Sequence[Section]
) -> str:
    """The page as text.

    Args:
        title: Of the page.
        verdict: One line: what came out.
        findings: What holds and what failed, gravest first.
        sections: What follows.
    """
    environment = page_environment(_FOLDER)
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False}
    scripts = [get_plotlyjs(), (_FOLDER / "page.js").read_text(encoding="utf-8")]
    return environment.get_template("page.html").render(
        title=title,
        verdict=verdict,
        findings=findings,
        sections=sections,
        charts=_charts(sections),
        marks=MARKS,
        kind=lambda block: type(block).__name__,
        style=Markup((_FOLDER / "page.css").read_text(encoding="utf-8")),
        scripts=[Markup(script) for script in scripts],
        hashes=[_hash(script) for script in scripts],
    )


def _charts(sections: Sequence[Section]) -> dict[str, Any]:
    figures = [b for s in sections for b in s.blocks if isinstance(b, Figure)]
    return {
        f"{figure.slug}-{number}": to_plotly(panel)
        for figure in figures
        for number, panel in enumerate(figure.panels)
    }


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return "sha256-" + base64.b64encode(digest).decode("ascii")


def as_json(value: Any) -> str:
    """A value for a reader, one line where it is short."""
    short = json.dumps(value, ensure_ascii=False)
    return short if len(short) < 80 else json.dumps(value, indent=1, ensure_ascii=False)
