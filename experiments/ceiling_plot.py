"""Draws the bracket of robust accuracy against the radius."""

import pathlib
from typing import Any

import numpy as np


def draw(record: dict[str, Any], path: pathlib.Path) -> None:
    """Plots the bracket of each norm against the radius.

    Args:
        record: Of `bracket`.
        path: Of the picture.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    norms = list(dict.fromkeys(row["norm"] for row in record["rows"]))
    figure, axes = plt.subplots(
        1, len(norms), figsize=(4.8 * len(norms), 4.2), squeeze=False, sharey=True,
        layout="constrained",
    )  # fmt: skip
    for axis, norm in zip(axes[0], norms, strict=True):
        rows = [row for row in record["rows"] if row["norm"] == norm]
        _draw_norm(axis, rows, record["l2_ratio"] if norm == "l2" else 1.0)
    axes[0, 0].set_ylabel("robust accuracy")
    axes[0, 0].legend(loc="lower left", fontsize=8)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def _draw_norm(axis: Any, rows: list[dict[str, Any]], ratio: float) -> None:
    radius = np.array([row["epsilon_255"] for row in rows])

    def column(part: str, name: str) -> np.ndarray:
        return np.array([row[part][name] for row in rows])

    ceiling, reached = column("informed", "ceiling"), column("scanning", "accuracy")
    axis.fill_between(radius, np.maximum(reached, 0.5), ceiling, color="0.92")
    axis.plot(radius, column("pair_bound", "accuracy"), "k--", label="pair bound")
    axis.plot(radius, ceiling, "-o", color="#0072B2", ms=4, label="ceiling C")
    error = np.abs(
        np.stack([column("scanning", end) for end in ("ci_low", "ci_high")]) - reached
    )
    axis.errorbar(
        radius, reached, error, fmt="-s", color="#E69F00", ms=4, capsize=2,
        label="certified A",
    )  # fmt: skip
    axis.axhline(0.5, color="0.5", lw=0.8, label="constant classifier")
    axis.set_xscale("log", base=2)
    axis.set_xticks(radius, [f"{value:g}" for value in radius])
    norm = rows[0]["norm"]
    label = (
        "Linf radius, 255ths" if norm == "linf" else f"L2 radius / {ratio:.2f}, 255ths"
    )
    axis.set_xlabel(label)
    axis.set_ylim(0.45, 1.02)
    factor = rows[-1]["epsilon_celsius"] / rows[-1]["epsilon_255"]
    top = axis.twiny()
    top.set_xscale("log", base=2)
    top.set_xlim(axis.get_xlim())
    top.set_xticks(radius, [f"{value * factor:.2g}" for value in radius])
    top.set_xlabel("radius, °C" if norm == "linf" else "radius, °C (root of sum)")
    top.minorticks_off()
    axis.minorticks_off()
