"""Draws the figures of `docs/wavelets.md`, and writes the numbers it quotes.

    python -m docs.figures.wavelets --output=docs/images

From the repository root, in two minutes on two cores. All images are simulated; seeds
are fixed, so the figures are the same each time.
"""

import datetime
import json
import platform
from collections.abc import Sequence

import flax
import jax
import matplotlib
import numpy as np
import optax
import pywt

from docs.figures.command_line import output_parser
from docs.figures.measurements import (
    boundary_modes,
    noise_estimates,
    noise_in_subbands,
    precision,
)
from docs.figures.perturbations import draw_backward, draw_passing
from docs.figures.rules import draw_rules, draw_subbands
from docs.figures.shrinkage import draw_shrinkage, draw_sure
from docs.figures.thermograms import (
    CELSIUS,
    COHORTS,
    NUM_PATIENTS,
    SHOWN,
    TRAINED_ON,
    TRAINING_STEPS,
    WINDOW,
    Record,
)


def versions() -> dict[str, str]:
    """What the numbers were made with."""
    modules = (jax, flax, np, pywt, matplotlib, optax)
    found = {module.__name__: module.__version__ for module in modules}
    today = datetime.date.today().isoformat()
    return {"date": today, "python": platform.python_version(), **found}


def setting() -> Record:
    """What the images are."""
    return {
        "window_celsius": WINDOW,
        "noise_celsius": CELSIUS,
        "first_seeds": {"shown": SHOWN, "trained_on": TRAINED_ON},
        "cohorts": {size: config.name for size, config in COHORTS.items()},
        "num_patients": NUM_PATIENTS,
        "training_steps": TRAINING_STEPS,
        "fixed_threshold_celsius": 2 * CELSIUS,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Draws all figures and writes `wavelets.json` beside them."""
    parser = output_parser(__doc__, "wavelets.json")
    output = parser.parse_args(arguments).output
    output.mkdir(parents=True, exist_ok=True)
    record = {
        "versions": versions(),
        "setting": setting(),
        "subbands": draw_subbands(output),
        "rules": draw_rules(output),
        "shrinkage": draw_shrinkage(output),
        "sure": draw_sure(output),
        "backward": draw_backward(output),
        "passing": draw_passing(output),
        "noise_in_subbands": noise_in_subbands(),
        "noise_estimates": noise_estimates(),
        "precision": precision(),
        "boundary_modes": boundary_modes(),
    }
    text = json.dumps(record, indent=1) + "\n"
    (output / "wavelets.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
