"""Subbands of a thermogram, and the threshold rules compared on noisy ones."""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from matplotlib.axes import Axes

from docs.figures.thermograms import (
    BLACK,
    DEGREES,
    NUM_PATIENTS,
    SHOWN,
    SIGMA,
    TEMPERATURES,
    TRAINED_ON,
    TRAINING_STEPS,
    WINDOW,
    Record,
    Thermograms,
    add_colorbar,
    add_noise,
    denoiser_settings,
    new_figure,
    save,
    show,
    simulate,
)
from wbad_jax import denoise, wavelets

RULES = {
    "universal": {"threshold_rule": "universal"},
    "bayes": {"threshold_rule": "bayes"},
    "sure": {"threshold_rule": "sure"},
    "fixed": {"threshold_rule": "fixed", "threshold": 2 * SIGMA},
    "learned": {"threshold_rule": "learned"},
    "predicted": {"threshold_rule": "predicted"},
    "universal, stationary": {"stationary": True},
    "universal, cycle-spun": {"max_shifts": 3},
    "sure, cycle-spun": {"threshold_rule": "sure", "max_shifts": 3},
    "universal, hard": {"shrinkage": "hard"},
    "universal, garrote": {"shrinkage": "garrote"},
    "universal, firm": {"shrinkage": "firm"},
}
DRAWN_RULES = 9  # the first so many, beside the noisy image


def draw_subbands(output: pathlib.Path) -> Record:
    """One thermogram beside its transform, all coefficients in one array."""
    image = simulate(SHOWN, 1, 128).tumour[0]
    coefficients = wavelets.wavedec2(image, "haar", level=2)
    mosaic, boxes = wavelets.coeffs_to_array(coefficients)
    figure, ((left, right),) = new_figure(1, 2, 9, 4)
    shown = show(left, image)
    left.set_title("thermogram, 128 x 128 pixels")
    add_colorbar(figure, shown, left, "°C")
    shown = show(right, mosaic, 0.5)
    # Two averages of four pixels make four times a mean.
    show_corner(right, coefficients[0] / 4, boxes[0])
    right.set_title("haar, two levels; details x 1, approximation / 4")
    add_colorbar(figure, shown, right, "details, °C")
    label_subbands(right, boxes)
    save(figure, output / "wavelets_subbands.png")
    squares = [
        float(jnp.sum(jnp.square(band))) for band in jax.tree.leaves(coefficients)
    ]
    return {
        "approx_share_of_squares": squares[0] / sum(squares),
        "approx_share_of_coefficients": coefficients[0].size / image.size,
    }


def show_corner(axes: Axes, approx: jax.Array, box: Sequence[int]) -> None:
    """The approximation in its corner of the mosaic, in the colours of temperatures."""
    top, bottom, left, right = box
    celsius = WINDOW[0] + DEGREES * np.asarray(approx[..., 0])
    extent = (left - 0.5, right - 0.5, bottom - 0.5, top - 0.5)
    limits = axes.get_xlim(), axes.get_ylim()
    axes.imshow(celsius, extent=extent, **TEMPERATURES)
    axes.set(xlim=limits[0], ylim=limits[1])


def label_subbands(axes: Axes, boxes: Sequence[Any]) -> None:
    """Names the details, and draws the borders between them."""
    for level, level_boxes in zip((2, 1), boxes[1:], strict=True):
        for name, (top, bottom, left, right) in zip(
            wavelets.Details._fields, level_boxes, strict=True
        ):
            text = axes.text(left + 1, top + 1, f"{name} {level}", va="top", size=8)
            text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1})
            edges = ([left, left, right], [bottom, top, top])
            axes.plot(*(np.array(edge) - 0.5 for edge in edges), BLACK, linewidth=0.6)


def draw_rules(output: pathlib.Path) -> Record:
    """One noisy thermogram denoised by each rule; means over patients in the record."""
    data = simulate(SHOWN, NUM_PATIENTS, 64)
    noisy = add_noise(data.healthy, 0)
    results = {"noisy": noisy}
    trained: Record = {}
    for name, changes in RULES.items():
        settings = denoiser_settings(**changes)
        module = denoise.Denoiser(settings, num_pixels=64 * 64)
        if name in ("learned", "predicted"):
            trained[name] = train(module)
        results[name] = np.asarray(nnx.jit(module)(noisy))
        if name == "learned":
            trained[name]["multiples_of_sigma"] = module.thresholds().tolist()
    figure, axes = new_figure(4, 5, 11, 8.2)
    drawn = list(results.items())[: DRAWN_RULES + 1]
    for i, (name, images) in enumerate(drawn):
        row, column = divmod(i, 5)
        pair = axes[2 * row : 2 * row + 2, column]
        shown = show_rule(pair, name, images[0], data.healthy[0])
    add_colorbar(figure, shown[0], axes, "image, °C")
    add_colorbar(figure, shown[1], axes, "residual: image - clean, °C")
    save(figure, output / "wavelets_rules.png")
    scores = {name: score(images, data) for name, images in results.items()}
    return {"scores": scores, "training": trained}


def show_rule(
    pair: Sequence[Axes], name: str, image: np.ndarray, clean: np.ndarray
) -> tuple[Any, Any]:
    """An image above its residual, with its PSNR."""
    pair[0].set_title(f"{name}\n{psnr(image, clean):.1f} dB", size=9)
    return show(pair[0], image), show(pair[1], image - clean, 0.5)


def psnr(images: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio in dB, peak being the window of 16 °C."""
    square = np.square(images - clean, dtype=np.float64)
    return -10 * np.log10(np.mean(square, axis=(-3, -2, -1)))


def score(images: np.ndarray, data: Thermograms) -> dict[str, float]:
    """Means over patients, of the whole image and of the body alone."""
    error = DEGREES * (images - data.healthy)
    return {
        "psnr_shown": float(psnr(images[0], data.healthy[0])),
        "psnr_mean": float(np.mean(psnr(images, data.healthy))),
        "rms_error_celsius": float(np.sqrt(np.mean(np.square(error)))),
        "rms_error_body_celsius": float(np.sqrt(np.mean(np.square(error[data.body])))),
        "largest_error_celsius": float(np.abs(error).max()),
    }


def train(module: denoise.Denoiser) -> Record:
    """Fits a denoiser to other patients by mean squared error, in place."""
    clean = simulate(TRAINED_ON, NUM_PATIENTS, 64).healthy
    graph, params, rest = nnx.split(module, nnx.Param, ...)

    def loss(params, key):
        noisy = clean + SIGMA * jax.random.normal(key, clean.shape)
        denoised = nnx.merge(graph, params, rest)(noisy)
        return jnp.mean(jnp.square(DEGREES * (denoised - clean)))

    params, losses = descend(loss, params)
    nnx.update(module, params)
    first, last = (float(np.mean(part)) ** 0.5 for part in (losses[:1], losses[-20:]))
    return {"first_rms_error_celsius": first, "last_rms_error_celsius": last}


def descend(loss: Callable, params: Any) -> tuple[Any, list[float]]:
    """Minimises a loss of parameters and key by Adam; returns all its values too."""
    optimizer = optax.adam(0.05)

    @jax.jit
    def step(carry, key):
        params, state = carry
        value, gradient = jax.value_and_grad(loss)(params, key)
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(params, updates), state), value

    carry = params, optimizer.init(params)
    losses = []
    for key in jax.random.split(jax.random.key(0), TRAINING_STEPS):
        carry, value = step(carry, key)
        losses.append(float(value))
    return carry[0], losses
