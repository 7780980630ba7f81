"""The scanning observer: a robust accuracy that is reached, certified without attack.

    h(x) = max over templates k and places p of  (w_k(p).(x - m) - c_k(p)),

tumour if h > 0. Each term is affine, so an adversary moves it by at most epsilon times
the dual norm of its weights. Hence, with r_k(p) = epsilon |w_k|_dual,

- a healthy image is robustly right if and only if max (term + r_k(p)) <= 0,
- a tumour image is robustly right if max (term - r_k(p)) > 0.

Templates are the robust Hotelling templates of `observer.py` for mean lesions and for
the background's spectrum, both estimated from training patients.
"""

import dataclasses

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
        templates: Weights around pixel (0, 0) of a frame whose opposite edges are
            joined, `[k, height, width]`; at place p they are rolled by p.
        centre: Of the responses at each place over healthy patients, same shape.
        scale: Their standard deviation, same shape.
        places: Where templates are put, `[height, width]` bool.
        threshold: In standard deviations above the centre.
    """

    norm: str
    epsilon: float
    templates: np.ndarray
    centre: np.ndarray
    scale: np.ndarray
    places: np.ndarray
    threshold: float

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
        reach = _dual(self.templates, self.norm) * epsilon + _ROUNDING * (
            np.abs(self.templates).sum((1, 2)) if epsilon > 0 else 0.0
        )
        low, high = (np.full(len(images), -np.inf) for _ in range(2))
        for k, template in enumerate(self.templates):
            centre, scale = (a[k][self.places] for a in (self.centre, self.scale))
            found = responses(images, template)[:, self.places]
            for bound, sign in ((high, 1), (low, -1)):
                term = (found - centre + sign * reach[k]) / scale
                np.maximum(bound, term.max(1), out=bound)
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


def fit_scanning_observer(
    healthy: Float[np.ndarray, "n height width"],
    tumour: Float[np.ndarray, "n height width"],
    body: Bool[np.ndarray, "n height width"],
    epsilon: float,
    norm: str = "linf",
    *,
    num_sizes: int = 4,
    tolerance: float = 1e-3,
) -> ScanningObserver:
    """Makes a scanning observer from the twins of training patients.

    Args:
        healthy: Images in [0, 1], one row a patient.
        tumour: The same patients with their tumours.
        body: Pixels of the body.
        epsilon: Radius to be robust to, in pixel units.
        norm: "linf" or "l2".
        num_sizes: Of mean lesions.
        tolerance: On the gap of the templates.

    Returns:
        The observer; its threshold maximises certified accuracy on these patients.

    Raises:
        ValueError: If shapes do not fit, or there are fewer patients than sizes.
    """
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
    lesions = tumour - healthy
    means = mean_lesions(lesions, num_sizes)
    spectrum = background_spectrum(healthy, body)
    templates = observe_in_stationary_noise(
        means,
        spectrum,
        # At radii that erase a mean lesion, the template of a smaller radius is used.
        _least_erasing(means, epsilon, norm),
        norm,
        tolerance=tolerance,
        max_iterations=4000,
    ).weights
    templates /= np.sqrt((templates**2).sum((1, 2), keepdims=True))
    places = lesion_places(lesions)
    centre, scale = zip(*(_moments(healthy, t, places) for t in templates), strict=True)
    observer = ScanningObserver(
        norm=norm,
        epsilon=epsilon,
        templates=templates,
        centre=np.array(centre),
        scale=np.array(scale),
        places=places,
        threshold=0.0,
    )
    high, _ = observer.scores(healthy, epsilon)
    _, low = observer.scores(tumour, epsilon)
    return dataclasses.replace(observer, threshold=best_threshold(high, low))


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
        modes = fft.fft2(residual[start : start + _CHUNK], norm="ortho")
        power += (np.abs(modes) ** 2).sum(0)
    power /= len(residual) * (window**2).mean()
    mirrored = np.roll(power[::-1, ::-1], 1, axis=(0, 1))
    return np.maximum((power + mirrored) / 2, power.max() * 1e-9)


def lesion_places(
    lesions: Float[np.ndarray, "n height width"],
) -> Bool[np.ndarray, "height width"]:
    """Where lesions of training patients peak, and up to two pixels around."""
    peaks = lesions.reshape(len(lesions), -1).argmax(1)
    places = np.zeros(lesions[0].size, bool)
    places[peaks] = True
    return ndimage.binary_dilation(places.reshape(lesions.shape[1:]), iterations=2)


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
) -> Float[np.ndarray, "n height width"]:
    """Inner products of images with a template at every place.

    Args:
        images: Any.
        template: Around pixel (0, 0), opposite edges joined.
    """
    modes = fft.rfft2(template).conj()
    parts = [
        fft.irfft2(fft.rfft2(images[i : i + _CHUNK]) * modes, s=template.shape)
        for i in range(0, len(images), _CHUNK)
    ]
    return np.concatenate(parts)


def _moments(healthy, template, places) -> tuple[np.ndarray, np.ndarray]:
    found = responses(healthy, template)
    scale = np.where(places, found.std(0), 1.0)
    return found.mean(0), np.maximum(scale, 1e-9)


def _least_erasing(means, epsilon: float, norm: str) -> float:
    """The radius, or less where it would erase a mean lesion."""
    if norm == "linf":
        size = np.abs(means).max((1, 2)).min()
    else:
        size = np.sqrt((means**2).sum((1, 2))).min()
    return min(epsilon, 0.4 * float(size))


def _dual(templates, norm: str) -> np.ndarray:
    if norm == "linf":
        return np.abs(templates).sum((1, 2))
    return np.sqrt((templates**2).sum((1, 2)))
