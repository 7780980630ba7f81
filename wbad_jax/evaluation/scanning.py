"""The scanning observer: a robust accuracy that is reached, certified without attack.

    h(x) = max over templates k and places p of  (w_k(p).(x - m) - c_k(p)),

tumour if h > 0. Each term is affine, so an adversary moves it by at most epsilon times
the dual norm of its weights. Hence, with r_k(p) = epsilon |w_k|_dual,

- a healthy image is robustly right if max (term + r_k(p)) <= 0,
- a tumour image is robustly right if max (term - r_k(p)) > 0.

Templates are the robust Hotelling templates of `observer.py` for mean lesions and for
the background's spectrum, both estimated from training patients (`scanning_fit.py`).
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy
from jaxtyping import Bool, Float

from wbad_jax.evaluation.intervals import wilson_interval

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

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.evaluation import ScanningObserver
        >>> flat = np.zeros((1, 8, 8))
        >>> template = flat.copy()
        >>> template[0, 0, 0] = 1.0
        >>> observer = ScanningObserver(
        ...     norm="linf", epsilon=0.01, erased=0.5, templates=template, mirror=0.0,
        ...     centre=flat, scale=flat + 1, places=flat[0] == 0,
        ... )
        >>> observer.reach.ravel()
        array([1.])
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
        ((high, low),) = self.bounds(images, [epsilon])
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

    def bounds(
        self, images: Float[np.ndarray, "n height width"], epsilons: Sequence[float]
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Upper and lower bound of the largest response under attack.

        Args:
            images: In [0, 1].
            epsilons: Radii in pixel units.

        Returns:
            For each radius the two bounds, `[n]` each, threshold not subtracted.
        """
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


def certified_accuracy(
    certified: Bool[np.ndarray, " n"],
) -> tuple[float, float, float]:
    """Share of certified images, and its 95 % Wilson interval.

    Args:
        certified: Of independent patients, one image each.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.evaluation import certified_accuracy
        >>> accuracy, low, high = certified_accuracy(np.array([True, True, False]))
        >>> round(accuracy, 3), low < accuracy < high
        (0.667, True)
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
    modes = np.conj(np.asarray(scipy.fft.rfft2(np.asarray(template, np.float32))))
    parts = []
    for start in range(0, len(images), _CHUNK):
        part = np.asarray(images[start : start + _CHUNK], np.float32)
        part = part - np.float32(mirror) * part[..., ::-1] if mirror else part
        parts.append(scipy.fft.irfft2(scipy.fft.rfft2(part) * modes, s=template.shape))
    return np.concatenate(parts)


def _dual(templates, norm: str) -> np.ndarray:
    if norm == "linf":
        return np.abs(templates).sum((1, 2))
    return np.sqrt((templates**2).sum((1, 2)))
