"""The defences that were tried, as a table, and adversarial training's place in it."""

from collections.abc import Mapping, Sequence
from typing import Any

from docs.figures.page_tables import table
from wbad_jax.evaluation import wilson_interval

# What each run of `configs/sweeps/defences.py` is.
NAMES = {
    "adversarial": "adversarial training (PGD)",
    "long": "adversarial training, twice the steps",
    "places": "adversarial training with offsets for each place",
    "trades": "TRADES",
    "mart": "MART",
    "weight_perturbation": "adversarial weight perturbation",
    "behind_denoiser": "adversarial training behind the denoiser",
    "behind_low_pass": "adversarial training behind a low-pass, all details removed",
    "from_scratch": "adversarial training from random weights",
    "one_sided": "adversarial training without the other breast's features",
    "noise": "adversarial training on noisy images",
    "lesion_map": "lesion map taught by twins",
    "lesion_map_untaught": "lesion map, not taught",
    "lesion_map_places": "lesion map with places: chosen",
    "lesion_map_places_behind_denoiser": "lesion map with places, behind the denoiser",
    "lesion_map_places_wide": "lesion map with places, twice the width",
}


def tried_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """One line a defence, the best first.

    Args:
        rows: Of `benchmarks/results/defences.json`.
    """
    cells = [
        [
            NAMES[row["run"]],
            f"{row['parameters']:,}",
            f"{row['steps']:,}",
            f"{100 * row['clean']:.1f}",
            _with_interval(row["robust"], row["patients"]),
        ]
        for row in sorted(rows, key=lambda row: -row["robust"])
    ]
    head = ["defence", "parameters", "steps", "clean, %", "under PGD-10, % [95 %]"]
    return table(head, cells)


def _with_interval(share: float, number: int) -> str:
    low, high = wilson_interval(round(share * number), number)
    return f"{100 * share:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
