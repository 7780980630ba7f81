"""How deep a tumour any classifier can find, by diameter and radius of the attack."""

import dataclasses
import math
import pathlib
from typing import Any

import numpy as np

from docs.figures.thermograms import (
    DEGREES,
    NOISELESS,
    Record,
    new_figure,
    save,
)
from docs.figures.twin_pictures import cohort
from experiments.bracket import noise_spectra
from wbad_jax import bioheat, evaluation
from wbad_jax.bioheat import camera, thermograms, tissue, tumours, vessels

# Seeds beyond those of all cohorts.
SEEDS = range(9_600_000, 9_600_100)
NUM_PATIENTS = 3
ROOM = 22.6
DIAMETERS = (10.0, 15.0, 20.0, 25.0, 30.0)
COVERS = (3.0, 8.0, 13.0, 18.0, 23.0, 28.0, 33.0)
RADII = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # 255ths of the window
HELD = 0.95  # a tumour counts as held with a ceiling of this much
_THICK = 60.0  # least projection of the breast, mm: room for deep tumours


def mean_heat() -> float:
    """Mean of the strong prior, log-uniform, W/m3."""
    low, high = tissue.LOZANO_TUMOUR_HEAT
    return (high - low) / math.log(high / low)


def lesion_images(twin: Any, settings: bioheat.CohortSettings) -> dict[tuple, Any]:
    """Lesions in a patient's left breast, pixel units, by diameter and cover."""
    grid = settings.grid
    healthy, theta, view = bioheat.solve_healthy(twin, grid)
    optics = dataclasses.replace(settings.camera, **NOISELESS)
    mask, facing = np.asarray(view.body), np.asarray(view.facing)
    exposure = camera.draw_exposure(np.random.default_rng(0), settings.shape, optics)
    breast = twin.body.left
    kind = tissue.TUMOUR._replace(
        metabolic_heat=mean_heat(), perfusion=float(np.mean((0.003, 0.0125)))
    )
    no_vessels = vessels.pad_points([], tumours.MAX_POINTS)
    found = {}
    for diameter in DIAMETERS:
        for cover in COVERS:
            tumour = bioheat.Tumour(
                breast.column,
                breast.row,
                cover + diameter / 2,
                diameter,
                kind,
                no_vessels,
            )
            try:
                _, _, ill = thermograms.solve_tumour(twin, tumour, grid, healthy, theta)
            except thermograms.TumourPlacementError:
                continue
            scenes = np.stack([np.asarray(view.skin), np.asarray(ill.skin)])
            images = camera.take_image(scenes, mask, facing, ROOM, exposure, optics)
            lesion = (images[1] - images[0]) / DEGREES
            found[diameter, cover] = np.where(mask, lesion, 0.0), mask
    return found


def draw_map(output: pathlib.Path) -> Record:
    """Measures and draws the deepest cover that is held."""
    settings = cohort("paper")
    drawn = (
        (seed, bioheat.draw_twin(np.random.default_rng(seed), ROOM, settings.healthy))
        for seed in SEEDS
    )
    thick = [(s, twin) for s, twin in drawn if twin.body.left.projection >= _THICK]
    patients = thick[:NUM_PATIENTS]
    sigma = np.array([settings.camera.noise_celsius / DEGREES])
    spectrum = noise_spectra(settings, sigma, (0.0, DEGREES))[0]
    alphas, peaks = [], []
    for _, twin in patients:
        found = lesion_images(twin, settings)
        alphas.append(_alphas(found, spectrum))
        peaks.append([[_peak(found, d, cover) for cover in COVERS] for d in DIAMETERS])
    record: Record = {
        "seeds": [seed for seed, _ in patients],
        "heat_watts_per_m3": mean_heat(),
        "held": HELD,
        "covers_mm": list(COVERS),
        "radii_255": list(RADII),
        "rows": [],
    }
    for i, diameter in enumerate(DIAMETERS):
        for k, radius in enumerate(RADII):
            limits = [
                deepest(np.array(a)[k, i], np.array(p)[i])
                for a, p in zip(alphas, peaks, strict=True)
            ]
            record["rows"].append(
                {
                    "diameter_mm": diameter,
                    "epsilon_255": radius,
                    "epsilon_celsius": radius / 255 * DEGREES,
                    "cover_mm": [limit[0] for limit in limits],
                    "peak_celsius": [limit[1] for limit in limits],
                    "beyond": [limit[2] for limit in limits],
                }
            )
    record["peaks_celsius"] = [
        [[None if math.isnan(v) else v for v in row] for row in p] for p in peaks
    ]
    _draw(record, output / "ceiling_map.png")
    return record


