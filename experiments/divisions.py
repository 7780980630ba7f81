"""Which patients an experiment takes, and how it divides them into parts."""

import sys
from collections.abc import Sequence

import numpy as np

from configs.default import Config
from experiments.config_errors import ConfigError
from wbad_jax import data
from wbad_jax.data import Dataset
from wbad_jax.data.splits import Indices

SPLITS = ("patient", "era", "image")
_LEAKAGE = """
!!! WARNING: data.split is 'image'. Training and test hold images of the same patients.
!!! The accuracy of this run is inflated and says nothing about new patients.
"""


def select_patients(dataset: Dataset, patients: Sequence[int]) -> Dataset:
    """The examples of some patients.

    Args:
        dataset: Any.
        patients: `config.data.patients`: none for all, two numbers for the range from
            the first to the last, or the numbers of more than two.

    Raises:
        ConfigError: If it is a single number, no number, or of nobody.
    """
    if not patients:
        return dataset
    field = f"data.patients = {tuple(patients)}"
    if len(patients) == 1 or not all(isinstance(number, int) for number in patients):
        raise ConfigError(
            f"{field} must be (), two whole numbers (first, last), or a list of more."
        )
    known = dataset.patient_ids
    if len(patients) == 2:
        kept = (known >= patients[0]) & (known <= patients[1])
    else:
        kept = np.isin(known, patients)
        missing = sorted(set(patients) - set(known.tolist()))
        if missing:
            raise ConfigError(f"{field}: {dataset.name} has no patient {missing[0]}.")
    if not kept.any():
        raise ConfigError(
            f"{field} holds no patient of {dataset.name}, which has {known.min()} to "
            f"{known.max()}."
        )
    return dataset.subset(kept)


def divide(config: Config, dataset: Dataset) -> dict[str, Indices]:
    """Divide the examples as the config says.

    Returns:
        Name of the fold, "" for a single split, to its parts.

    Raises:
        ConfigError: If the settings contradict each other.
        DataError: If the data set cannot be divided like that.
    """
    settings = config.data
    if settings.test_builder:
        return {"": _to_other(settings, dataset)}
    if settings.split == "era":
        return _by_era(settings, dataset)
    fractions = {
        "train": 1 - settings.validation_fraction - settings.test_fraction,
        "validation": settings.validation_fraction,
        "test": settings.test_fraction,
    }
    if settings.split == "image":
        return {"": _by_image(settings, dataset, fractions)}
    if settings.num_folds == 1:
        return {"": data.split_by_patient(dataset, fractions, settings.split_seed)}
    folds = data.patient_folds(
        dataset, settings.num_folds, settings.validation_fraction, settings.split_seed
    )
    return {f"fold{index}": fold for index, fold in enumerate(folds)}


def _by_era(settings, dataset: Dataset) -> dict[str, Indices]:
    _one_fold(settings)
    eras = data.eras_of(dataset, settings.era.by, settings.era.boundaries)
    if settings.era.held_out:
        tests = {"": tuple(settings.era.held_out)}
    else:
        tests = {f"era{era}": (era,) for era in sorted(set(eras.values()))}
    return {
        name: data.split_by_era(
            dataset, eras, held_out, settings.validation_fraction, settings.split_seed
        )
        for name, held_out in tests.items()
    }


def _by_image(settings, dataset: Dataset, fractions) -> Indices:
    _one_fold(settings)
    if settings.train_on_twins and not dataset.factual.all():
        raise ConfigError("data.split = 'image' needs data.train_on_twins = False.")
    parts = data.split_by_image(
        dataset, fractions, settings.split_seed, allow_leakage=settings.allow_leakage
    )
    print(_LEAKAGE, file=sys.stderr, flush=True)
    return parts


def _to_other(settings, dataset: Dataset) -> Indices:
    if settings.split != "patient" or settings.num_folds != 1:
        raise ConfigError(
            "data.test_builder needs data.split = 'patient' and data.num_folds = 1, "
            f"got {settings.split!r} and {settings.num_folds}."
        )
    return data.split_to_other(
        dataset, settings.validation_fraction, settings.split_seed
    )


def _one_fold(settings) -> None:
    if settings.num_folds != 1:
        raise ConfigError(
            f"data.num_folds must be 1 with data.split = {settings.split!r}, got "
            f"{settings.num_folds}."
        )
