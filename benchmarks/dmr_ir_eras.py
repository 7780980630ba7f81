"""What is left of DMR-IR once both classes are of the same years.

    python -m benchmarks.dmr_ir_eras --manual_dir=FOLDER

Most healthy women of this set were imaged years before the sick: all patients are
compared with those numbered 135 to 300, of whom both classes were imaged at the time.
Patient-disjoint cross-validation in five folds, pooled, three times: the network, a
linear model, and trivial baselines that never look at a breast. Only aggregate numbers
are written. About a quarter of an hour on two cores.
"""

import argparse
import pathlib
import sys
import time
from collections.abc import Mapping, Sequence

import numpy as np
from sklearn import linear_model, metrics, pipeline, preprocessing

from benchmarks.measure import write_report
from benchmarks.plain_classifiers import Network, Scorer, cross_validate, linear
from experiments.cohort import default_data_dir
from experiments.divisions import select_patients
from wbad_jax import data
from wbad_jax.data import Dataset

RESULTS = pathlib.Path(__file__).parent / "results" / "dmr_ir_eras.json"
ERA = (135, 300)  # patient numbers
FOLDS, REPEATS, RESAMPLINGS = 5, 3, 2000
NETWORK = {"num_steps": 200, "batch_size": 32, "level": 3}
_OF_FILES = ("dialect", "file_size")


def scalar() -> Scorer:
    """Logistic regression on what stands in the place of the image."""

    def score(values, labels, test_values, seed):
        model = pipeline.make_pipeline(
            preprocessing.StandardScaler(), linear_model.LogisticRegression()
        )
        return model.fit(values, labels).predict_proba(test_values)[:, 1]

    return score


def make_arms(dataset: Dataset) -> dict[str, tuple[Scorer, np.ndarray]]:
    """Models and what they look at."""
    trivial = {
        name: feature(dataset) for name, feature in data.BASELINE_FEATURES.items()
    }
    trivial |= {name: dataset.parameters[name] for name in _OF_FILES}
    pictures = {
        "network": Network(dataset.images.shape[1:], **NETWORK),
        "linear": linear(20),
    }
    return {name: (model, dataset.images) for name, model in pictures.items()} | {
        f"baseline:{name}": (scalar(), np.asarray(values, np.float64)[:, None])
        for name, values in trivial.items()
    }


def measure(dataset: Dataset, arms: Mapping[str, tuple[Scorer, np.ndarray]]) -> list:
    """One row a model: pooled area under the curve and accuracy."""
    rows = []
    fractions = {str(fold): 1 / FOLDS for fold in range(FOLDS)}
    for name, (model, inputs) in arms.items():
        start = time.monotonic()
        scores = np.array(
            [
                cross_validate(
                    model,
                    inputs,
                    dataset.labels,
                    data.split_by_patient(dataset, fractions, seed),
                    seed,
                )
                for seed in range(REPEATS)
            ]
        )
        rows.append({"model": name, **summarise(scores, dataset.labels)})
        rows[-1]["seconds"] = time.monotonic() - start
        low, high = rows[-1]["auc_interval"]
        print(
            f"{name:<32} AUC {rows[-1]['auc']:.3f} ({low:.3f} to {high:.3f}), accuracy "
            f"{rows[-1]['accuracy']:.3f}, {rows[-1]['seconds']:.0f} s",
            flush=True,
        )
    return rows


def summarise(scores: np.ndarray, labels: np.ndarray) -> dict:
    """Means over the repeats, with an interval by the bootstrap over patients.

    Args:
        scores: `[repeats, patients]`.
        labels: `[patients]`.
    """

    def area(rows: np.ndarray) -> list[float]:
        return [metrics.roc_auc_score(labels[rows], s[rows]) for s in scores]

    rng = np.random.default_rng(0)
    everyone = np.arange(len(labels))
    draws = []
    while len(draws) < RESAMPLINGS:
        rows = rng.choice(everyone, len(everyone))
        if len(np.unique(labels[rows])) == 2:
            draws.append(np.mean(area(rows)))
    accuracy = ((scores > 0.5) == (labels == 1)).mean(axis=1)
    return {
        "auc": float(np.mean(area(everyone))),
        "auc_interval": np.percentile(draws, [2.5, 97.5]).tolist(),
        "auc_of_repeats": area(everyone),
        "accuracy": float(accuracy.mean()),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the comparison, print a table and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--manual_dir", type=pathlib.Path, required=True)
    parser.add_argument("--data_dir", default=default_data_dir())
    parser.add_argument("--output", type=pathlib.Path, default=RESULTS)
    options = parser.parse_args(argv)
    everyone = data.load("dmr_ir/frontal", options.data_dir, options.manual_dir)
    sets = []
    for name, patients in (("all", ()), ("era", ERA)):
        dataset = select_patients(everyone, patients)
        healthy, sick = np.bincount(dataset.labels).tolist()
        print(f"\n{name}: {healthy} healthy and {sick} sick patients", flush=True)
        rows = measure(dataset, make_arms(dataset))
        sets.append(
            {
                "name": name,
                "patient_numbers": list(patients) or None,
                "healthy": healthy,
                "sick": sick,
                "majority": max(healthy, sick) / len(dataset),
                "rows": rows,
            }
        )
    report = {
        "dataset": f"{everyone.name} {everyone.version}",
        "folds": FOLDS,
        "repeats": REPEATS,
        "network": NETWORK,
        "sets": sets,
    }
    write_report(report, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
