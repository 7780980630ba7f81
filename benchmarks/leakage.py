"""How much a split by image inflates the accuracy: twenty frames of each patient.

    python -m benchmarks.leakage

Simulated patients of the cohort `dynamic`, at 64 x 64 pixels: every image is scored
once by a model fitted to four fifths of the images, and once by the same model fitted
to four fifths of the patients. The difference of the two accuracies is the inflation.
Divisions, and with them the initial weights, are drawn anew for each seed. The interval
takes seeds and patients as crossed random effects. About ten minutes on two cores,
after as many for the simulation.
"""

import argparse
import pathlib
import sys
import time
from collections.abc import Sequence

import numpy as np
from scipy import stats

from benchmarks.measure import write_report
from benchmarks.plain_classifiers import (
    Network,
    Scorer,
    cross_validate,
    linear,
    nearest_neighbour,
)
from experiments.cohort import default_data_dir
from wbad_jax import data
from wbad_jax.data import Dataset

RESULTS = pathlib.Path(__file__).parent / "results" / "leakage.json"
SETTINGS = {"shape": (64, 64), "spacing_mm": 6.0}
FOLDS = 5
NETWORK = {"num_steps": 300, "widths": (8, 16), "batch_size": 64}


def make_models(image_shape: tuple[int, int, int]) -> dict[str, Scorer]:
    """The network of the experiments with two small stages, and two references."""
    return {
        "network": Network(image_shape, **NETWORK),
        "principal components, logistic regression": linear(100),
        "nearest neighbour": nearest_neighbour(),
    }


def divide(dataset: Dataset, by: str, seed: int) -> dict[str, np.ndarray]:
    """Fifths of the images or of the patients."""
    fractions = {str(fold): 1 / FOLDS for fold in range(FOLDS)}
    if by == "patient":
        return data.split_by_patient(dataset, fractions, seed)
    return data.split_by_image(dataset, fractions, seed, allow_leakage=True)


def right_of_patients(dataset: Dataset, scores: np.ndarray) -> np.ndarray:
    """Share of each patient's images that are classified rightly, `[patients]`."""
    right = (scores > 0.5) == (dataset.labels == 1)
    _, patient = np.unique(dataset.patient_ids, return_inverse=True)
    return np.bincount(patient, right) / np.bincount(patient)


def crossed_interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean and 95 % interval where every seed has seen every patient.

    The variance of the mean is the sum of those of seeds, of patients, and of the rest,
    by the method of moments (two-way random effects without replication; Searle,
    Casella and McCulloch 1992, Variance components); the part of the few seeds is
    widened by Student's t.

    Args:
        values: `[seeds, patients]`, at least two of each.
    """
    seeds, patients = values.shape
    mean = values.mean()
    rows, columns = values.mean(axis=1), values.mean(axis=0)
    rest = values - rows[:, None] - columns + mean
    rest_square = (rest**2).sum() / ((seeds - 1) * (patients - 1))
    of_seeds = max(rows.var(ddof=1) - rest_square / patients, 0.0) / seeds
    of_patients = max(columns.var(ddof=1) - rest_square / seeds, 0.0) / patients
    of_rest = rest_square / (seeds * patients)
    half = np.sqrt(
        stats.t.ppf(0.975, seeds - 1) ** 2 * of_seeds
        + stats.t.ppf(0.975, patients - 1) ** 2 * (of_patients + of_rest)
    )
    return float(mean), float(mean - half), float(mean + half)


def measure(dataset: Dataset, name: str, model: Scorer, seeds: Sequence[int]) -> dict:
    """Both accuracies of one model and their difference, in points."""
    start = time.monotonic()
    right = {
        by: np.array(
            [
                right_of_patients(
                    dataset,
                    cross_validate(
                        model,
                        dataset.images,
                        dataset.labels,
                        divide(dataset, by, seed),
                        seed,
                    ),
                )
                for seed in seeds
            ]
        )
        for by in ("image", "patient")
    }
    row = {"model": name}
    for key, values in (
        ("by_image", right["image"]),
        ("by_patient", right["patient"]),
        ("inflation", right["image"] - right["patient"]),
    ):
        mean, low, high = crossed_interval(100 * values)
        row |= {key: mean, f"{key}_interval": [low, high]}
        row[f"{key}_of_seeds"] = (100 * values.mean(axis=1)).tolist()
    row["seconds"] = time.monotonic() - start
    low, high = row["inflation_interval"]
    print(
        f"{name:<42} by image {row['by_image']:.1f} %, by patient "
        f"{row['by_patient']:.1f} %: {row['inflation']:.1f} points too many "
        f"({low:.1f} to {high:.1f}), {row['seconds']:.0f} s",
        flush=True,
    )
    return row


def main(argv: Sequence[str] | None = None) -> int:
    """Run the experiment, print the inflation and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--num_patients", type=int, default=92)
    parser.add_argument("--data_dir", default=default_data_dir())
    parser.add_argument("--output", type=pathlib.Path, default=RESULTS)
    options = parser.parse_args(argv)
    settings = {**SETTINGS, "num_patients": options.num_patients}
    dataset = data.load(
        "simulated_thermograms/dynamic",
        options.data_dir,
        settings=settings,
        twins=False,
    )
    models = make_models(dataset.images.shape[1:])
    report = {
        "dataset": f"{dataset.name} {dataset.version}",
        "settings": settings,
        "patients": len(np.unique(dataset.patient_ids)),
        "ill": int(dataset.labels[dataset.frames == 0].sum()),
        "images": len(dataset),
        "folds": FOLDS,
        "seeds": options.seeds,
        "network": NETWORK,
        "rows": [
            measure(dataset, name, model, range(options.seeds))
            for name, model in models.items()
        ],
    }
    write_report(report, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
