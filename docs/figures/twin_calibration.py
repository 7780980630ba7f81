"""Statistics of simulated healthy patients beside those of real ones."""

import pathlib
from collections.abc import Sequence

import numpy as np

from docs.figures.thermograms import BLACK, BLUE, ORANGE, Record, new_figure, save
from docs.figures.twin_pictures import cohort
from docs.figures.twin_real_statistics import (
    MILLIMETRES_PER_PIXEL,
    NUM_FRAMES,
    REAL_QUARTILES,
)
from wbad_jax import bioheat, data
from wbad_jax.bioheat import CohortSettings

# Seeds beyond those of all cohorts.
LAWS = {
    "default": (range(9_100_000, 9_100_100), CohortSettings()),
    "paper": (range(9_200_000, 9_200_060), cohort("paper")),
}
_COLOURS = {"default": BLUE, "paper": ORANGE}
_LIMITS = -3.0, 7.0  # of the plot, in real interquartile ranges


def simulated_quartiles(
    seeds: Sequence[int], settings: CohortSettings
) -> dict[str, list[float]]:
    """Quartiles of the statistics of the healthy state of patients."""
    rows = [
        data.thermogram_statistics(
            patient.healthy_celsius[0], patient.mask, settings.spacing_mm
        )
        for patient in bioheat.simulate(seeds, settings)
    ]
    return {
        name: np.nanquantile([row[name] for row in rows], (0.25, 0.5, 0.75)).tolist()
        for name in REAL_QUARTILES
    }


def draw_calibration(output: pathlib.Path) -> Record:
    """Measures and draws the statistics of both laws."""
    measured = {law: simulated_quartiles(*what) for law, what in LAWS.items()}
    _draw(output, measured)
    statistics = {}
    for name, real in REAL_QUARTILES.items():
        statistics[name] = {"real": list(real)}
        for law, quartiles in measured.items():
            q1, median, q3 = quartiles[name]
            statistics[name][law] = [q1, median, q3]
            statistics[name][f"{law}_inside"] = bool(real[0] <= median <= real[2])
    return {
        "real_frames": NUM_FRAMES,
        "millimetres_per_pixel": MILLIMETRES_PER_PIXEL,
        "laws": {
            law: {"first_seed": seeds[0], "num_patients": len(seeds)}
            for law, (seeds, _) in LAWS.items()
        },
        "statistics": statistics,
        "medians_inside": {
            law: sum(row[f"{law}_inside"] for row in statistics.values())
            for law in LAWS
        },
    }


def _draw(output: pathlib.Path, measured: dict[str, dict[str, list[float]]]) -> None:
    figure, axes = new_figure(1, 1, 8.0, 7.0)
    axes = axes[0, 0]
    places = np.arange(len(REAL_QUARTILES))[::-1]
    for place, (name, real) in zip(places, REAL_QUARTILES.items(), strict=True):
        spread = real[2] - real[0]

        def scaled(quartiles, real=real, spread=spread):
            return [(value - real[1]) / spread for value in quartiles]

        q1, _, q3 = scaled(real)
        axes.fill_betweenx([place - 0.4, place + 0.4], q1, q3, color="0.85", lw=0)
        axes.plot([0, 0], [place - 0.4, place + 0.4], color=BLACK, lw=1)
        for law, shift in (("default", 0.15), ("paper", -0.15)):
            q1, median, q3 = np.clip(scaled(measured[law][name]), *_LIMITS)
            colour = _COLOURS[law]
            axes.plot([q1, q3], [place + shift] * 2, color=colour, lw=2)
            marker = {_LIMITS[0]: "<", _LIMITS[1]: ">"}.get(median, "o")
            axes.plot(median, place + shift, marker, color=colour, ms=6, clip_on=False)
    for law, (seeds, _) in LAWS.items():
        label = f"law {law}, {len(seeds)} patients"
        axes.plot([], [], "-o", color=_COLOURS[law], lw=2, ms=6, label=label)
    axes.fill_between([], [], color="0.85", label=f"{NUM_FRAMES} DMR-IR frames")
    axes.set_yticks(places, list(REAL_QUARTILES))
    axes.set_xlim(*_LIMITS)
    axes.set_ylim(-0.7, len(places) - 0.3)
    axes.set_xlabel("distance from the real median, in real interquartile ranges")
    axes.legend(loc="lower right", fontsize=9)
    axes.grid(axis="x", lw=0.4)
    axes.set_axisbelow(True)
    save(figure, output / "twin_calibration.png")
