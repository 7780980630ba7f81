"""The examples of an experiment: loading, splitting, and what epsilon means on them."""

import dataclasses
import functools
import os
import pathlib

import numpy as np

from configs.default import Config
from experiments.attack_settings import epsilon_of
from experiments.config_errors import ConfigError
from experiments.divisions import divide, select_patients
from wbad_jax import data, processes
from wbad_jax.data import Dataset
from wbad_jax.evaluation import Examples

# Without twins to measure it on; lesions of some 5 pixels' width give 4 to 8.
_DEFAULT_L2_RATIO = 8.0


@dataclasses.dataclass(frozen=True)
class Fold:
    """One division of the patients; parts hold factual examples unless they say so.

    Attributes:
        name: Prefix of run names, "" for a single split.
        train: To fit; both twins of each patient if the config wants them.
        validation: To choose checkpoints.
        test: To report on.
        test_pairs: Both twins of every test patient; equal to `test` without twins.
        budgets: Linf and L2 radius in pixel units.
        baselines: Logits of trivial baselines on `test`, by feature.
    """

    name: str
    train: Dataset
    validation: Dataset
    test: Dataset
    test_pairs: Dataset
    budgets: dict[str, float]
    baselines: dict[str, np.ndarray]

    def run_name(self, arm: str) -> str:
        """Name of the training of an arm on this fold: its folder in the workdir."""
        return f"{self.name}/{arm}" if self.name else arm


def default_data_dir() -> pathlib.Path:
    """Where prepared data sets are kept if the user names no place."""
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(cache) / "wbad_jax" / "data"


def load(config: Config) -> Dataset:
    """Load the data of an experiment, preparing them on first use.

    Patients of `data.test_builder` follow those of `data.builder`.
    """
    dataset = _load(config, config.data.builder, config.data.options)
    dataset = select_patients(dataset, config.data.patients)
    if not config.data.test_builder:
        return dataset
    other = _load(config, config.data.test_builder, config.data.test_options)
    return data.join_cohorts(dataset, other)


def _load(config: Config, builder: str, options) -> Dataset:
    data_dir = config.data.data_dir or default_data_dir()
    read = functools.partial(
        data.load, builder, data_dir, config.data.manual_dir, settings=options.to_dict()
    )
    # One process prepares it, the others read.
    dataset = processes.on_first(read)
    return read() if dataset is None else dataset


def make_folds(config: Config, dataset: Dataset) -> list[Fold]:
    """Divide the patients as the config says: one split, or cross-validation.

    Raises:
        ConfigError: If the config asks for the impossible.
        DataError: If the data set cannot be divided like that.
    """
    if dataset.labels.min() < 0 or dataset.labels.max() > 1:
        raise ConfigError(
            "data.builder must give labels 0 and 1, the two classes of the networks, "
            f"got {np.unique(dataset.labels).tolist()}."
        )
    parts = divide(config, dataset)
    # The threat model is one for all folds, so that their predictions can be pooled.
    budgets = make_budgets(config, dataset)
    return [
        _make_fold(config, dataset, budgets, name, part) for name, part in parts.items()
    ]


