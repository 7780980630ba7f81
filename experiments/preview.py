"""A picture of some patients of a simulated cohort, with and without their tumour."""

import importlib.util
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from experiments.config_errors import ConfigError
from wbad_jax import data
from wbad_jax.data import Dataset

_ROWS, _PATIENTS_A_ROW = 4, 3
_COLUMNS = ("healthy", "with tumour", "difference")


def check_preview(path: pathlib.Path) -> None:
    """Refuse a picture that could not be written after all.

    Raises:
        ConfigError: If the folder or Matplotlib is missing, or the ending is unknown.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigError(
            "--preview needs Matplotlib, which is not installed: pip install -e "
            "'.[docs]'."
        )
    if not path.parent.is_dir():
        raise ConfigError(f"--preview must be in a folder that exists, got {path}.")
    from matplotlib.figure import Figure

    known = Figure().canvas.get_supported_filetypes()
    if path.suffix.removeprefix(".") not in known:
        raise ConfigError(
            f"--preview must end in one of {', '.join(sorted(known))}, got {path}."
        )


def write_preview(
    builder: tfds.core.DatasetBuilder,
    index: Mapping[str, np.ndarray],
    path: pathlib.Path,
) -> None:
    """Draw the first twelve patients, at their first frame.

    Args:
        builder: Of a prepared cohort.
        index: Of `data.read_index`.
        path: Where to write; see `check_preview`.

    Raises:
        ConfigError: If it cannot be written.
    """
    from matplotlib.figure import Figure

    chosen = (index["frame"] == 0) & (index["patient_id"] < _ROWS * _PATIENTS_A_ROW)
    positions = np.flatnonzero(chosen).tolist()
    dataset = data.read_examples(builder, positions=positions)
    triples = _triples(dataset)
    figure = Figure(figsize=(2.2 * 3 * _PATIENTS_A_ROW, 2.3 * _ROWS), dpi=100)
    figure.set_layout_engine("compressed")
    axes = figure.subplots(_ROWS, 3 * _PATIENTS_A_ROW, squeeze=False)
    scales = _scales(triples)
    for axis in axes.flat:
        axis.axis("off")
    pictures: list[Any] = [None, None, None]
    for number, triple in enumerate(triples):
        row, left = divmod(number, _PATIENTS_A_ROW)
        factual = int(dataset.labels[dataset.factual][number])
        for kind, celsius in enumerate(triple):
            axis = axes[row, 3 * left + kind]
            pictures[kind] = axis.imshow(
                celsius, interpolation="nearest", **scales[kind]
            )
            mark = " *" if kind == factual else ""
            axis.set_title(_COLUMNS[kind] + mark, fontsize=8)
    figure.colorbar(pictures[0], ax=axes, shrink=0.6, label="°C")
    figure.colorbar(pictures[2], ax=axes, shrink=0.6, label="difference, °C")
    figure.suptitle(f"{dataset.name} {dataset.version}; * the state that she is in")
    try:
        figure.savefig(path)
    except OSError as error:
        raise ConfigError(f"--preview: {path} cannot be written: {error}.") from error


def _triples(dataset: Dataset) -> list[np.ndarray]:
    """Healthy, with tumour, difference: `[3, height, width]`, NaN outside the body."""
    low, high = dataset.window
    celsius = np.where(dataset.masks, low + (high - low) * dataset.images, np.nan)
    twins = celsius[..., 0].reshape(-1, 2, *celsius.shape[1:3])
    return [np.stack([healthy, ill, ill - healthy]) for healthy, ill in twins]


def _scales(triples: list[np.ndarray]) -> list[dict[str, Any]]:
    """Limits and colours, the same for all patients."""
    everything = np.stack(triples)
    low, high = np.nanpercentile(everything[:, :2], (1, 99))
    largest = np.nanmax(np.abs(everything[:, 2]))
    celsius = {"vmin": low, "vmax": high, "cmap": "inferno"}
    return [
        celsius,
        celsius,
        {"vmin": -largest, "vmax": largest, "cmap": "RdBu_r"},
    ]
