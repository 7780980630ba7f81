"""Pixels that hold no measurement: not finite, out of range, clipped, all alike."""

from typing import NamedTuple

import numpy as np

from wbad_jax.data.dataset import Dataset
from wbad_jax.data.findings import ALPHA, Finding, some
from wbad_jax.data.patient_states import (
    patient_means,
    patient_states,
    states_without_tumour,
)
from wbad_jax.data.separation import enough_patients, separation

_CHUNK = 1024  # examples at a time
# Of rounding: images are stored as whole numbers of 16 bits.
_TOLERANCE = 1e-6
# Share of a body's pixels at an end of the window that is worth a word.
_MUCH_CLIPPED = 0.01


class PixelShares(NamedTuple):
    """Of each example, all `[examples]`.

    Attributes:
        not_finite: Share of pixels that are NaN or infinite.
        outside: Share of pixels below 0 or above 1.
        clipped: Share of the body's pixels that are exactly 0 or 1.
        constant: Whether the body is one value, or there is no body.
    """

    not_finite: np.ndarray
    outside: np.ndarray
    clipped: np.ndarray
    constant: np.ndarray

    @property
    def faulty(self) -> np.ndarray:
        """Whether an image is not what a camera gives, `[examples]` bool."""
        return (self.not_finite > 0) | (self.outside > 0) | self.constant


def pixel_shares(dataset: Dataset) -> PixelShares:
    """Counts pixels that hold no measurement.

    Args:
        dataset: Any.
    """
    parts = [
        _shares(
            dataset.images[start : start + _CHUNK],
            dataset.masks[start : start + _CHUNK],
        )
        for start in range(0, len(dataset), _CHUNK)
    ]
    return PixelShares(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _shares(images: np.ndarray, masks: np.ndarray) -> PixelShares:
    axes = (1, 2, 3)
    finite = np.isfinite(images)
    values = np.where(finite, images, 0.5)
    body = np.broadcast_to(masks, images.shape)
    size = np.maximum(body.sum(axis=axes), 1)
    ends = body & finite & ((images == 0) | (images == 1))
    low = values.min(axis=axes, where=body, initial=np.inf)
    high = values.max(axis=axes, where=body, initial=-np.inf)
    return PixelShares(
        not_finite=1 - finite.mean(axis=axes),
        outside=((values < -_TOLERANCE) | (values > 1 + _TOLERANCE)).mean(axis=axes),
        clipped=ends.sum(axis=axes) / size,
        constant=low >= high,
    )


def pixel_values(dataset: Dataset, shares: PixelShares) -> Finding:
    """Looks for images that are not what a camera gives.

    Args:
        dataset: Any.
        shares: Of `pixel_shares`.

    Returns:
        "fail" if a pixel is not finite or out of [0, 1], or a body is of one value.
    """
    faults = {
        "not finite": shares.not_finite > 0,
        "outside 0..1": shares.outside > 0,
        "of one value in the whole body": shares.constant,
    }
    evidence = {
        name: {"images": int(rows.sum()), "by_label": _by_label(dataset, rows)}
        for name, rows in faults.items()
    }
    found = [
        f"{rows.sum()} images are or have pixels {name} "
        f"({some(dataset.example_ids[rows].tolist())})"
        for name, rows in faults.items()
        if rows.any()
    ]
    title = "Values of pixels"
    if found:
        return Finding("pixel_values", title, "fail", "; ".join(found) + ".", evidence)
    sentence = f"All pixels of {len(dataset)} images are finite and within 0..1."
    return Finding("pixel_values", title, "pass", sentence, evidence)


def clipped_pixels(dataset: Dataset, shares: PixelShares) -> Finding:
    """Asks whether clipping at the ends of the window tells the label.

    A window of 20..36 °C would clip half of the sick and an eighth of the healthy
    exposures of DMR-IR. Twins without tumour stand for both states where there are
    twins: there, a hot tumour is no reason.

    Args:
        dataset: Any.
        shares: Of `pixel_shares`.

    Returns:
        "fail" if the share of clipped pixels differs between the classes, "warn" if it
        is above 1 % in some image.
    """
    rows, states = states_without_tumour(dataset)
    patients = dataset.patient_ids[rows]
    clipped = patient_means(shares.clipped[rows, None], patients)[:, 0]
    positive = patient_states(states, patients)
    much = shares.clipped > _MUCH_CLIPPED
    low, high = dataset.window
    evidence = {
        "largest_share": float(shares.clipped.max()),
        "mean_share_by_state": [
            float(clipped[positive == state].mean())
            if (positive == state).any()
            else 0.0
            for state in (False, True)
        ],
        "images_above_one_percent": _by_label(dataset, much),
    }
    title = "Clipping at the ends of the window"
    if np.ptp(clipped) > 0 and enough_patients(positive):
        found = separation(clipped, positive)
        other = separation(-clipped, positive)
        if min(found.p_value, other.p_value) < ALPHA:
            auc = max(found.auc, other.auc)
            sentence = (
                f"The share of pixels at {low:g} or {high:g}, the ends of the window, "
                f"tells the label: AUC {auc:.3f}. Widen the window."
            )
            return Finding("clipping", title, "fail", sentence, evidence | {"auc": auc})
    sentence = (
        f"At most {shares.clipped.max():.2%} of a body's pixels are at {low:g} or "
        f"{high:g}, the ends of the window."
    )
    status = "warn" if much.any() else "pass"
    return Finding("clipping", title, status, sentence, evidence)


def _by_label(dataset: Dataset, rows: np.ndarray) -> dict[str, int]:
    return {
        str(label): int((rows & (dataset.labels == label)).sum())
        for label in np.unique(dataset.labels).tolist()
    }
