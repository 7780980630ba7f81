"""Draws the figures of `docs/ceiling.md`, and writes the numbers it quotes.

    python -m experiments.ceiling --cohort=paper --output=runs/ceiling.json
    python -m docs.figures.ceiling --bracket runs/ceiling.json

Several files of one cohort and split, such as one a norm, are put together. Files of
more cohorts make a bracket each; that of the first is drawn.

From the repository root, in some minutes. Without `--bracket` the numbers of the last
such run are kept. Seeds are fixed and outside the ranges of all cohorts.
"""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

from docs.figures.ceiling_map import draw_map
from docs.figures.ceiling_templates import draw_templates
from docs.figures.command_line import output_parser
from docs.figures.twin import versions
from experiments.ceiling_plot import draw


def read_brackets(paths: Sequence[pathlib.Path]) -> dict[str, dict[str, Any]]:
    """By the name of the cohort, one record with the rows of all of its files."""
    brackets: dict[str, dict[str, Any]] = {}
    for path in paths:
        record = json.loads(path.read_text(encoding="utf-8"))
        rows = record.pop("rows")
        name = record["cohort"].split("/")[-1].split("-")[0]
        known = brackets.setdefault(name, record | {"rows": []})
        if record != {key: known[key] for key in known if key != "rows"}:
            raise ValueError(f"{path} has settings other than the files before it.")
        known["rows"] += rows
    return brackets


def main(arguments: Sequence[str] | None = None) -> None:
    """Draws all figures and writes `ceiling.json` beside them."""
    parser = output_parser(__doc__, "ceiling.json")
    parser.add_argument(
        "--bracket", type=pathlib.Path, nargs="+", help="JSON of experiments.ceiling"
    )
    options = parser.parse_args(arguments)
    output = options.output
    output.mkdir(parents=True, exist_ok=True)
    path = output / "ceiling.json"
    if options.bracket:
        brackets = read_brackets(options.bracket)
    else:
        brackets = json.loads(path.read_text(encoding="utf-8"))["brackets"]
    draw(next(iter(brackets.values())), output / "ceiling_bracket.png")
    record = {
        "versions": versions(),
        "brackets": brackets,
        "templates": draw_templates(output),
        "map": draw_map(output),
    }
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
