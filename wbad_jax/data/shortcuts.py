"""What tells the label without a look at the breast.

A model that reads the room or the camera scores well and knows nothing. Each property
of an acquisition is put into a logistic regression, cross-validated over patients; an
area under the curve (AUC) that is not 0.5 is a shortcut that a network may take, too.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from wbad_jax.data.dataset import Dataset
from wbad_jax.data.findings import ALPHA, Finding
from wbad_jax.data.patient_states import (
    patient_means,
    patient_states,
    states_without_tumour,
)
from wbad_jax.data.separation import (
    cross_validated_scores,
    enough_patients,
    separation,
)
from wbad_jax.data.trivial_baselines import mean_celsius

# Parameters of real examples that say how they were acquired, not of whom.
ACQUISITION_PARAMETERS = (
    "acquisition_day",
    "acquisition_year",
    "dialect",
    "file_size",
    "file_type",
    "file_rows",
    "file_columns",
    "room_celsius",  # of the simulator: room and camera as drawn, not as measured
    "noise_celsius",
)
_MAD_PER_SIGMA = 0.6745  # of a Gaussian: median absolute deviation over standard one


@dataclasses.dataclass(frozen=True)
class Shortcut:
    """Something that may tell the label.

    Attributes:
        name: Short.
        title: In words.
        measure: From a data set to `[examples]` or `[examples, columns]`.
        physiological: Whether disease itself may change it.
        cheap: Whether it takes no look at single pixels.
    """

    name: str
    title: str
    measure: Callable[[Dataset], np.ndarray]
    physiological: bool = False
    cheap: bool = True


def room_and_noise(dataset: Dataset) -> np.ndarray:
    """Background temperature and noise level, `[examples, 2]`."""
    return np.stack([dataset.background_celsius, dataset.noise_celsius], axis=1)


def haar_deviations(dataset: Dataset) -> np.ndarray:
    """Robust spread of the finest Haar details inside each body.

    Median absolute value over 0.6745, which a camera's noise makes up more than a body
    does (Donoho and Johnstone 1994, Biometrika 81:425).

    Args:
        dataset: Any.

    Returns:
        `[examples, 3]` float64 in degrees Celsius: differences of rows, of columns,
        and of both; NaN for a body of less than a block of 2 x 2.
    """
    deviations = np.full((len(dataset), 3), np.nan)
    low, high = dataset.window
    rows, columns = (size - size % 2 for size in dataset.images.shape[1:3])
    for row, (image, mask) in enumerate(
        zip(dataset.images, dataset.masks, strict=True)
    ):
        pixels = image[:rows, :columns].mean(axis=-1)
        a, b, c, d = (pixels[i::2, j::2] for i in (0, 1) for j in (0, 1))
        body = mask[:rows, :columns, 0]
        inside = body[::2, ::2] & body[::2, 1::2] & body[1::2, ::2] & body[1::2, 1::2]
        if inside.any():
            details = np.stack([a + b - c - d, a - b + c - d, a - b - c + d])
            sizes = np.abs(details[:, inside]) / 2
            deviations[row] = np.median(sizes, axis=1) / _MAD_PER_SIGMA
    return (high - low) * deviations


SHORTCUTS = (
    Shortcut("patient_number", "patient number", lambda d: d.patient_ids),
    Shortcut(
        "background_temperature", "room temperature", lambda d: d.background_celsius
    ),
    Shortcut("noise_level", "camera noise", lambda d: d.noise_celsius),
    Shortcut("room_and_noise", "room temperature and camera noise", room_and_noise),
    Shortcut(
        "haar_details",
        "finest Haar details",
        haar_deviations,
        physiological=True,
        cheap=False,
    ),
    Shortcut(
        "mean_temperature", "mean body temperature", mean_celsius, physiological=True
    ),
)


def known_shortcuts(dataset: Dataset) -> list[Shortcut]:
    """The shortcuts of any data set, and those in what this one's files say."""
    named = [
        Shortcut(name, name.replace("_", " "), lambda d, n=name: d.parameters[n])
        for name in ACQUISITION_PARAMETERS
        if name in dataset.parameters
    ]
    return [*SHORTCUTS, *named]


def find_shortcuts(dataset: Dataset, *, quick: bool = False) -> list[Finding]:
    """Asks of each shortcut whether it tells the label.

    Images of patients without tumour stand for both states where there are twins.

    Args:
        dataset: With finite pixels.
        quick: Whether to leave out those that look at single pixels.

    Returns:
        One finding each. "fail" if the AUC is above 0.5 at a level of 0.001; "warn" in
        its place if disease may be the reason: it is not in a twin without tumour.
    """
    rows, states = states_without_tumour(dataset)
    shown = dataset if len(rows) == len(dataset) else dataset.subset(rows)
    positive = patient_states(states, shown.patient_ids)
    twins = not dataset.factual.all()
    findings = []
    for shortcut in known_shortcuts(dataset):
        if shortcut.cheap or not quick:
            columns = shortcut.measure(shown).reshape(len(shown), -1)
            values = patient_means(columns, shown.patient_ids)
            excused = shortcut.physiological and not twins
            findings.append(_find(shortcut, values, positive, excused))
    return findings


def _find(
    shortcut: Shortcut, values: np.ndarray, positive: np.ndarray, excused: bool
) -> Finding:
    title = f"Label and {shortcut.title}"
    identifier = f"shortcut_{shortcut.name}"
    features = without_gaps(values)
    if not features.shape[1]:
        sentence = f"The {shortcut.title} is not known, or the same for all patients."
        return Finding(identifier, title, "not_run", sentence)
    if not enough_patients(positive):
        sentence = (
            f"{positive.sum()} patients with and {(~positive).sum()} without a tumour "
            f"are too few for a test at {ALPHA:g}."
        )
        return Finding(identifier, title, "not_run", sentence)
    found = separation(cross_validated_scores(features, positive), positive)
    least = found.least_detectable(ALPHA)
    evidence = dataclasses.asdict(found) | {"least_detectable_auc": least}
    if found.p_value >= ALPHA:
        sentence = (
            f"Label from {shortcut.title}: {found.in_words()}, which may be chance; an "
            f"AUC of {least:.2f} would have been seen in four of five cases."
        )
        return Finding(identifier, title, "pass", sentence, evidence)
    reason = "disease may be why" if excused else "with no tumour in sight"
    sentence = f"Label from {shortcut.title}: {found.in_words()}, {reason}."
    return Finding(identifier, title, "warn" if excused else "fail", sentence, evidence)


def without_gaps(values: np.ndarray) -> np.ndarray:
    """Columns that vary, with unknown values replaced; what is unknown may tell, too.

    Args:
        values: `[patients, columns]`, NaN where unknown.

    Returns:
        `[patients, columns]`: the median in place of NaN, and for each column with NaN
        another that is 1 there.
    """
    unknown = ~np.isfinite(values)
    some_known = ~unknown.all(axis=0)
    medians = np.zeros(values.shape[1])
    medians[some_known] = np.nanmedian(values[:, some_known], axis=0)
    filled = np.where(unknown, medians, values)
    both = np.concatenate([filled, unknown.astype(float)], axis=1)
    return both[:, np.ptp(both, axis=0) > 0]
