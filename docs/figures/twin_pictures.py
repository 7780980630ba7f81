"""Pictures of simulated patients: at rest, and recovering from the cold."""

import pathlib
from typing import Any

import matplotlib
import numpy as np

from docs.figures.thermograms import Record, add_colorbar, new_figure, save
from wbad_jax import bioheat
from wbad_jax.bioheat import CohortSettings
from wbad_jax.data.simulated import SimulatedThermograms

COHORTS = {config.name: config for config in SimulatedThermograms.BUILDER_CONFIGS}
# Seeds beyond those of all cohorts.
SHOWN = range(9_000_000, 9_000_024)
COOLED = 9_000_100
_COLUMNS = 8
_FRAMES = (0, 2, 4, 8, 13, 19)
_KELVINS = 4.0
_LABELS = ("healthy", "tumour", "difference")
_TEMPERATURES = matplotlib.colormaps["inferno"].resampled(64).with_extremes(bad="white")
_EXCESS = matplotlib.colormaps["viridis"].resampled(64).with_extremes(bad="white")


def cohort(name: str) -> CohortSettings:
    """Settings of a cohort by its name."""
    return COHORTS[name].cohort


def draw_patients(output: pathlib.Path) -> Record:
    """Draws 24 patients of the cohort `paper`: healthy, with tumour, difference."""
    patients = list(bioheat.simulate(SHOWN, cohort("paper")))
    groups = len(patients) // _COLUMNS
    # A gap after each group: a fourth row, low and empty.
    heights = [1.0, 1.0, 1.0, 0.12] * groups
    figure, axes = new_figure(
        4 * groups, _COLUMNS, 10.4, 11.9, gridspec_kw={"height_ratios": heights}
    )
    for axis in axes[3::4].flat:
        axis.set_axis_off()
    for index, patient in enumerate(patients):
        group, column = divmod(index, _COLUMNS)
        rows = axes[4 * group : 4 * group + 3, column]
        healthy, tumour = _inside(patient, 0)
        skin = _show(rows[0], healthy, _TEMPERATURES, 24, 36)
        _show(rows[1], tumour, _TEMPERATURES, 24, 36)
        excess = _show(rows[2], tumour - healthy, _EXCESS, 0, _KELVINS)
        if column == 0:
            for row, label in zip(rows, _LABELS, strict=True):
                row.set_ylabel(label, fontsize=8)
    add_colorbar(figure, skin, axes[: 2 * groups], "skin, °C")
    add_colorbar(figure, excess, axes[2 * groups :], "difference, °C")
    save(figure, output / "twin_patients.png")
    peaks = [patient.parameters["tumour_contrast_celsius"] for patient in patients]
    return {
        "first_seed": SHOWN[0],
        "num_patients": len(patients),
        "peak_excess_celsius": {
            "least": min(peaks),
            "median": float(np.median(peaks)),
            "largest": max(peaks),
        },
    }


def draw_cold_stress(output: pathlib.Path) -> Record:
    """Draws one patient with a tumour while her skin recovers from a fan."""
    patient = bioheat.simulate_patient(COOLED, cohort("dynamic"))
    figure, axes = new_figure(2, len(_FRAMES), 10.4, 4.0)
    record: Record = {"seed": COOLED, "frames": []}
    for column, frame in zip(axes.T, _FRAMES, strict=True):
        healthy, tumour = _inside(patient, frame)
        skin = _show(column[0], tumour, _TEMPERATURES, 20, 36)
        excess = _show(column[1], tumour - healthy, _EXCESS, 0, _KELVINS)
        seconds = float(patient.seconds[frame])
        column[0].set_title(f"{seconds:.0f} s", fontsize=9)
        record["frames"].append(
            {
                "seconds": seconds,
                "body_mean_celsius": float(np.nanmean(tumour)),
                "peak_excess_celsius": float(np.nanmax(tumour - healthy)),
            }
        )
    axes[0, 0].set_ylabel("tumour", fontsize=8)
    axes[1, 0].set_ylabel("difference", fontsize=8)
    add_colorbar(figure, skin, axes[0], "skin, °C")
    add_colorbar(figure, excess, axes[1], "difference, °C")
    save(figure, output / "twin_cold_stress.png")
    contrast = patient.parameters["tumour_contrast_celsius"]
    return record | {"peak_excess_at_rest_celsius": contrast}


def _inside(patient: bioheat.Patient, frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Both states of a picture, NaN outside the body."""
    states = patient.healthy_celsius[frame], patient.tumour_celsius[frame]
    healthy, tumour = (np.where(patient.mask, state, np.nan) for state in states)
    return healthy, tumour


def _show(axes: Any, image: np.ndarray, colours: Any, low: float, high: float) -> Any:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes.imshow(
        image, cmap=colours, vmin=low, vmax=high, interpolation="nearest"
    )
