"""Makes scanning observers from the twins of training patients."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy
from jaxtyping import Bool, Float

from wbad_jax.evaluation.observer import observe_in_stationary_noise
from wbad_jax.evaluation.scanning import ScanningObserver, responses

_CHUNK = 64  # images transformed at once


def fit_scanning_observers(
    healthy: Float[np.ndarray, "n height width"],
    tumour: Float[np.ndarray, "n height width"],
    body: Bool[np.ndarray, "n height width"],
    epsilons: Sequence[float],
    norm: str = "linf",
    *,
    num_sizes: int = 4,
    erased: Sequence[float] = (0.15, 0.3, 0.5, 0.7),
    mirrors: Sequence[float] = (0.0, 0.5),
) -> list[ScanningObserver]:
    """Makes a scanning observer for each radius from the twins of training patients.

    Templates, mirror weight and threshold are those with the largest certified accuracy
    on these patients.

    Args:
        healthy: Images in [0, 1], one row a patient.
        tumour: The same patients with their tumours.
        body: Pixels of the body.
        epsilons: Radii to be robust to, in pixel units.
        norm: "linf" or "l2".
        num_sizes: Of mean lesions.
        erased: Shares to try, see `ScanningObserver`; above 0 and below 1. A template
            for a larger radius than the adversary's also suits a background that is
            not stationary.
        mirrors: Mirror weights to try.

    Returns:
        One observer for each of `epsilons`.

    Raises:
        ValueError: If shapes do not fit, an argument is out of range, or there are too
            few patients.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.evaluation import fit_scanning_observers
        >>> rng = np.random.default_rng(0)
        >>> healthy = rng.normal(0.5, 0.01, (8, 16, 16)).clip(0, 1)
        >>> tumour, body = healthy.copy(), np.ones((8, 16, 16), bool)
        >>> tumour[:, 6:10, 6:10] += 0.1
        >>> fitted = fit_scanning_observers(healthy, tumour, body, [0.01], num_sizes=1)
        >>> fitted[0].training_accuracy
        1.0
    """
    _check_training_set(healthy, tumour, body, num_sizes, erased)
    healthy, tumour = (np.asarray(x, np.float32) for x in (healthy, tumour))
    lesions = tumour - healthy
    means = mean_lesions(lesions, num_sizes)
    spectrum = background_spectrum(healthy, body)
    places = lesion_places(lesions)
    best: dict[int, ScanningObserver] = {}
    for share in erased:
        templates = _templates(means, spectrum, share, norm)
        for mirror in mirrors:
            centre, scale = _moments(healthy, templates, mirror)
            observer = ScanningObserver(
                norm=norm,
                epsilon=0.0,
                erased=share,
                templates=templates,
                mirror=mirror,
                centre=centre,
                scale=scale,
                places=places,
            )
            found = _with_thresholds(observer, healthy, tumour, epsilons)
            for i, candidate in enumerate(found):
                if i not in best or _better(candidate, best[i]):
                    best[i] = candidate
    return [best[i] for i in range(len(epsilons))]


def _with_thresholds(
    observer: ScanningObserver, healthy, tumour, epsilons: Sequence[float]
) -> list[ScanningObserver]:
    """The observer with the best threshold for each radius."""
    well = observer.bounds(healthy, epsilons)
    ill = observer.bounds(tumour, epsilons)
    found = []
    for epsilon, (high, _), (_, low) in zip(epsilons, well, ill, strict=True):
        threshold = best_threshold(high, low)
        accuracy = ((high <= threshold).mean() + (low > threshold).mean()) / 2
        found.append(
            dataclasses.replace(
                observer,
                epsilon=epsilon,
                threshold=threshold,
                training_accuracy=float(accuracy),
            )
        )
    return found


def _better(one: ScanningObserver, other: ScanningObserver) -> bool:
    return one.training_accuracy > other.training_accuracy


def mean_lesions(
    lesions: Float[np.ndarray, "n height width"], num_sizes: int
) -> Float[np.ndarray, "sizes height width"]:
    """Mean lesions by size, each moved so that its peak is at pixel (0, 0).

    Args:
        lesions: Tumour minus healthy images.
        num_sizes: Groups of as many patients each, by area: sum over largest value.
    """
    peaks = lesions.reshape(len(lesions), -1).argmax(1)
    rows, columns = np.unravel_index(peaks, lesions.shape[1:])
    moved = np.stack(
        [
            np.roll(lesion, (-row, -column), (0, 1))
            for lesion, row, column in zip(lesions, rows, columns, strict=True)
        ]
    )
    area = lesions.sum((1, 2)) / np.maximum(lesions.max((1, 2)), 1e-12)
    groups = np.array_split(np.argsort(area), num_sizes)
    return np.stack([moved[group].mean(0) for group in groups])


def background_spectrum(
    healthy: Float[np.ndarray, "n height width"],
    body: Bool[np.ndarray, "n height width"],
) -> Float[np.ndarray, "height width"]:
    """Spectrum of healthy variation, as if it were stationary.

    The mean periodogram of images minus the mean image, seen through a smooth window
    inside the body of nearly all patients: the outline, which differs from patient to
    patient, would drown the rest.

    Args:
        healthy: Images.
        body: Pixels of the body.

    Returns:
        Variances of the modes of `numpy.fft.fft2(norm="ortho")`, all positive.
    """
    inside = scipy.ndimage.binary_erosion(body.mean(0) >= 0.99, iterations=2)
    window = scipy.ndimage.gaussian_filter(inside.astype(float), 2.0)
    residual = (healthy - healthy.mean(0)) * window
    power = np.zeros(window.shape)
    for start in range(0, len(residual), _CHUNK):
        modes = np.asarray(
            scipy.fft.fft2(residual[start : start + _CHUNK], norm="ortho")
        )
        power += (np.abs(modes) ** 2).sum(0)
    power /= len(residual) * (window**2).mean()
    mirrored = np.roll(power[::-1, ::-1], 1, axis=(0, 1))
    return np.maximum((power + mirrored) / 2, power.max() * 1e-9)


def lesion_places(
    lesions: Float[np.ndarray, "n height width"],
) -> Bool[np.ndarray, "height width"]:
    """Where lesions peak, on either side, and up to two pixels around."""
    peaks = lesions.reshape(len(lesions), -1).argmax(1)
    places = np.zeros(lesions[0].size, bool)
    places[peaks] = True
    places = places.reshape(lesions.shape[1:])
    return scipy.ndimage.binary_dilation(places | places[:, ::-1], iterations=2)


def best_threshold(
    healthy: Float[np.ndarray, " n"], tumour: Float[np.ndarray, " n"]
) -> float:
    """Threshold with the largest balanced accuracy: healthy <= threshold < tumour.

    Args:
        healthy: Upper bounds of the scores of healthy images.
        tumour: Lower bounds of those of tumour images.
    """
    candidates = np.unique(np.concatenate([healthy, tumour]))
    candidates = np.concatenate([candidates, (candidates[1:] + candidates[:-1]) / 2])
    below = np.searchsorted(np.sort(healthy), candidates, side="right") / len(healthy)
    above = 1 - np.searchsorted(np.sort(tumour), candidates, "right") / len(tumour)
    return float(candidates[np.argmax(below + above)])


def _templates(means, spectrum, share: float, norm: str) -> np.ndarray:
    """Robust Hotelling templates, of unit norm, each for its own radius."""
    if norm == "linf":
        sizes = np.abs(means).max((1, 2))
    else:
        sizes = np.sqrt((means**2).sum((1, 2)))
    weights = [
        observe_in_stationary_noise(
            mean[None],
            spectrum,
            share * size / 2,
            norm,
            tolerance=1e-3,
            max_iterations=4000,
        ).weights[0]
        for mean, size in zip(means, sizes.tolist(), strict=True)
    ]
    # The certificate is of the very numbers that are used.
    return np.array([w / np.sqrt((w**2).sum()) for w in weights], np.float32)


def _moments(healthy, templates, mirror: float) -> tuple[np.ndarray, np.ndarray]:
    found = [responses(healthy, template, mirror) for template in templates]
    centre = np.array([each.mean(0) for each in found])
    return centre, np.maximum([each.std(0) for each in found], 1e-9)


def _check_training_set(healthy, tumour, body, num_sizes: int, erased) -> None:
    if not healthy.shape == tumour.shape == body.shape or healthy.ndim != 3:
        raise ValueError(
            "healthy, tumour and body need the same [n, height, width], got "
            f"{healthy.shape}, {tumour.shape} and {body.shape}."
        )
    if not 1 <= num_sizes <= len(healthy) // 2:
        raise ValueError(
            f"num_sizes must be from 1 to half of {len(healthy)} patients, got "
            f"{num_sizes}."
        )
    if not erased or not 0 < min(erased) <= max(erased) < 1:
        raise ValueError(f"erased needs shares above 0 and below 1, got {erased}.")
