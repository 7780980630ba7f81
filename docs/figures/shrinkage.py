"""Shrinkage functions, their surrogates, and the gradient of SURE."""

import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes

from docs.figures.thermograms import (
    BLACK,
    BLUE,
    DEGREES,
    GREEN,
    NUM_PATIENTS,
    ORANGE,
    SHOWN,
    SIGMA,
    Record,
    add_noise,
    new_figure,
    save,
    simulate,
)
from wbad_jax import denoise, wavelets

Shrink = Callable[[jax.Array], jax.Array]
# Name, function, and bound of the distance from the original if it is a constant.
Surrogate = tuple[str, Shrink, float | None]
WIDTH = 0.25


def surrogates() -> dict[str, list[Surrogate]]:
    """Surrogates of each shrinkage function, for threshold 1."""

    def at_one(function: Callable) -> Shrink:
        return lambda c: function(c, 1.0, WIDTH)

    table = {
        "soft": [
            ("zhang_soft", denoise.zhang_soft_threshold, WIDTH / 2),
            ("softplus_soft", denoise.softplus_soft_threshold, WIDTH * np.log(2)),
        ],
        "hard": [("sigmoid_hard", denoise.sigmoid_hard_threshold, None)],
        "garrote": [("smooth_garrote", denoise.smooth_garrote_threshold, WIDTH)],
        "firm": [("smooth_firm", denoise.smooth_firm_threshold, WIDTH)],
    }
    return {
        shape: [(name, at_one(function), bound) for name, function, bound in entries]
        for shape, entries in table.items()
    }


def draw_shrinkage(output: pathlib.Path) -> Record:
    """Shrinkage functions and surrogates, derivatives, and distance within bounds."""
    c = jnp.linspace(-3, 3, 1201)
    figure, axes = new_figure(3, 4, 11, 7, sharex=True, sharey="row")
    colour_pairs = ((ORANGE, BLACK), (BLUE, GREEN))
    record: Record = {}
    for column, (shape, entries) in zip(axes.T, surrogates().items(), strict=True):
        exact = functools.partial(denoise.SHRINKAGE[shape], threshold=1.0)
        draw_curves(column, c, exact, shape, BLACK)
        for entry, colours in zip(entries, colour_pairs, strict=False):
            draw_curves(column, c, entry[1], entry[0], colours[0])
            record[entry[0]] = draw_distance(column[2], c, exact, entry, colours)
        column[0].legend(fontsize=8, loc="upper left")
        column[2].legend(fontsize=7, loc="upper center", ncols=2)
        column[0].set_title(shape)
        column[2].set(xlabel="coefficient / threshold", ylim=(-0.02, 0.75))
    for row, label in zip(axes, ("value", "derivative", "distance"), strict=True):
        row[0].set_ylabel(f"{label}, in thresholds" if label != "derivative" else label)
    save(figure, output / "wavelets_shrinkage.png")
    return {"width_in_thresholds": WIDTH, "surrogates": record}


def draw_curves(
    column: Sequence[Axes], c: jax.Array, function: Shrink, name: str, colour: str
) -> None:
    """A function, and below it its derivative by automatic differentiation."""
    style = {"color": colour, "label": name, "linewidth": 1.4}
    column[0].plot(c, function(c), **style)
    column[1].plot(c, jax.vmap(jax.grad(function))(c), **style)


def draw_distance(
    axes: Axes, c: jax.Array, exact: Shrink, entry: Surrogate, colours: tuple[str, str]
) -> Record:
    """How far a surrogate is from its original, and how far it may be."""
    name, smooth, bound = entry
    distance = jnp.abs(smooth(c) - exact(c))
    limit = hard_bound(c) if bound is None else jnp.full_like(c, bound)
    axes.plot(c, distance, colours[0], label=name)
    axes.plot(c, limit, colours[1], linestyle=":", linewidth=2, label="bound")
    return {
        "largest_distance": float(distance.max()),
        "bound": bound,
        "largest_ratio_to_bound": float((distance / limit).max()),
        "slope_at_0": float(jax.grad(smooth)(0.0)),
        "slope_at_threshold": float(jax.grad(smooth)(1.0)),
    }


