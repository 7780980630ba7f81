"""What tells the label of a simulated cohort, other than the tumour: nothing should.

    python -m benchmarks.cohort_audit --cohort=paper

Three questions, each by cross-validation over patients. Do trivial features tell the
label, such as the mean temperature? Does a linear model on pixels, which cannot compare
places? And do the healthy states of women with a tumour differ from healthy women? The
first and the last must give an area under the curve (AUC) of 0.5 within the interval.
"""

import argparse
import functools
import pathlib
import sys
from collections.abc import Callable, Sequence

import numpy as np
from sklearn import (
    decomposition,
    ensemble,
    linear_model,
    metrics,
    pipeline,
    preprocessing,
)

from benchmarks.measure import write_report
from experiments.cohort import default_data_dir
from wbad_jax import data
from wbad_jax.data import Dataset
from wbad_jax.evaluation import wilson_interval

RESULTS = pathlib.Path(__file__).parent / "results"
# From the rows to fit and those to score to the scores of the latter.
Scorer = Callable[[np.ndarray, np.ndarray], np.ndarray]
TREES = 200
RESAMPLINGS = 2000  # of the bootstrap
_FOLDS, _COMPONENTS = 5, 100


def linear_model_on_pixels():
    """Logistic regression on the largest principal components, strongly shrunk."""
    return pipeline.make_pipeline(
        decomposition.PCA(_COMPONENTS, random_state=0),
        preprocessing.StandardScaler(),
        linear_model.LogisticRegression(C=0.01, max_iter=1000),
    )


def forest():
    """Sees what a linear model cannot: spread, corners, combinations."""
    return pipeline.make_pipeline(
        decomposition.PCA(_COMPONENTS, random_state=0),
        ensemble.RandomForestClassifier(TREES, min_samples_leaf=5, random_state=0),
    )


def factual(dataset: Dataset) -> Dataset:
    """Every patient as she is."""
    return dataset.subset(dataset.factual)


def healthy_states(dataset: Dataset) -> tuple[Dataset, np.ndarray]:
    """Every patient without her tumour, and whether she is one who has it."""
    healthy = dataset.subset(dataset.labels == 0)
    return healthy, (~healthy.factual).astype(int)


def cross_validate(score: Scorer, labels: np.ndarray, folds) -> dict:
    """Scores every patient by a model that has not seen her."""
    scores = np.zeros(len(labels))
    for fold in folds:
        fit = np.concatenate([fold["train"], fold["validation"]])
        scores[fold["test"]] = score(fit, fold["test"])
    return summarise(scores, labels)


def scorer(model, features: np.ndarray, labels: np.ndarray) -> Scorer:
    """Fits a model to some patients and scores others."""
    return lambda fit, test: model.fit(features[fit], labels[fit]).predict_proba(
        features[test]
    )[:, 1]


def summarise(scores: np.ndarray, labels: np.ndarray) -> dict:
    """AUC with a bootstrap interval over patients, and accuracy."""
    rng = np.random.default_rng(0)
    resampled = []
    for _ in range(RESAMPLINGS):
        rows = rng.integers(len(labels), size=len(labels))
        resampled.append(metrics.roc_auc_score(labels[rows], scores[rows]))
    correct = int(((scores > 0.5) == labels).sum())
    return {
        "n": len(labels),
        "auc": float(metrics.roc_auc_score(labels, scores)),
        "auc_interval": np.percentile(resampled, [2.5, 97.5]).tolist(),
        "accuracy": correct / len(labels),
        "accuracy_interval": wilson_interval(correct, len(labels)),
    }


def audit(dataset: Dataset) -> dict[str, dict]:
    """All measurements, printed as they come."""
    patients = factual(dataset)
    folds = data.patient_folds(patients, _FOLDS, 0.1, seed=0)
    healthy, has_tumour = healthy_states(dataset)
    rows = {}

    def add(name: str, score: Scorer, labels: np.ndarray) -> None:
        rows[name] = row = cross_validate(score, labels, folds)
        low, high = row["auc_interval"]
        print(
            f"{name:<32} AUC {row['auc']:.3f} ({low:.3f} to {high:.3f}), "
            f"accuracy {row['accuracy']:.3f}",
            flush=True,
        )

    for feature in data.BASELINE_FEATURES:
        score = functools.partial(data.baseline_scores, patients, feature=feature)
        add(feature, score, patients.labels)
    pictures = {
        "pixels": (patients, patients.labels),
        "healthy state": (healthy, has_tumour),
    }
    for name, (part, labels) in pictures.items():
        flat = part.images.reshape(len(part), -1)
        for kind, model in (("linear", linear_model_on_pixels()), ("forest", forest())):
            add(f"{name}, {kind}", scorer(model, flat, labels), labels)
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Run the audit, print a table and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cohort", default="paper")
    parser.add_argument("--data_dir", default=default_data_dir())
    parser.add_argument("--output", type=pathlib.Path)
    options = parser.parse_args(argv)
    dataset = data.load(f"simulated_thermograms/{options.cohort}", options.data_dir)
    dataset = dataset.subset(dataset.frames == 0)
    report = {
        "dataset": f"{dataset.name} {dataset.version}",
        "folds": _FOLDS,
        "rows": audit(dataset),
    }
    output = options.output or RESULTS / f"audit_{options.cohort}.json"
    write_report(report, output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
