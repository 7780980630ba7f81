r"""Bracket the robust accuracy that classifiers can reach on a simulated cohort.

    python -m experiments.ceiling --cohort=paper --output=runs/ceiling.json
    python -m experiments.ceiling --cohort=large --epsilons=1,2,4,8 --norms=linf

For each norm and radius: the pair bound of the test patients, the ceiling of the
informed observer, and what the scanning observer certifies. Radii are in 255ths of the
temperature window; those in L2 are multiplied by the median of |s|_2 / |s|_inf over
lesions s, as in the configs. A plot goes beside the JSON.
"""

import dataclasses
import json
import pathlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import flags
from tqdm import tqdm

from experiments.cohort import default_data_dir
from experiments.command_line import required, run_command
from experiments.settings import ConfigError
from wbad_jax import data, evaluation
from wbad_jax.bioheat import CohortSettings
from wbad_jax.bioheat.texture import field_power_spectrum
from wbad_jax.data import Dataset

_BUILDER = "simulated_thermograms"
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
    field = field_power_spectrum(
        settings.shape,
        settings.spacing_mm,
        standard_deviation=settings.field_celsius,
        log_slope=settings.field_log_slope,
        smoothing_mm=settings.field_smoothing_mm,
    )
    rows, columns = (np.fft.fftfreq(size) for size in settings.shape)
    squared = rows[:, None] ** 2 + columns**2
    blur = np.exp(-((2 * np.pi * settings.camera.psf_sigma_pixels) ** 2) * squared)
    return field * blur / (window[1] - window[0]) ** 2 + noise[:, None, None] ** 2


