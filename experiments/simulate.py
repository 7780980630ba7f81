r"""Simulate a cohort, or go on with one that was interrupted.

    python -m experiments.simulate --cohort=paper
    python -m experiments.simulate --cohort=large --num_patients=5000 --workers=8
    python -m experiments.simulate --cohort=quickstart --preview=preview.png

Cohorts are the configs of the data set `simulated_thermograms`: paper, paper_mixture,
paper_weak, dynamic, large, test, quickstart, tiny. Training prepares what it needs by
itself; this command is for long ones and for a look.
"""

import pathlib
import time
from typing import Any

import numpy as np
from absl import flags

from experiments.cohort import default_data_dir
from experiments.command_line import required, run_command
from wbad_jax import data
from wbad_jax.data import DataError, Dataset

_SHOWN = 12


def simulate_cohort(
    name: str, settings: dict[str, Any], data_dir: pathlib.Path, workers: int = 2
) -> Dataset:
    """Prepare a cohort and say what it is.

    Args:
        name: Config of `simulated_thermograms`.
        settings: Fields of it to change.
        data_dir: Prepared sets are kept below it.
        workers: Patients simulated at a time.

    Returns:
        The cohort, both states of each patient.

    Raises:
        DataError: If there is no such cohort, or a setting is impossible.
    """
    start = time.perf_counter()
    dataset = data.load(
        f"simulated_thermograms/{name}", data_dir, settings=settings, workers=workers
    )
    patients = len(np.unique(dataset.patient_ids))
    share = dataset.labels[dataset.factual].mean()
    print(
        f"{dataset.name} {dataset.version}: {patients} patients, {share:.1%} with a "
        f"tumour, {len(dataset)} images of {dataset.images.shape[1]} x "
        f"{dataset.images.shape[2]}, below {data_dir}; "
        f"{time.perf_counter() - start:.0f} s."
    )
    return dataset


def draw_preview(dataset: Dataset, path: pathlib.Path) -> None:
    """Draw some patients: healthy, with tumour, difference.

    Raises:
        DataError: If matplotlib is not installed, or the file cannot be written.
    """
    try:
        from matplotlib import figure
    except ImportError as error:
        raise DataError(
            '--preview needs matplotlib: pip install "wbad_jax[docs]".'
        ) from error
    first = dataset.subset(dataset.frames == 0)
    celsius = first.images * (first.window[1] - first.window[0]) + first.window[0]
    celsius = np.where(first.masks, celsius, np.nan)[..., 0]
    healthy, tumour = celsius[::2][:_SHOWN], celsius[1::2][:_SHOWN]
    picture = figure.Figure(figsize=(1.6 * len(healthy), 5.2), layout="constrained")
    axes = picture.subplots(3, len(healthy), squeeze=False)
    low, high = np.nanpercentile(healthy, [0.5, 99.8])
    rows = (
        ("healthy", healthy, low, high, "inferno"),
        ("tumour", tumour, low, high, "inferno"),
        ("difference", tumour - healthy, 0.0, 3.0, "viridis"),
    )
    for row, (title, images, least, most, colours) in zip(axes, rows, strict=True):
        for axis, image in zip(row, images, strict=True):
            shown = axis.imshow(image, vmin=least, vmax=most, cmap=colours)
            axis.set_axis_off()
        row[0].set_title(title)
        picture.colorbar(shown, ax=row, label="°C", shrink=0.8)
    try:
        picture.savefig(path, dpi=110)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: the preview cannot be written: {error}") from error
    print(f"Preview: {path}")


def define_flags() -> None:
    """Flags of this command."""
    flags.DEFINE_string("cohort", None, "Cohort, such as paper or quickstart.")
    flags.DEFINE_integer("num_patients", None, "Number of patients; the cohort's own.")
    flags.DEFINE_integer("first_seed", None, "Seed of the first; the cohort's own.")
    flags.DEFINE_string("data_dir", None, "Folder of prepared data; a cache if unset.")
    flags.DEFINE_integer("workers", 2, "Patients simulated at a time.", lower_bound=1)
    flags.DEFINE_string("preview", None, "PNG of twelve patients to draw.")


def main(_) -> None:
    """Entry point."""
    name = required("cohort")
    settings = {
        field: flags.FLAGS[field].value
        for field in ("num_patients", "first_seed")
        if flags.FLAGS[field].value is not None
    }
    folder = pathlib.Path(flags.FLAGS.data_dir or default_data_dir())
    dataset = simulate_cohort(name, settings, folder, flags.FLAGS.workers)
    if flags.FLAGS.preview:
        draw_preview(dataset, pathlib.Path(flags.FLAGS.preview))


if __name__ == "__main__":
    run_command(main, define_flags)
