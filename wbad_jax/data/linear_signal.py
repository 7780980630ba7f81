"""Whether a linear model finds the label in the images of unseen patients."""

import dataclasses

import numpy as np
import scipy

from wbad_jax.data.coarse_images import coarse_images
from wbad_jax.data.dataset import Dataset
from wbad_jax.data.findings import Finding
from wbad_jax.data.patient_states import patient_means, patient_states
from wbad_jax.data.separation import (
    Separation,
    enough_patients,
    separation,
)

# A weak signal is no fault: 5 %, not the level of the other tests.
_SIGNAL_ALPHA = 0.05
_PIXELS = 24  # edge of the images that the model sees
_MOST_COMPONENTS = 100
_FOLDS = 5
_PERMUTATIONS = 1999


def linear_signal(dataset: Dataset) -> Finding:
    """Asks whether a linear model finds the label in the images of other patients.

    That it does not is what shuffled labels look like, and so do few patients, weak
    tumours and signs that a linear model cannot use: a warning, never a failure.

    Args:
        dataset: With finite pixels.
    """
    title = "Labels and a linear model"
    own = np.flatnonzero(dataset.factual)
    positive = patient_states(dataset.labels[own] == 1, dataset.patient_ids[own])
    if not enough_patients(positive):
        return Finding("linear_signal", title, "not_run", "Too few patients.")
    found = linear_separation(dataset, own, positive)
    least = found.least_detectable(_SIGNAL_ALPHA)
    evidence = dataclasses.asdict(found) | {"least_detectable_auc": least}
    if found.p_value < _SIGNAL_ALPHA:
        sentence = f"Label of unseen patients by a linear model: {found.in_words()}."
        return Finding("linear_signal", title, "pass", sentence, evidence)
    sentence = (
        f"A linear model does not find the label: {found.in_words()}. Labels may be "
        "shuffled, or the signs weak or not linear; an AUC of "
        f"{least:.2f} would have been found in four of five cases."
    )
    return Finding("linear_signal", title, "warn", sentence, evidence)


def linear_separation(
    dataset: Dataset, rows: np.ndarray, positive: np.ndarray
) -> Separation:
    """Separation by least squares on principal components of each patient's mean image.

    Scores of different folds share training patients, so that the Mann-Whitney test is
    too eager here: labels are permuted among patients, and all is done again.

    Args:
        dataset: With finite pixels.
        rows: Images to look at.
        positive: `[patients]` bool, in the order of their numbers.

    Returns:
        How well patients are told apart by models fitted to others.
    """
    pixels = coarse_images(dataset, rows, _PIXELS)
    features = patient_means(pixels.reshape(len(rows), -1), dataset.patient_ids[rows])
    rng = np.random.default_rng(0)
    labels = [positive, *(rng.permutation(positive) for _ in range(_PERMUTATIONS))]
    scores = _scores(features, 2.0 * np.stack(labels, axis=1) - 1)
    # Areas under the curve from the ranks of the positive patients (Mann and Whitney).
    ranks = scipy.stats.rankdata(scores, axis=0)
    rank_sums = np.array([r[own].sum() for r, own in zip(ranks.T, labels, strict=True)])
    p_value = float((rank_sums >= rank_sums[0]).mean())
    found = separation(scores[:, 0], positive)
    return dataclasses.replace(found, p_value=p_value)


def _scores(features: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """Scores of patients by models fitted to others, a column for each of `signs`.

    The folds do not look at labels, which makes permuted ones as good as the others.
    """
    from sklearn import (  # here: slow to import
        decomposition,
        linear_model,
        model_selection,
        pipeline,
        preprocessing,
    )

    components = min(_MOST_COMPONENTS, len(features) // 4)
    model = pipeline.make_pipeline(
        decomposition.PCA(components, random_state=0),
        preprocessing.StandardScaler(),
        linear_model.LinearRegression(),
    )
    scores = np.zeros_like(signs)
    folds = model_selection.KFold(_FOLDS, shuffle=True, random_state=0)
    for fit, test in folds.split(features):
        scores[test] = model.fit(features[fit], signs[fit]).predict(features[test])
    return scores
