"""Classifiers of clean images, without attack or defence, for questions about data.

The network is that of the experiments, undefended; the others are references that are
fitted in a second.
"""

from collections.abc import Callable, Mapping

import jax
import numpy as np
from sklearn import decomposition, linear_model, neighbors, pipeline, preprocessing

from wbad_jax import models, training
from wbad_jax.types import Batch

# From training images and labels, test images and a seed to the scores of label 1.
Scorer = Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]


class Network:
    """The undefended network, trained for some steps; compiled once for all fits."""

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        num_steps: int,
        batch_size: int = 32,
        level: int = 2,
        widths: tuple[int, ...] = (16, 32, 64),
        learning_rate: float = 2e-3,
    ):
        settings = models.ModelSettings(
            image_shape=image_shape, widths=widths, level=level
        )
        classifier = models.Classifier(settings)
        self._optimizer = training.adamw(
            learning_rate=learning_rate, num_steps=num_steps, weight_decay=1e-3
        )
        self._step = training.make_train_step(
            training.mixture(classifier.logits_fn, attacks={}, weights={"clean": 1.0}),
            self._optimizer,
        )
        self._init = jax.jit(self._start(classifier))
        self._logits = jax.jit(classifier.apply)
        self._num_steps, self._batch_size = num_steps, batch_size

    def _start(self, classifier):
        return lambda key: training.init_state(classifier.init(key), self._optimizer)

    def __call__(self, images, labels, test_images, seed: int) -> np.ndarray:
        """Trains on shuffled images, half of them mirrored, and scores others."""
        key = jax.random.key(seed)
        rng = np.random.default_rng(seed)
        state = self._init(key)
        rows = np.zeros(0, int)
        for _ in range(self._num_steps):
            if len(rows) < self._batch_size:
                rows = np.concatenate([rows, rng.permutation(len(images))])
            chosen, rows = rows[: self._batch_size], rows[self._batch_size :]
            mirrored = rng.random(len(chosen))[:, None, None, None] < 0.5
            batch = np.where(mirrored, images[chosen][:, :, ::-1], images[chosen])
            weights = np.ones(len(chosen), np.float32)
            state, _ = self._step(state, Batch(batch, labels[chosen], weights), key, {})
        logits = [
            np.asarray(self._logits(state.ema_params, part))
            for part in _parts(test_images, self._batch_size)
        ]
        difference = np.concatenate(logits)[: len(test_images)] @ [-1.0, 1.0]
        return 1 / (1 + np.exp(-difference))


def _parts(images: np.ndarray, size: int):
    """Batches of one size, the last filled up with its own images."""
    for start in range(0, len(images), size):
        yield np.resize(images[start : start + size], (size, *images.shape[1:]))


def linear(components: int) -> Scorer:
    """Logistic regression on the largest principal components of the pixels."""
    return _of_pixels(
        lambda seed: pipeline.make_pipeline(
            decomposition.PCA(components, random_state=seed),
            preprocessing.StandardScaler(),
            linear_model.LogisticRegression(C=0.1, max_iter=1000),
        )
    )


def nearest_neighbour() -> Scorer:
    """The label of the most similar training image."""
    return _of_pixels(lambda seed: neighbors.KNeighborsClassifier(1))


def _of_pixels(make) -> Scorer:
    def score(images, labels, test_images, seed):
        model = make(seed).fit(images.reshape(len(images), -1), labels)
        flat = test_images.reshape(len(test_images), -1)
        return model.predict_proba(flat)[:, 1]

    return score


def cross_validate(
    scorer: Scorer,
    images: np.ndarray,
    labels: np.ndarray,
    folds: Mapping[str, np.ndarray],
    seed: int,
) -> np.ndarray:
    """Scores each image by a model that was fitted without its fold."""
    scores = np.full(len(labels), np.nan)
    for test in folds.values():
        train = np.setdiff1d(np.arange(len(labels)), test)
        scores[test] = scorer(images[train], labels[train], images[test], seed)
    return scores
