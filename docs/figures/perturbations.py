"""Gradients through the denoiser, and what passes it."""

import functools
import pathlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from docs.figures.thermograms import (
    CELSIUS,
    DEGREES,
    SHOWN,
    SIGMA,
    Record,
    Thermograms,
    add_colorbar,
    add_noise,
    new_figure,
    noise_sigma,
    save,
    show,
    simulate,
)
from wbad_jax import denoise, wavelets


def draw_backward(output: pathlib.Path) -> Record:
    """Gradients of a loss behind the denoiser, in the three modes."""
    data = simulate(SHOWN, 1, 64)
    image, target = (add_noise(x, i) for i, x in enumerate((data.healthy, data.tumour)))
    settings = denoise.DenoiserSettings(wavelet="haar", level=2)

    @functools.partial(jax.jit, static_argnums=1)
    def distance(x, backward="exact"):
        denoised = denoise.wavelet_denoise(x, settings, backward=backward)
        return jnp.sum(jnp.square(denoised - target)) / 2

    gradient_of = jax.jit(jax.grad(distance), static_argnums=1)
    dead = dead_zone(image, settings)
    record: Record = {
        "dead_share_of_details": float(np.mean(dead)),
        "distance_before_attack": DEGREES * float(2 * distance(image)) ** 0.5,
    }
    gradients = {mode: gradient_of(image, mode) for mode in denoise.BACKWARD_MODES}
    for mode, gradient in gradients.items():
        record[mode] = gradient_norms(gradient, dead)
        record[mode]["distance_after_attack"] = attack(
            distance, gradient_of, image, mode
        )
    save(gradients_figure(image[0], gradients), output / "wavelets_backward.png")
    return record


def gradients_figure(image: np.ndarray, gradients: dict[str, jax.Array]) -> Figure:
    """The image and its gradients side by side."""
    figure, (axes,) = new_figure(1, 4, 11, 2.9)
    axes[0].set_title("image")
    add_colorbar(figure, show(axes[0], image), axes[0], "°C")
    for panel, (mode, gradient) in zip(axes[1:], gradients.items(), strict=True):
        shown = show(panel, gradient[0], 1.0)
        panel.set_title(f"gradient, {mode}")
    add_colorbar(figure, shown, axes[1:], "°C")
    return figure


def flat_details(images: jax.Array) -> np.ndarray:
    """All detail coefficients in one row; haar, two levels."""
    details = jax.tree.leaves(wavelets.wavedec2(images, "haar", level=2)[1:])
    return np.concatenate([np.ravel(band) for band in details])


def dead_zone(images: np.ndarray, settings: denoise.DenoiserSettings) -> np.ndarray:
    """Which detail coefficients the denoiser sets to zero, up to rounding."""
    denoised = jax.jit(lambda x: denoise.wavelet_denoise(x, settings))(images)
    return np.abs(flat_details(denoised)) < 1e-6


def gradient_norms(gradient: jax.Array, dead: np.ndarray) -> Record:
    """Euclidean norms of a gradient in approximation and details, in °C."""
    approx = wavelets.wavedec2(gradient, "haar", level=2)[0]
    details = flat_details(gradient)
    parts = {
        "approx_norm": approx,
        "live_details_norm": details[~dead],
        "dead_details_norm": details[dead],
    }
    return {name: DEGREES * float(jnp.linalg.norm(x)) for name, x in parts.items()}


def attack(
    distance: Callable, gradient_of: Callable, image: np.ndarray, mode: str
) -> float:
    """Distance to the target after 50 signed steps within an eighth of a degree."""
    x, closest = image, np.inf
    for _ in range(50):
        x = x - 0.1 * SIGMA * jnp.sign(gradient_of(x, mode))
        x = jnp.clip(x, image - SIGMA, image + SIGMA)
        closest = min(closest, float(distance(x)))
    return DEGREES * (2 * closest) ** 0.5


def perturbations(data: Thermograms) -> dict[str, np.ndarray]:
    """Three changes of at most an eighth of a degree, by the subbands they live in."""
    lesion = data.tumour[0] - data.healthy[0]
    approx, *details = wavelets.wavedec2(lesion, "haar", level=2)
    rng = np.random.default_rng(2)
    zeros = jax.tree.map(jnp.zeros_like, details)
    noise = jax.tree.map(
        lambda band: jnp.asarray(rng.normal(size=band.shape), band.dtype), details
    )
    rows, columns = np.indices(lesion.shape[:2])
    changes = {
        "approximation band": wavelets.waverec2([approx, *zeros], "haar"),
        "details": wavelets.waverec2([jnp.zeros_like(approx), *noise], "haar"),
        "finest diagonal": (-1.0) ** (rows + columns)[..., None],
    }
    return {
        name: np.asarray(SIGMA * change / jnp.abs(change).max(), np.float32)
        for name, change in changes.items()
    }


def draw_passing(output: pathlib.Path) -> Record:
    """Perturbations before the denoiser, and what is left of them behind it."""
    data = simulate(SHOWN, 1, 64)
    image = add_noise(data.healthy[0], 0)
    figure, axes = new_figure(2, 3, 8.5, 5.4)
    record: Record = {"sigma_celsius": {"unperturbed": sigma_celsius(image)}}
    for column, (name, change) in zip(axes.T, perturbations(data).items(), strict=True):
        passed, given = (passing(image, change, sigma) for sigma in (None, SIGMA))
        norms = [DEGREES * float(np.linalg.norm(x)) for x in (change, passed, given)]
        keys = ("norm_before", "norm_after", "norm_after_with_sigma_given")
        record[name] = dict(zip(keys, norms, strict=True))
        record["sigma_celsius"][name] = sigma_celsius(image + change)
        shown = show(column[0], change, CELSIUS)
        show(column[1], passed, CELSIUS)
        column[0].set_title(f"in the {name}\nbefore: norm {norms[0]:.2f} °C", size=10)
        column[1].set_title(f"after: norm {norms[1]:.2f} °C", size=10)
    add_colorbar(figure, shown, axes, "change, °C")
    save(figure, output / "wavelets_passing.png")
    return record


def passing(image: np.ndarray, change: np.ndarray, sigma: float | None) -> np.ndarray:
    """What a change of the image changes behind the denoiser."""
    settings = denoise.DenoiserSettings(wavelet="haar", level=2, sigma=sigma)
    pair = np.stack([image + change, image])
    changed, unchanged = jax.jit(lambda x: denoise.wavelet_denoise(x, settings))(pair)
    return np.asarray(changed - unchanged)


def sigma_celsius(image: np.ndarray) -> float:
    """The estimate of the noise level."""
    return DEGREES * float(noise_sigma(image, "haar").squeeze())