def informed_ceiling(
    pairs: Pairs, spectra: np.ndarray, epsilon: float, norm: str
) -> dict[str, Any]:
    """Ceiling of the informed observer over patients, as a record."""
    parts = []
    for start in range(0, len(pairs.noise), _CHUNK):
        rows = slice(start, start + _CHUNK)
        parts.append(
            evaluation.observe_in_stationary_noise(
                pairs.lesions[rows],
                spectra[rows],
                epsilon,
                norm,
                observed=pairs.body[rows],
            )
        )
    ceiling, reached, gap, alpha = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("ceiling", "reached", "gap", "upper")
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
        store: Called with the record after each of its rows.

    Returns:
        A record with `rows`, one a norm and radius.
    """
    split = data.split_by_patient(dataset, _FRACTIONS, seed)
    train = pairs_of(dataset, split["train"])
    order = np.random.default_rng(seed).permutation(len(train.noise))[:max_train]
    train = Pairs(**{n: getattr(train, n)[order] for n in vars(train)})
    test = pairs_of(dataset, split["test"])
    width = dataset.window[1] - dataset.window[0]
    spectra = noise_spectra(settings, test.noise, dataset.window)
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
            row = _row(test, spectra, radius, norm, observer)
            row |= {"epsilon_255": epsilon, "epsilon_celsius": radius * width}
            row["seconds"] = round(time.perf_counter() - start, 1)
            record["rows"].append(row)
            store(record)
            tqdm.write(format_row(row))
    return record


def _row(test: Pairs, spectra, radius: float, norm: str, observer) -> dict[str, Any]:
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
        "informed": informed_ceiling(test, spectra, radius, norm),
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


def write(record: dict[str, Any], path: pathlib.Path) -> None:
    """Writes a record as JSON, the folder too.

    Args:
        record: Of `bracket`.
        path: Of the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def draw(record: dict[str, Any], path: pathlib.Path) -> None:
    """Plots the bracket of each norm against the radius.

    Args:
        record: Of `bracket`.
        path: Of the picture.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    norms = list(dict.fromkeys(row["norm"] for row in record["rows"]))
    figure, axes = plt.subplots(
        1, len(norms), figsize=(4.8 * len(norms), 4.2), squeeze=False, sharey=True,
        layout="constrained",
    )  # fmt: skip
    for axis, norm in zip(axes[0], norms, strict=True):
        rows = [row for row in record["rows"] if row["norm"] == norm]
        _draw_norm(axis, rows, record["l2_ratio"] if norm == "l2" else 1.0)
    axes[0, 0].set_ylabel("robust accuracy")
    axes[0, 0].legend(loc="lower left", fontsize=8)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def _draw_norm(axis: Any, rows: list[dict[str, Any]], ratio: float) -> None:
    radius = np.array([row["epsilon_255"] for row in rows])

    def column(part: str, name: str) -> np.ndarray:
        return np.array([row[part][name] for row in rows])

    ceiling, reached = column("informed", "ceiling"), column("scanning", "accuracy")
    axis.fill_between(radius, np.maximum(reached, 0.5), ceiling, color="0.92")
    axis.plot(radius, column("pair_bound", "accuracy"), "k--", label="pair bound")
    axis.plot(radius, ceiling, "-o", color="#0072B2", ms=4, label="ceiling C")
    error = np.abs(
        np.stack([column("scanning", end) for end in ("ci_low", "ci_high")]) - reached
    )
    axis.errorbar(
        radius, reached, error, fmt="-s", color="#E69F00", ms=4, capsize=2,
        label="certified A",
    )  # fmt: skip
    axis.axhline(0.5, color="0.5", lw=0.8, label="constant classifier")
    axis.set_xscale("log", base=2)
    axis.set_xticks(radius, [f"{value:g}" for value in radius])
    norm = rows[0]["norm"]
    label = (
        "Linf radius, 255ths" if norm == "linf" else f"L2 radius / {ratio:.2f}, 255ths"
    )
    axis.set_xlabel(label)
    axis.set_ylim(0.45, 1.02)
    factor = rows[-1]["epsilon_celsius"] / rows[-1]["epsilon_255"]
    top = axis.twiny()
    top.set_xscale("log", base=2)
    top.set_xlim(axis.get_xlim())
    top.set_xticks(radius, [f"{value * factor:.2g}" for value in radius])
    top.set_xlabel("radius, °C" if norm == "linf" else "radius, °C (root of sum)")
    top.minorticks_off()
    axis.minorticks_off()


def define_flags() -> None:
    """Flags of this command."""
    flags.DEFINE_string("cohort", None, "Which cohort, as in experiments.simulate.")
    flags.DEFINE_list(
        "epsilons", ["0.25", "0.5", "1", "2", "4", "8"], "Radii in 255ths."
    )
    flags.DEFINE_list("norms", ["linf", "l2"], "Norms: linf, l2.")
    flags.DEFINE_string("data_dir", None, "Where data sets are kept.")
    flags.DEFINE_integer("num_patients", None, "Patients, if not those of the cohort.")
    flags.DEFINE_integer("max_train", 2000, "Most training patients.", lower_bound=8)
    flags.DEFINE_integer("seed", 0, "Of the split by patient.")
    flags.DEFINE_string("output", "ceiling.json", "JSON to write; a PNG goes beside.")


def main(_) -> None:
    """Entry point."""
    cohort = required("cohort")
    given: dict[str, Any] = {name: flags.FLAGS[name].value for name in flags.FLAGS}
    epsilons = _numbers(given["epsilons"])
    if not set(given["norms"]) <= {"linf", "l2"}:
        raise ConfigError(f"norms must be among linf and l2, got {given['norms']}.")
    output = pathlib.Path(given["output"])
    configs = {each.name: each for each in data.SimulatedThermograms.BUILDER_CONFIGS}
    count = given["num_patients"]
    settings = {} if count is None else {"num_patients": count}
    folder = pathlib.Path(given["data_dir"] or default_data_dir())
    dataset = data.load(f"{_BUILDER}/{cohort}", folder, settings=settings)
    record = bracket(
        dataset,
        configs[cohort].cohort,
        epsilons,
        given["norms"],
        seed=given["seed"],
        max_train=given["max_train"],
        store=lambda record: write(record, output),
    )
    draw(record, output.with_suffix(".png"))
    print(f"Wrote {output} and {output.with_suffix('.png')}.")


def _numbers(words: list[str]) -> list[float]:
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = []
    if not numbers or not all(0 < number < np.inf for number in numbers):
        raise ConfigError(f"epsilons needs positive numbers, got {','.join(words)}.")
    return sorted(numbers)


if __name__ == "__main__":
    run_command(main, define_flags)
