"""Draws the figures of `docs/twin.md`, and writes the numbers it quotes.

    python -m docs.figures.twin --output=docs/images
    python -m docs.figures.twin --output=docs/images --accuracy

From the repository root, in some minutes on two cores. `--accuracy` also solves ten
patients on a finer grid, some minutes more; without it the numbers of the last such run
are kept. Seeds are fixed and outside the ranges of all cohorts.
"""

import datetime
import json
import pathlib
import platform
import re
from collections.abc import Sequence
from typing import Any

import jax
import matplotlib
import numpy as np
import scipy

from docs.figures.command_line import output_parser
from docs.figures.twin_accuracy import measure_accuracy
from docs.figures.twin_calibration import draw_calibration
from docs.figures.twin_learning import draw_learning_curve
from docs.figures.twin_pictures import draw_cold_stress, draw_patients


def versions() -> dict[str, str]:
    """What the numbers were made with."""
    modules = (jax, np, scipy, matplotlib)
    found = {module.__name__: module.__version__ for module in modules}
    today = datetime.date.today().isoformat()
    return {"date": today, "python": platform.python_version(), **found}


def run_example() -> dict[str, float]:
    """Runs the code of the page, and compares its derivative with differences."""
    page = pathlib.Path(__file__).parents[1] / "twin.md"
    code = re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
    names: dict[str, Any] = {}
    exec(code[0], names)
    peak, step = jax.jit(names["peak"]), 0.1
    patient, tumour = names["patient"], names["tumour"]
    depth = tumour.depth
    shallow, deep = (peak(depth + d, patient, tumour) for d in (-step, step))
    difference = (deep - shallow) / (2 * step)
    return {
        "diameter_mm": float(names["tumour"].diameter),
        "depth_mm": float(depth),
        "peak_celsius": float(names["value"]),
        "slope_celsius_per_mm": float(names["slope"]),
        "difference_quotient": float(difference),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Draws all figures and writes `twin.json` beside them."""
    parser = output_parser(__doc__, "twin.json")
    parser.add_argument(
        "--accuracy", action="store_true", help="compare with a finer grid too"
    )
    options = parser.parse_args(arguments)
    output = options.output
    output.mkdir(parents=True, exist_ok=True)
    path = output / "twin.json"
    earlier = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    draw_learning_curve(output)
    record = {
        "versions": versions(),
        "patients": draw_patients(output),
        "cold_stress": draw_cold_stress(output),
        "calibration": draw_calibration(output),
        "example": run_example(),
        "accuracy": measure_accuracy() if options.accuracy else None,
    }
    record["accuracy"] = record["accuracy"] or earlier.get("accuracy")
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
