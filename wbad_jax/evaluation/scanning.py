"""The scanning observer: a robust accuracy that is reached, certified without attack.

    h(x) = max over templates k and places p of  (w_k(p).(x - m) - c_k(p)),

tumour if h > 0. Each term is affine, so an adversary moves it by at most epsilon times
the dual norm of its weights. Hence, with r_k(p) = epsilon |w_k|_dual,

- a healthy image is robustly right if max (term + r_k(p)) <= 0,
- a tumour image is robustly right if max (term - r_k(p)) > 0.

Templates are the robust Hotelling templates of `observer.py` for mean lesions and for
the background's spectrum, both estimated from training patients.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from scipy import fft, ndimage

from wbad_jax.evaluation.metrics import wilson_interval
from wbad_jax.evaluation.observer import observe_in_stationary_noise

# Of single precision, on sums of weights times pixels.
_ROUNDING = 1e-5
_CHUNK = 64  # images transformed at once


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScanningObserver:
    """A maximum of affine functions of the image.

    Attributes:
        norm: "linf" or "l2".
        epsilon: Radius for which it was made, in pixel units.
        erased: Share of the mean lesions' contrast that the radius erases for which the
            templates are optimal.
        templates: Weights around pixel (0, 0) of a frame whose opposite edges are
            joined, `[k, height, width]`; at place p they are rolled by p.
        mirror: Images are looked at minus this times their mirror images: healthy
            patients have two sides that are alike.
        centre: Of the responses at each place over healthy patients, same shape.
        scale: Their standard deviation, same shape.
        places: Where templates are put, `[height, width]` bool.
        threshold: In standard deviations above the centre.
        training_accuracy: Certified, of the training patients.
    """

    norm: str
    epsilon: float
    erased: float
    templates: np.ndarray
    mirror: float
    centre: np.ndarray
    scale: np.ndarray
    places: np.ndarray
    threshold: float = 0.0
    training_accuracy: float = float("nan")

    @property
    def reach(self) -> np.ndarray:
        """Most that a perturbation of radius 1 moves the response of a template."""
        return (1 + self.mirror) * _dual(self.templates, self.norm)

    def scores(
        self, images: Float[np.ndarray, "n height width"], epsilon: float = 0.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Bounds on the largest response under attack, minus the threshold.

        Args:
            images: In [0, 1].
            epsilon: Radius in pixel units; with 0 both bounds are h.

        Returns:
            What no attack can push h above, and what none can push it below, `[n]`.
        """
        ((high, low),) = self._bounds(images, [epsilon])
        return high - self.threshold, low - self.threshold

    def certify(
        self,
        images: Float[np.ndarray, "n height width"],
        labels: np.ndarray,
        epsilon: float,
    ) -> np.ndarray:
        """Whether each image is right under every perturbation within a radius.

        Args:
            images: In [0, 1].
            labels: 0 healthy, 1 tumour.
            epsilon: Radius in pixel units; any pixel of the frame may be attacked.

        Returns:
            `[n]` bool.
        """
        high, low = self.scores(images, epsilon)
        return np.where(np.asarray(labels) == 1, low > 0, high <= 0)

    def _bounds(self, images, epsilons) -> list[tuple[np.ndarray, np.ndarray]]:
        """Upper and lower bound of the largest response, for each radius."""
        bounds = [
            (np.full(len(images), -np.inf), np.full(len(images), -np.inf))
            for _ in epsilons
        ]
        parts = zip(self.templates, self.centre, self.scale, self.reach, strict=True)
        for template, centre, scale, reach in parts:
            inverse = (1 / scale[self.places]).astype(np.float32)
            found = responses(images, template, self.mirror)[:, self.places]
            found = (found - centre[self.places].astype(np.float32)) * inverse
            rounding = _ROUNDING * np.abs(template).sum()
            for (high, low), epsilon in zip(bounds, epsilons, strict=True):
                move = (epsilon * reach + rounding * (epsilon > 0)) * inverse
                np.maximum(high, (found + move).max(1), out=high)
                np.maximum(low, (found - move).max(1), out=low)
        return bounds


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
            well = observer._bounds(healthy, epsilons)
            ill = observer._bounds(tumour, epsilons)
            for i, ((high, _), (_, low)) in enumerate(zip(well, ill, strict=True)):
                threshold = best_threshold(high, low)
                accuracy = ((high <= threshold).mean() + (low > threshold).mean()) / 2
                if i not in best or accuracy > best[i].training_accuracy:
                    best[i] = dataclasses.replace(
                        observer,
                        epsilon=epsilons[i],
                        threshold=threshold,
                        training_accuracy=float(accuracy),
                    )
    return [best[i] for i in range(len(epsilons))]


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
    inside = ndimage.binary_erosion(body.mean(0) >= 0.99, iterations=2)
    window = ndimage.gaussian_filter(inside.astype(float), 2.0)
    residual = (healthy - healthy.mean(0)) * window
    power = np.zeros(window.shape)
    for start in range(0, len(residual), _CHUNK):
        modes = np.asarray(fft.fft2(residual[start : start + _CHUNK], norm="ortho"))
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
    return ndimage.binary_dilation(places | places[:, ::-1], iterations=2)


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


def certified_accuracy(
    certified: Bool[np.ndarray, " n"],
) -> tuple[float, float, float]:
    """Share of certified images, and its 95 % Wilson interval.

    Args:
        certified: Of independent patients, one image each.
    """
    low, high = wilson_interval(int(certified.sum()), len(certified))
    return float(certified.mean()), low, high


def responses(
    images: Float[np.ndarray, "n height width"],
    template: Float[np.ndarray, "height width"],
    mirror: float = 0.0,
) -> Float[np.ndarray, "n height width"]:
    """Inner products of images with a template at every place.

    Args:
        images: Any.
        template: Around pixel (0, 0), opposite edges joined.
        mirror: Images are looked at minus this times their mirror images.
    """
    modes = np.conj(np.asarray(fft.rfft2(np.asarray(template, np.float32))))
    parts = []
    for start in range(0, len(images), _CHUNK):
        part = np.asarray(images[start : start + _CHUNK], np.float32)
        part = part - np.float32(mirror) * part[..., ::-1] if mirror else part
        parts.append(fft.irfft2(fft.rfft2(part) * modes, s=template.shape))
    return np.concatenate(parts)


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


def _dual(templates, norm: str) -> np.ndarray:
    if norm == "linf":
        return np.abs(templates).sum((1, 2))
    return np.sqrt((templates**2).sum((1, 2)))