def hard_bound(c: jax.Array) -> jax.Array:
    """The documented distance of `sigmoid_hard_threshold` from its original."""
    size = jnp.abs(c)
    gate = jax.nn.sigmoid(-jnp.abs(size - 1) / WIDTH)
    return size * (gate + jax.nn.sigmoid(-(size + 1) / WIDTH))


def noisy_subband() -> tuple[jax.Array, jax.Array]:
    """Horizontal details of level 2, clean and noisy, of an orthogonal transform."""
    image = simulate(SHOWN, NUM_PATIENTS, 128).healthy
    return tuple(
        wavelets.wavedec2(x, "haar", level=2)[1].horizontal.reshape(1, -1, 1, 1)
        for x in (image, add_noise(image, 1))
    )


def textbook_sure(c: jax.Array, t: jax.Array, sigma: float) -> jax.Array:
    """SURE as it stands in the paper; its automatic derivative misses the count."""
    size = jnp.abs(c)
    count = jnp.sum(size <= t)
    return sigma**2 * (c.size - 2 * count) + jnp.sum(jnp.minimum(size, t) ** 2)


def risk_curves(t: jax.Array) -> dict[str, tuple[jax.Array, jax.Array]]:
    """Values and derivatives by the threshold of estimated and of true error."""
    clean, noisy = noisy_subband()
    sigma = jnp.full((1, 1, 1, 1), SIGMA)

    def estimated(t):
        return jnp.sum(denoise.sure_risk(noisy, jnp.full_like(sigma, t), sigma))

    def true(t):
        return jnp.sum(jnp.square(denoise.soft_threshold(noisy, t) - clean))

    def textbook(t):
        return textbook_sure(noisy, t, SIGMA)

    scale = DEGREES**2 / clean.size
    curves = {}
    for function in (true, estimated, textbook):
        both = jax.jit(functools.partial(jax.lax.map, jax.value_and_grad(function)))
        value, slope = both(t)
        curves[function.__name__] = value * scale, slope * scale * SIGMA
    return curves


def draw_sure(output: pathlib.Path) -> Record:
    """SURE and true squared error against the threshold, and their derivatives."""
    t = jnp.linspace(0.0, 4.0, 161) * SIGMA
    curves = risk_curves(t)
    labels = {
        "true": ("true squared error", BLACK, "-"),
        "estimated": ("sure_risk", ORANGE, "--"),
        "textbook": ("plain automatic differentiation", BLUE, ":"),
    }
    figure, ((left, right),) = new_figure(1, 2, 9, 3.6)
    for name, (label, colour, line) in labels.items():
        value, slope = curves[name]
        style = {"color": colour, "linestyle": line, "label": label}
        if name != "textbook":
            left.plot(t / SIGMA, value, **style)
        right.plot(t / SIGMA, slope, **style)
    right.axhline(0, color="grey", linewidth=0.6)
    left.set_ylabel("squared error per coefficient, °C²")
    right.set_ylabel("derivative, °C² per sigma")
    for axes in (left, right):
        axes.set_xlabel("threshold / sigma")
        axes.legend(fontsize=8)
    save(figure, output / "wavelets_sure.png")
    return sure_numbers(np.asarray(t) / SIGMA, curves)


def sure_numbers(multiples: np.ndarray, curves: dict[str, Any]) -> Record:
    """Where the minima lie, and the derivatives at a quarter of a sigma."""
    at_quarter = int(np.argmin(np.abs(multiples - 0.25)))
    best = {name: int(np.argmin(curves[name][0])) for name in ("true", "estimated")}
    slopes = {name: float(slope[at_quarter]) for name, (_, slope) in curves.items()}
    error = np.abs(curves["estimated"][1] - curves["true"][1])
    return {
        "best_multiple_of_sigma": {n: float(multiples[i]) for n, i in best.items()},
        "derivative_at_quarter_sigma": slopes,
        "least_plain_derivative": float(np.min(curves["textbook"][1])),
        "largest_error_of_derivative": float(error[1:].max()),
        "largest_true_derivative": float(np.abs(curves["true"][1]).max()),
    }
