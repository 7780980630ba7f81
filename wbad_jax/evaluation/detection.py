"""Detectors of adversarial images: how much they catch, and whom they stop.

A detector is a score an image, the higher the more suspicious, and a limit above which
an image is refused. The limit is frozen on clean validation images. Against an attacker
who does not know of it a detector may look perfect; what counts is the attacker who
does, see `attacks.DetectorAwarePGD`, and the images that he breaks and hides.

Reference:
    Carlini and Wagner (2017), Adversarial examples are not easily detected, section 7;
    Xu, Evans and Qi (2018), Feature squeezing, section 5, for `prediction_change`.
"""

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from wbad_jax.evaluation.metrics import margins
from wbad_jax.types import Logits, PerExample

FALSE_ALARMS = 0.05
_BOOTSTRAP_DRAWS = 1000


def prediction_change(logits: Logits, others: Logits) -> PerExample:
    """How far two predictions of the same images lie apart.

    Args:
        logits: Of the images as they are, `[batch, classes]`.
        others: Of the denoised images.

    Returns:
        L1 distance of the centred logits; with two classes the absolute difference of
        the margins. Unlike a distance of probabilities it does not saturate.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.evaluation import prediction_change
        >>> same, other = jnp.array([[3.0, 0.0]]), jnp.array([[0.0, 3.0]])
        >>> print(prediction_change(same, same))
        [0.]
    """
    change = logits - others
    return jnp.sum(jnp.abs(change - jnp.mean(change, -1, keepdims=True)), axis=-1)


def frozen_limit(scores: np.ndarray, false_alarms: float = FALSE_ALARMS) -> float:
    """The lowest of clean scores that at most this share of them lies above.

    Args:
        scores: Of clean images that are not tested on, `[n]`.
        false_alarms: Share between 0 and 1.

    Raises:
        ValueError: If there is no score, one is not finite, or the share is no share.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.evaluation import frozen_limit
        >>> frozen_limit(np.arange(100.0), false_alarms=0.05)
        94.0
    """
    if not len(scores) or not np.isfinite(scores).all():
        raise ValueError(f"scores must be finite and one at least, got {scores}.")
    if not 0 <= false_alarms <= 1:
        raise ValueError(f"false_alarms must be in 0 .. 1, got {false_alarms}.")
    above = int(false_alarms * len(scores) + 1e-9)  # 0.05 * 60 is 3 but for rounding
    return float(np.sort(scores)[max(len(scores) - 1 - above, 0)])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Guarded:
    """What classifier and detector say of a set of images.

    Attributes:
        logits: `[n, classes]`.
        labels: True classes, `[n]`.
        excess: Score less the frozen limit, `[n]`; flagged where positive.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.evaluation import Guarded
        >>> logits, silent = np.array([[1.0, 0.0], [1.0, 0.0]]), np.full(2, -1.0)
        >>> Guarded(logits=logits, labels=np.array([0, 1]), excess=silent).wrong
        array([False,  True])
    """

    logits: np.ndarray
    labels: np.ndarray
    excess: np.ndarray

    @property
    def wrong(self) -> np.ndarray:
        """Whether the decision is wrong, `[n]`."""
        return np.argmax(self.logits, axis=-1) != self.labels


