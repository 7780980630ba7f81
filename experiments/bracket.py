"""The bracket of robust accuracy of a simulated cohort, as records for JSON."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from tqdm import tqdm

from experiments.config_errors import ConfigError
from wbad_jax import data, evaluation
from wbad_jax.bioheat import CohortSettings
from wbad_jax.data import Dataset

_LEVELS = 255
_CHUNK = 16  # patients whose templates are solved together
# The test patients are those of `configs/default.py`, its validation patients train.
_FRACTIONS = {"train": 0.75, "test": 0.25}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pairs:
    """Twins of patients, in the same order: images `[n, height, width]`."""

    healthy: np.ndarray
    tumour: np.ndarray
    body: np.ndarray
    noise: np.ndarray

    def subset(self, rows: Any) -> "Pairs":
        """Some of the patients."""
        return Pairs(**{name: getattr(self, name)[rows] for name in vars(self)})

    @property
    def lesions(self) -> np.ndarray:
        """Tumour minus healthy image, 0 outside the body."""
        return np.where(self.body, self.tumour - self.healthy, 0.0)


def pairs_of(dataset: Dataset, rows: np.ndarray) -> Pairs:
    """The twins among some rows of a data set.

    Args:
        dataset: With both states of each patient.
        rows: Of whole patients, sorted.

    Raises:
        ConfigError: If a patient and frame lacks a state.
    """
    part = dataset.subset(rows)
    healthy, tumour = part.subset(part.labels == 0), part.subset(part.labels == 1)
    names = "patient_ids", "frames"
    if not all(
        np.array_equal(getattr(healthy, name), getattr(tumour, name)) for name in names
    ):
        raise ConfigError(f"{dataset.name}: both states of each patient are needed.")
    low, high = dataset.window
    return Pairs(
        healthy=healthy.images[..., 0],
        tumour=tumour.images[..., 0],
        body=healthy.masks[..., 0],
        noise=healthy.parameters["noise_celsius"] / (high - low),
    )


def noise_spectra(
    settings: CohortSettings, noise: np.ndarray, window: tuple[float, float]
) -> np.ndarray:
    """Spectra of field and white noise in images, `[n, height, width]`.

    The field passes the camera's blur, the noise is added behind it.

    Args:
        settings: Of the cohort.
        noise: Standard deviation of each patient's white noise, in pixel units.
        window: Temperatures of pixels 0 and 1.
    """
    rows, columns = (np.fft.fftfreq(size) for size in settings.shape)
    squared = rows[:, None] ** 2 + columns**2
    blur = np.exp(-((2 * np.pi * settings.camera.psf_sigma_pixels) ** 2) * squared)
    return (
        settings.field_spectrum * blur / (window[1] - window[0]) ** 2
        + noise[:, None, None] ** 2
    )


def observe(
    pairs: Pairs, spectra: np.ndarray, epsilon: float, norm: str, **options: float
) -> dict[str, np.ndarray]:
    """The informed observer of each patient, some of them at a time.

    Args:
        pairs: Their twins.
        spectra: Of field and noise, `[n, height, width]`.
        epsilon: Radius in pixel units.
        norm: "linf" or "l2".
        **options: Of `evaluation.observe_in_stationary_noise`, such as `tolerance`.

    Returns:
        `ceiling`, `reached`, `gap` and `upper` of `evaluation.InformedObserver`, `[n]`.
    """
    lesions, parts = pairs.lesions, []
    for start in range(0, len(lesions), _CHUNK):
        rows = slice(start, start + _CHUNK)
        parts.append(
            evaluation.observe_in_stationary_noise(
                lesions[rows],
                spectra[rows],
                epsilon,
                norm,
                observed=pairs.body[rows],
                **options,  # pyright: ignore[reportArgumentType]
            )
        )
    return {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("ceiling", "reached", "gap", "upper")
    }


def informed_ceiling(
    pairs: Pairs, spectra: np.ndarray, epsilon: float, norm: str
) -> dict[str, Any]:
    """Ceiling of the informed observer over patients, as a record."""
    observed = observe(pairs, spectra, epsilon, norm)
    ceiling, reached, gap, alpha = (
        observed[name] for name in ("ceiling", "reached", "gap", "upper")
    )
    mean, low, high = evaluation.mean_with_interval(ceiling)
    return {
        "ceiling": mean,
        "ci_low": low,
        "ci_high": min(high, 1.0),
        "reached": float(reached.mean()),
        "largest_gap": float(gap.max()),
        "alpha_quantiles": np.quantile(alpha, (0.05, 0.5, 0.95)).tolist(),
    }


def certified(
    observer: evaluation.ScanningObserver, pairs: Pairs, epsilon: float
) -> dict[str, Any]:
    """What a scanning observer certifies on test patients, as a record."""
    parts = {}
    for label, images in (
        ("specificity", pairs.healthy),
        ("sensitivity", pairs.tumour),
    ):
        labels = np.full(len(images), int(label == "sensitivity"))
        right = observer.certify(images, labels, epsilon)
        share, low, high = evaluation.certified_accuracy(right)
        parts[label] = {"value": share, "ci_low": low, "ci_high": high, "right": right}
    both = [parts[name].pop("right") for name in ("specificity", "sensitivity")]
    mean, low, high = evaluation.mean_with_interval(np.mean(both, axis=0))
    return {
        "accuracy": mean,
        "ci_low": low,
        "ci_high": high,
        **parts,
        "training_accuracy": observer.training_accuracy,
        "erased": observer.erased,
        "mirror": observer.mirror,
    }


def bracket(
    dataset: Dataset,
    settings: CohortSettings,
    epsilons: list[float],
    norms: list[str],
    *,
    seed: int,
    max_train: int,
    max_informed: int,
    store: Callable[[dict[str, Any]], None] = lambda record: None,
) -> dict[str, Any]:
    """All bounds for all norms and radii.

    Args:
        dataset: A cohort with both states of each patient.
        settings: What it was made with.
        epsilons: In 255ths, of Linf.
        norms: "linf", "l2".
        seed: Of the split by patient.
        max_train: Most training patients.
        max_informed: Most test patients of the informed observer, which takes longest.
        store: Called with the record after each of its rows.

    Returns:
        A record with `rows`, one a norm and radius.
    """
    split = data.split_by_patient(dataset, _FRACTIONS, seed)
    train = pairs_of(dataset, split["train"])
    order = np.random.default_rng(seed).permutation(len(train.noise))[:max_train]
    train = train.subset(order)
    test = pairs_of(dataset, split["test"])
    width = dataset.window[1] - dataset.window[0]
    informed = test.subset(slice(max_informed))
    spectra = noise_spectra(settings, informed.noise, dataset.window)
    size = np.abs(test.lesions).max((1, 2))
    length = np.sqrt((test.lesions**2).sum((1, 2)))
    everyone = pairs_of(dataset, np.arange(len(dataset))).lesions
    ratio = float(
        np.median(np.sqrt((everyone**2).sum((1, 2))) / np.abs(everyone).max((1, 2)))
    )
    del everyone
    record = {
        "cohort": dataset.name,
        "version": dataset.version,
        "split_seed": seed,
        "train_patients": len(train.noise),
        "test_patients": len(test.noise),
        "informed_patients": len(informed.noise),
        "window_celsius": list(dataset.window),
        "field_celsius": settings.field_celsius,
        "l2_ratio": ratio,
        "lesion_peak_celsius": (np.quantile(size, (0, 0.5, 1)) * width).tolist(),
        "lesion_norm_celsius": (np.quantile(length, (0, 0.5, 1)) * width).tolist(),
        "rows": [],
    }
    for norm in norms:
        radii = [e / _LEVELS * (ratio if norm == "l2" else 1.0) for e in epsilons]
        observers = evaluation.fit_scanning_observers(
            train.healthy, train.tumour, train.body, radii, norm
        )
        for radius, epsilon, observer in zip(
            tqdm(radii, desc=norm), epsilons, observers, strict=True
        ):
            start = time.perf_counter()
            row = _row(test, radius, norm, observer)
            row["informed"] = informed_ceiling(informed, spectra, radius, norm)
            row |= {"epsilon_255": epsilon, "epsilon_celsius": radius * width}
            row["seconds"] = round(time.perf_counter() - start, 1)
            record["rows"].append(row)
            store(record)
            tqdm.write(format_row(row))
    return record


def _row(test: Pairs, radius: float, norm: str, observer) -> dict[str, Any]:
    pairs = evaluation.pair_bound(
        test.healthy, test.tumour, radius, norm, across_patients=True
    )
    return {
        "norm": norm,
        "epsilon": radius,
        "n": len(test.noise),
        "pair_bound": {
            "accuracy": pairs.accuracy,
            "conflicts": int(pairs.conflicts.sum()),
            "matching": pairs.matching,
            "one_member_95": evaluation.one_member_bound(pairs.conflicts),
        },
        "scanning": certified(observer, test, radius),
    }


def format_row(row: dict[str, Any]) -> str:
    """One line of the table that is printed."""
    return (
        f"{row['norm']:5}{row['epsilon_255']:6g}/255 {row['epsilon_celsius']:7.3f} C  "
        f"pairs <= {row['pair_bound']['accuracy']:.3f}  "
        f"C <= {row['informed']['ceiling']:.4f} "
        f"(gap {row['informed']['largest_gap']:.0e})  "
        f"A >= {row['scanning']['accuracy']:.3f} "
        f"({row['scanning']['ci_low']:.3f} to {row['scanning']['ci_high']:.3f})"
    )
