"""The simulated thermograms of the guide, and how they are drawn."""

import dataclasses
import functools
import io
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import matplotlib
import numpy as np
from PIL import Image

from wbad_jax import bioheat, denoise
from wbad_jax.data.simulated import SimulatedThermograms

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

WINDOW = (22.0, 38.0)
DEGREES = WINDOW[1] - WINDOW[0]
# An eighth of a degree: noise, and largest change of a pixel by a perturbation.
CELSIUS = 0.125
SIGMA = CELSIUS / DEGREES
# First seeds, beyond those of all cohorts.
SHOWN, TRAINED_ON = 9_500_000, 9_500_100
NUM_PATIENTS = 16
TRAINING_STEPS = 200
# Cohorts by the size of their images.
COHORTS = {
    config.cohort.shape[0]: config
    for config in SimulatedThermograms.BUILDER_CONFIGS
    if config.name in ("paper", "quickstart")
}
NOISELESS = {
    "noise_celsius": 0.0,
    "column_celsius": 0.0,
    "drift_celsius": 0.0,
    "gain": 0.0,
    "quantum_celsius": 0.0,
}
noise_sigma = jax.jit(denoise.noise_sigma, static_argnums=1)
# Okabe and Ito's colours, told apart by colour-blind eyes.
BLACK, ORANGE, BLUE, GREEN, PINK = "black", "#E69F00", "#0072B2", "#009E73", "#CC79A7"
# Few colours, so that a palette holds them all.
TEMPERATURES = {
    "cmap": matplotlib.colormaps["inferno"].resampled(64),
    "vmin": 22,
    "vmax": 36,
    "interpolation": "nearest",
}
DIFFERENCES = {
    "cmap": matplotlib.colormaps["PuOr"].resampled(65),
    "interpolation": "nearest",
}
Record = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Thermograms:
    """Simulated patients without noise, `[patient, height, width, 1]`.

    Attributes:
        healthy: In [0, 1] of the window.
        tumour: The same patients with a tumour.
        body: Whether a pixel shows the body.
    """

    healthy: np.ndarray
    tumour: np.ndarray
    body: np.ndarray


@functools.cache
def simulate(first_seed: int, count: int, size: int) -> Thermograms:
    """Simulates patients of a cohort in front of the wall, by a camera without noise.

    Args:
        first_seed: Of the first patient; the others follow.
        count: Of patients.
        size: Height and width in pixels, a key of `COHORTS`.

    Returns:
        The patients.
    """
    settings = COHORTS[size].cohort
    camera = dataclasses.replace(settings.camera, **NOISELESS)
    settings = dataclasses.replace(settings, camera=camera)
    patients = list(bioheat.simulate(range(first_seed, first_seed + count), settings))
    twins = [[p.healthy_celsius[0], p.tumour_celsius[0]] for p in patients]
    fraction = np.clip((np.array(twins) - WINDOW[0]) / DEGREES, 0, 1)
    healthy, tumour = np.moveaxis(fraction[..., None].astype(np.float32), 1, 0)
    return Thermograms(healthy, tumour, np.array([p.mask for p in patients])[..., None])


def add_noise(images: np.ndarray, seed: int) -> np.ndarray:
    """Adds white noise of an eighth of a degree."""
    noise = np.random.default_rng(seed).normal(size=images.shape)
    return images + SIGMA * noise.astype(np.float32)


def denoiser_settings(**changes: Any) -> denoise.DenoiserSettings:
    """Those of the configs: db2, two levels, mode symmetric, soft, universal."""
    return denoise.DenoiserSettings(wavelet="db2", level=2, **changes)


def save(figure: Figure, path: pathlib.Path) -> None:
    """Writes a figure as a PNG of 256 colours, a third of the size of all colours."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=100)
    plt.close(figure)
    image = Image.open(buffer).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    image.save(path, optimize=True)


def new_figure(
    rows: int, columns: int, width: float, height: float, **options: Any
) -> tuple[Figure, np.ndarray]:
    """A grid of axes, always two-dimensional; sizes in inches."""
    return plt.subplots(
        rows,
        columns,
        figsize=(width, height),
        layout="constrained",
        squeeze=False,
        **options,
    )


def percent(
    rows: Sequence[Mapping[str, Any]],
) -> tuple[list[float], list[list[float]]]:
    """Accuracies in % and how far their intervals reach below and above."""
    lengths = [
        [100 * (row["accuracy"] - row["ci_low"]) for row in rows],
        [100 * (row["ci_high"] - row["accuracy"]) for row in rows],
    ]
    return [100 * row["accuracy"] for row in rows], lengths


def show(axes: Axes, image: np.ndarray, limit: float | None = None) -> Any:
    """Shows an image in °C, or with `limit` a difference from -limit to limit."""
    celsius = DEGREES * np.asarray(image).reshape(image.shape[0], image.shape[1])
    axes.set_xticks([])
    axes.set_yticks([])
    if limit is None:
        return axes.imshow(WINDOW[0] + celsius, **TEMPERATURES)
    return axes.imshow(celsius, vmin=-limit, vmax=limit, **DIFFERENCES)


def add_colorbar(figure: Figure, shown: Any, axes: Any, label: str) -> None:
    """A colour bar with its unit."""
    figure.colorbar(shown, ax=axes, label=label, shrink=0.85, pad=0.01)