def deepest(alpha: np.ndarray, peak: np.ndarray) -> tuple[float, float, bool]:
    """Cover at which the ceiling falls to `HELD`, the peak there, and whether deeper.

    Args:
        alpha: By cover, falling; NaN where the breast is not thick enough.
        peak: Peak warming of the skin at each cover, degrees Celsius.

    Returns:
        Cover in mm, 0 if not even the shallowest is held; peak; True if the deepest
        cover that was solved is still held.
    """
    limit = 1.6448536269514722  # of the normal distribution at HELD
    known = np.flatnonzero(~np.isnan(alpha))
    held = [j for j in known if alpha[j] >= limit]
    if not held:
        return 0.0, float(peak[known[0]]), False
    last = held[-1]
    if last == known[-1]:
        return COVERS[last], float(peak[last]), True
    share = (alpha[last] - limit) / (alpha[last] - alpha[last + 1])
    cover = COVERS[last] + share * (COVERS[last + 1] - COVERS[last])
    return (
        float(cover),
        float(peak[last] + share * (peak[last + 1] - peak[last])),
        False,
    )


def _alphas(found, spectrum: np.ndarray) -> list:
    keys = list(found)
    lesions = np.stack([found[key][0] for key in keys])
    masks = np.stack([found[key][1] for key in keys])
    table = np.full((len(RADII), len(DIAMETERS), len(COVERS)), np.nan)
    for k, radius in enumerate(RADII):
        alpha = evaluation.observe_in_stationary_noise(
            lesions, spectrum, radius / 255, observed=masks
        ).upper
        for (diameter, cover), value in zip(keys, alpha, strict=True):
            table[k, DIAMETERS.index(diameter), COVERS.index(cover)] = value
    return table.tolist()


def _peak(found, diameter: float, cover: float) -> float:
    lesion = found.get((diameter, cover))
    return math.nan if lesion is None else float(lesion[0].max() * DEGREES)


def _draw(record: Record, path: pathlib.Path) -> None:
    figure, axes = new_figure(1, 1, 7.2, 4.0)
    axis = axes[0, 0]
    shades = [
        "#000000",
        "#0072B2",
        "#56B4E9",
        "#009E73",
        "#F0E442",
        "#E69F00",
        "#D55E00",
    ]
    for radius, colour in zip(RADII, shades, strict=True):
        rows = [row for row in record["rows"] if row["epsilon_255"] == radius]
        cover = np.array([row["cover_mm"] for row in rows])
        middle = np.median(cover, axis=1)
        label = f"{radius:g}/255 = {radius / 255 * DEGREES:.2g} °C"
        axis.plot(DIAMETERS, middle, "-o", color=colour, ms=4, label=label)
        axis.fill_between(
            DIAMETERS, cover.min(1), cover.max(1), color=colour, alpha=0.12, lw=0
        )
    axis.set_xlabel("diameter, mm")
    axis.set_ylabel("deepest cover that can be held, mm")
    axis.invert_yaxis()
    axis.set_xticks(DIAMETERS)
    axis.legend(
        fontsize=8,
        loc="upper left",
        bbox_to_anchor=(1.02, 1),
        title="Linf radius",
        title_fontsize=8,
    )
    axis.grid(lw=0.4)
    save(figure, path)