def _make_fold(config, dataset: Dataset, budgets, name: str, part) -> Fold:
    limit = config.data.max_examples

    def factual(rows: np.ndarray) -> np.ndarray:
        return _balanced(dataset, rows[dataset.factual[rows]], limit)

    def with_twins(rows: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        return rows[np.isin(dataset.patient_ids[rows], dataset.patient_ids[chosen])]

    if config.data.split != "image":
        _check_disjoint(dataset, part)
    train, test = factual(part["train"]), factual(part["test"])
    if config.data.train_on_twins:
        train = with_twins(part["train"], train)
    each = _examples_of_a_patient(dataset, train)
    if config.training.batch_size < 1 or config.training.batch_size % each:
        raise ConfigError(
            f"training.batch_size must be a multiple of {each}, the number of examples "
            f"of a patient, got {config.training.batch_size}."
        )
    baselines = {}
    if config.evaluation.baselines:
        for feature in data.BASELINE_FEATURES:
            score = data.baseline_scores(dataset, train, test, feature)
            score = np.clip(score, 1e-6, 1 - 1e-6)
            baselines[feature] = np.log(np.stack([1 - score, score], axis=-1))
    return Fold(
        name=name,
        train=dataset.subset(train),
        validation=dataset.subset(factual(part["validation"])),
        test=dataset.subset(test),
        test_pairs=dataset.subset(with_twins(part["test"], test)),
        budgets=budgets,
        baselines=baselines,
    )


def _check_disjoint(dataset: Dataset, part) -> None:
    data.check_disjoint(
        *(
            dataclasses.replace(dataset.subset(rows), name=f"{dataset.name} ({name})")
            for name, rows in part.items()
        )
    )


def _examples_of_a_patient(dataset: Dataset, rows: np.ndarray) -> int:
    """How many examples of a patient go together among `rows`.

    One by one where patients have different numbers of images; twins, whose difference
    is the tumour, may not be torn apart.
    """
    patients, counts = np.unique(dataset.patient_ids[rows], return_counts=True)
    most, least = counts.argmax(), counts.argmin()
    if counts[most] != counts[least]:
        if dataset.factual[rows].all():
            return 1
        raise data.DataError(
            f"{dataset.name}: training needs as many examples of each patient, but "
            f"patient {patients[most]} has {counts[most]} and patient "
            f"{patients[least]} has {counts[least]}."
        )
    return int(counts[most])


def make_budgets(config: Config, dataset: Dataset) -> dict[str, float]:
    """Linf and L2 radius in pixel units.

    Args:
        config: The experiment.
        dataset: All examples, both twins of each patient where there are twins; those
            of `data.test_builder` do not count.
    """
    epsilon = epsilon_of(config, dataset.window)
    ratio = config.attack.l2_ratio
    if not ratio:
        known = dataset.subset(~data.is_other(dataset))
        ratio = _lesion_norm_ratio(known) or _DEFAULT_L2_RATIO
    return {"linf": epsilon, "l2": epsilon * ratio}


def _lesion_norm_ratio(dataset: Dataset) -> float | None:
    """Median of |s|_2 / |s|_inf, s = difference of the twins of a patient and frame."""
    order = np.lexsort((dataset.labels, dataset.frames, dataset.patient_ids))
    times = np.stack([dataset.patient_ids, dataset.frames], axis=1)[order]
    labels = dataset.labels[order]
    same_time = (times[1:] == times[:-1]).all(axis=1)
    first = np.flatnonzero(same_time & (labels[1:] != labels[:-1]))
    if not len(first):
        return None
    difference = dataset.images[order[first + 1]] - dataset.images[order[first]]
    flat = difference.reshape(len(first), -1)
    largest = np.abs(flat).max(axis=1)
    norms = np.linalg.norm(flat[largest > 0], axis=1)
    return float(np.median(norms / largest[largest > 0]))


def _balanced(dataset: Dataset, rows: np.ndarray, limit: int | None) -> np.ndarray:
    """Patients with at most `limit` examples together, but one of each class at least.

    The classes alternate, and no patient is there in part.
    """
    if limit is None or len(rows) <= limit:
        return rows
    patients, first, counts = np.unique(
        dataset.patient_ids[rows], return_index=True, return_counts=True
    )
    labels = dataset.labels[rows[first]]
    rank = np.zeros(len(patients), int)
    for label in np.unique(labels):
        rank[labels == label] = np.arange((labels == label).sum())
    order = np.argsort(rank, kind="stable")
    kept = np.cumsum(counts[order]) <= limit
    kept[: len(np.unique(labels))] = True
    return rows[np.isin(dataset.patient_ids[rows], patients[order[kept]])]


def examples_of(dataset: Dataset, everyone: Dataset | None = None) -> Examples:
    """What the evaluation needs of a data set.

    Args:
        dataset: The examples.
        everyone: A set with the twins of all of them, if there are twins.
    """
    return Examples(
        images=dataset.images,
        labels=dataset.labels,
        example_ids=dataset.example_ids,
        patient_ids=dataset.patient_ids,
        twins=None if everyone is None else _twins(dataset, everyone),
    )


def _twins(dataset: Dataset, everyone: Dataset) -> np.ndarray | None:
    """For each example, the same patient and frame in the other state; or None."""

    def places(labels: np.ndarray, of: Dataset):
        columns = (of.patient_ids, of.frames, labels)
        return list(zip(*(column.tolist() for column in columns), strict=True))

    there = places(everyone.labels, everyone)
    row_of = {place: row for row, place in enumerate(there)}
    wanted = places(1 - dataset.labels, dataset)
    if len(row_of) < len(there) or not all(place in row_of for place in wanted):
        return None
    return everyone.images[[row_of[place] for place in wanted]]
