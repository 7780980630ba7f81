"""A lesion, and the templates that see it best under attack."""

import pathlib

import numpy as np

from docs.figures.thermograms import (
    DEGREES,
    SHOWN,
    Record,
    new_figure,
    save,
    simulate,
)
from docs.figures.twin_pictures import cohort
from experiments.bracket import noise_spectra
from wbad_jax import evaluation

RADII = (0.0, 1.0, 4.0, 8.0)  # 255ths of the window
_SEED = SHOWN + 1
_HALF = 20  # pixels shown around the lesion


def draw_templates(output: pathlib.Path) -> Record:
    """Draws robust templates in white noise and in that of the cohort `paper`."""
    settings = cohort("paper")
    twins = simulate(_SEED, 1, 128)
    lesion = (twins.tumour - twins.healthy)[0, ..., 0].astype(float)
    body = twins.body[0, ..., 0]
    lesion = np.where(body, lesion, 0.0)
    sigma = settings.camera.noise_celsius / DEGREES
    spectrum = noise_spectra(settings, np.array([sigma]), (0.0, DEGREES))[0]
    row, column = np.unravel_index(lesion.argmax(), lesion.shape)
    window = (
        slice(max(row - _HALF, 0), row + _HALF),
        slice(max(column - _HALF, 0), column + _HALF),
    )
    figure, axes = new_figure(2, len(RADII), 8.6, 4.6)
    record: Record = {
        "seed": _SEED,
        "peak_celsius": float(lesion.max() * DEGREES),
        "sigma_celsius": settings.camera.noise_celsius,
        "rows": [],
    }
    for axis, radius in zip(axes.T, RADII, strict=True):
        epsilon = radius / 255
        white = evaluation.observe_in_white_noise(lesion[None], sigma, epsilon)
        coloured = evaluation.observe_in_stationary_noise(
            lesion[None], spectrum, epsilon, observed=body[None]
        )
        for each, found in zip(axis, (white, coloured), strict=True):
            _show(each, found.weights[0][window])
        axis[0].set_title(f"{radius:g}/255 = {epsilon * DEGREES:.2g} °C", fontsize=9)
        record["rows"].append(
            {
                "epsilon_255": radius,
                "white_alpha": float(white.upper[0]),
                "white_pixels": int((np.abs(white.weights[0]) > 0).sum()),
                "coloured_alpha": float(coloured.upper[0]),
                "coloured_pixels": int((coloured.weights[0] != 0).sum()),
                "coloured_gap": float(coloured.gap[0]),
            }
        )
    axes[0, 0].set_ylabel("white noise", fontsize=9)
    axes[1, 0].set_ylabel("field and noise", fontsize=9)
    save(figure, output / "ceiling_templates.png")
    return record


def _show(axis, weights: np.ndarray) -> None:
    limit = np.abs(weights).max() or 1.0
    axis.set_xticks([])
    axis.set_yticks([])
    axis.imshow(
        weights, cmap="PuOr_r", vmin=-limit, vmax=limit, interpolation="nearest"
    )