def best_hidden(candidates: Sequence[Guarded]) -> Guarded:
    """Of several attacks, per example the wrong image that looks least suspicious.

    Where none is wrong it is the image of lowest margin.

    Args:
        candidates: Of the same examples in the same order.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.evaluation import Guarded, best_hidden
        >>> one = dict(logits=np.array([[0.0, 1.0]]), labels=np.array([0]))
        >>> seen, hidden = (Guarded(**one, excess=np.array([x])) for x in (1.0, -1.0))
        >>> best_hidden([seen, hidden]).excess
        array([-1.])
    """
    excess = np.stack([each.excess for each in candidates])
    logits = np.stack([each.logits for each in candidates])
    wrong = np.stack([each.wrong for each in candidates])
    closest = np.argmin([margins(c.logits, c.labels) for c in candidates], axis=0)
    hidden = np.argmin(np.where(wrong, excess, np.inf), axis=0)
    chosen = np.where(wrong.any(axis=0), hidden, closest)
    rows = np.arange(len(chosen))
    return Guarded(
        logits=logits[chosen, rows],
        labels=candidates[0].labels,
        excess=excess[chosen, rows],
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Detection:
    """How a detector does against one attack; None and empty where nothing was fooled.

    Attributes:
        n: Examples.
        n_fooled: Those classified right when clean and wrong when attacked. The curve
            sets them against all clean images.
        accuracy: Of the classifier under the attack, the detector aside.
        auc: Area under the curve, and its 95 % interval by bootstrap over patients.
        ci_low: Lower end.
        ci_high: Upper end.
        fpr: Share of clean images flagged, along the curve.
        tpr: Share of fooled images flagged, along the curve.
        false_alarm_rate: Share of clean images above the frozen limit.
        tpr_at_5_percent: Share of fooled images above the limit that was frozen at 5 %
            of the clean validation images.
        broken_and_undetected: Share of all examples that are misclassified and not
            above the limit.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.evaluation import Guarded, measure_detection
        >>> labels, right = np.zeros(4, int), np.tile([1.0, 0.0], (4, 1))
        >>> before = Guarded(logits=right, labels=labels, excess=np.full(4, -1.0))
        >>> after = Guarded(logits=right[:, ::-1], labels=labels, excess=np.ones(4))
        >>> found = measure_detection(before, after, np.arange(4))
        >>> found.auc, found.broken_and_undetected
        (1.0, 0.0)
    """

    n: int
    n_fooled: int
    accuracy: float
    auc: float | None
    ci_low: float | None
    ci_high: float | None
    fpr: list[float]
    tpr: list[float]
    false_alarm_rate: float
    tpr_at_5_percent: float | None
    broken_and_undetected: float


def measure_detection(
    clean: Guarded, attacked: Guarded, patient_ids: np.ndarray, *, seed: int = 0
) -> Detection:
    """Sets attacked images against clean ones of the same examples.

    Args:
        clean: The clean images, `[n]`.
        attacked: The attacked ones, in the same order.
        patient_ids: `[n]`, the units of the bootstrap.
        seed: Of the bootstrap.

    Raises:
        ValueError: If the lengths differ, nothing is there, or a number is not finite.

    Examples:
        >>> import numpy as np
        >>> from wbad_jax.evaluation import Guarded, measure_detection
        >>> labels, right = np.zeros(4, int), np.tile([1.0, 0.0], (4, 1))
        >>> clean = Guarded(logits=right, labels=labels, excess=np.full(4, -1.0))
        >>> fooled = Guarded(logits=1 - right, labels=labels, excess=np.full(4, -2.0))
        >>> measure_detection(clean, fooled, np.arange(4)).broken_and_undetected
        1.0
    """
    from sklearn import metrics  # here: slow to import

    _check(clean, attacked, patient_ids)
    fooled = attacked.wrong & ~clean.wrong
    caught = attacked.excess > 0
    auc = low = high = found = None
    false, true = np.array([]), np.array([])
    if fooled.any():
        auc, low, high = _area(clean.excess, attacked.excess, fooled, patient_ids, seed)
        truth = np.repeat([0, 1], [len(fooled), fooled.sum()])
        scores = np.concatenate([clean.excess, attacked.excess[fooled]])
        false, true, _ = metrics.roc_curve(truth, scores)
        found = float(caught[fooled].mean())
    return Detection(
        n=len(fooled),
        n_fooled=int(fooled.sum()),
        accuracy=float(1 - attacked.wrong.mean()),
        auc=auc,
        ci_low=low,
        ci_high=high,
        fpr=false.tolist(),
        tpr=true.tolist(),
        false_alarm_rate=float((clean.excess > 0).mean()),
        tpr_at_5_percent=found,
        broken_and_undetected=float((attacked.wrong & ~caught).mean()),
    )


def _area(clean, attacked, fooled, patient_ids, seed) -> tuple[float, float, float]:
    """Area under the curve, and percentiles of it over drawn patients."""
    above = attacked[fooled] > clean[:, None]
    wins = above + 0.5 * (attacked[fooled] == clean[:, None])
    _, patients = np.unique(patient_ids, return_inverse=True)
    count = patients.max() + 1
    draws = np.random.default_rng(seed).multinomial(
        count, np.full(count, 1 / count), size=_BOOTSTRAP_DRAWS
    )
    # A patient drawn twice counts twice, with her clean and her attacked images.
    weights = draws[:, patients].astype(float)
    won = np.sum(weights @ wins * weights[:, fooled], axis=1)
    pairs = weights.sum(axis=1) * weights[:, fooled].sum(axis=1)
    areas = won[pairs > 0] / pairs[pairs > 0]
    low, high = np.percentile(areas, [2.5, 97.5])
    return float(wins.mean()), float(low), float(high)


def _check(clean: Guarded, attacked: Guarded, patient_ids: np.ndarray) -> None:
    n = len(clean.labels)
    for name, guarded in (("clean", clean), ("attacked", attacked)):
        numbers = np.concatenate([guarded.logits.ravel(), guarded.excess.ravel()])
        if not np.isfinite(numbers).all():
            raise ValueError(f"{name} must be finite: model or attack is broken.")
        lengths = len(guarded.logits), len(guarded.excess), len(patient_ids)
        if n == 0 or set(lengths) != {n}:
            raise ValueError(
                f"{name}.logits, {name}.excess and patient_ids must have one entry for "
                f"each of {n} examples, one at least, got {lengths}."
            )
