"""How far the grid of 3 mm is from one of half its spacing."""

import numpy as np

from docs.figures.thermograms import Record
from docs.figures.twin_pictures import cohort
from wbad_jax import bioheat
from wbad_jax.bioheat import CohortSettings, Grid, TumourPlacementError

# Beyond the seeds of all cohorts.
SEEDS = range(9_300_000, 9_300_010)
ROOM_CELSIUS = 22.6
_COARSE_MM, _FINE_MM = 3.0, 1.5
_MOST_DRAWS = 40
_FELT = 0.1  # degrees of excess, from where on pixels count as near the tumour


def measure_accuracy() -> Record:
    """Compares skin and excess of patients of the law of `paper` on both grids.

    Pixels of 3 mm: those of the fine grid are averaged two by two. Only pixels that
    are body on both grids count.
    """
    patients = [_compare(seed) for seed in SEEDS]
    names = ("healthy", "excess", "excess_near_tumour")
    pooled = {
        name: _summary(np.concatenate([each[name] for each in patients]))
        for name in names
    }
    return {
        "first_seed": SEEDS[0],
        "spacing_mm": [_COARSE_MM, _FINE_MM],
        "near_tumour_excess_celsius": _FELT,
        "patients": [
            {
                **{name: _summary(each[name]) for name in names},
                "peak_excess_celsius": each["peaks"],
            }
            for each in patients
        ],
        "all": pooled,
    }


def _compare(seed: int) -> Record:
    settings = cohort("paper")
    rng = np.random.default_rng(seed)
    twin = bioheat.draw_twin(rng, ROOM_CELSIUS, settings.healthy)
    coarse, fine = (_grid(settings, spacing) for spacing in (_COARSE_MM, _FINE_MM))
    healthy, theta, view = bioheat.solve_healthy(twin, coarse)
    low, high = settings.tumours.contrast_celsius
    for _ in range(_MOST_DRAWS):
        tumour = bioheat.draw_tumour(rng, twin, "strong", settings.tumours)
        try:
            *_, ill = bioheat.solve_tumour(twin, tumour, coarse, healthy, theta)
        except TumourPlacementError:
            continue
        excess = np.asarray(ill.skin) - np.asarray(view.skin)
        if low <= excess[np.asarray(view.body)].max() <= high:
            break
    else:
        raise RuntimeError(f"No tumour for patient {seed}.")
    healthy, theta, fine_view = bioheat.solve_healthy(twin, fine)
    *_, fine_ill = bioheat.solve_tumour(twin, tumour, fine, healthy, theta)
    fine_skin, fine_ill_skin, fine_body = (
        _average(np.asarray(image, float))
        for image in (fine_view.skin, fine_ill.skin, fine_view.body)
    )
    body = np.asarray(view.body) & (fine_body == 1)
    fine_excess = fine_ill_skin - fine_skin
    return {
        "healthy": (np.asarray(view.skin) - fine_skin)[body],
        "excess": (excess - fine_excess)[body],
        "excess_near_tumour": (excess - fine_excess)[body & (fine_excess > _FELT)],
        "peaks": [float(excess[body].max()), float(fine_excess[body].max())],
    }


def _grid(settings: CohortSettings, spacing: float) -> Grid:
    extent = (settings.height_mm, *(n * settings.spacing_mm for n in settings.shape))
    depth, rows, columns = (round(length / spacing) for length in extent)
    return Grid(shape=(depth, rows, columns), spacing_mm=spacing)


def _average(image: np.ndarray) -> np.ndarray:
    """Means of two by two pixels."""
    height, width = image.shape
    return image.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3))


def _summary(error: np.ndarray) -> dict[str, float]:
    return {
        "rms_celsius": float(np.sqrt(np.mean(error**2))),
        "mean_absolute_celsius": float(np.abs(error).mean()),
        "percentile_99_celsius": float(np.percentile(np.abs(error), 99)),
        "mean_celsius": float(error.mean()),
    }
