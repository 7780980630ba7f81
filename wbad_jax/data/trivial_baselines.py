"""Baselines that never look at a breast.

What one number about an exposure predicts is the least that an image classifier must
beat. On 162 patients of DMR-IR the patient number alone reaches an area under the curve
of 0.97, since healthy and sick women were imaged in different years.
"""

from collections.abc import Callable

import numpy as np

from wbad_jax.data.dataset import Dataset
from wbad_jax.data.errors import DataError


def mean_celsius(dataset: Dataset) -> np.ndarray:
    """Mean temperature of each body, `[examples]` float64, degrees Celsius.

    Args:
        dataset: Any; images of one channel.
    """
    low, high = dataset.window
    fraction = np.mean(
        dataset.images, axis=(1, 2, 3), where=dataset.masks, dtype=np.float64
    )
    return low + (high - low) * np.asarray(fraction)


BASELINE_FEATURES: dict[str, Callable[[Dataset], np.ndarray]] = {
    "patient_number": lambda dataset: dataset.patient_ids,
    "background_temperature": lambda dataset: dataset.background_celsius,
    "noise_level": lambda dataset: dataset.noise_celsius,
    "mean_temperature": mean_celsius,
}


def baseline_scores(
    dataset: Dataset, train_idx: np.ndarray, test_idx: np.ndarray, feature: str
) -> np.ndarray:
    """Fits a logistic regression on one scalar and scores the test examples.

    Args:
        dataset: Any.
        train_idx: Indices of the examples to fit on.
        test_idx: Indices of the examples to score.
        feature: One of `BASELINE_FEATURES`.

    Returns:
        Probability of label 1, `[len(test_idx)]` float64.

    Raises:
        DataError: If the feature is unknown or the training part has one class only.

    Examples:
        >>> from wbad_jax.data import baseline_scores
        >>> train, test = np.arange(16), np.arange(16, 24)
        >>> scores = baseline_scores(dataset, train, test, "patient_number")
        >>> scores.shape  # see `Dataset`
        (8,)
    """
    if feature not in BASELINE_FEATURES:
        raise DataError(
            f"Unknown baseline {feature!r}. Known: {', '.join(BASELINE_FEATURES)}."
        )
    labels = dataset.labels[train_idx] == 1
    if labels.all() or not labels.any():
        raise DataError(
            "baseline_scores needs training examples with and without a tumour, got "
            f"{labels.sum()} of {len(labels)} with one."
        )
    values = BASELINE_FEATURES[feature](dataset).astype(np.float64)[:, None]
    from sklearn import linear_model, pipeline, preprocessing  # here: slow to import

    model = pipeline.make_pipeline(
        preprocessing.StandardScaler(), linear_model.LogisticRegression()
    )
    model.fit(values[train_idx], labels)
    return model.predict_proba(values[test_idx])[:, 1]
