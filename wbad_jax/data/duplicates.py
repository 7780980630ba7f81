"""The same image twice: byte for byte, or once more with noise, a shift or a mirror.

Many public copies of thermogram archives hold images several times. A split at random
then tests on what was trained on.
"""

import collections
import hashlib
import itertools
from typing import Any

import numpy as np

from wbad_jax.data.dataset import Dataset
from wbad_jax.data.findings import Finding, some
from wbad_jax.data.image_codes import ImageCodes, fit_codes, noisy_copies
from wbad_jax.data.split_checks import in_two_parts

_MOST_LISTED = 50  # pairs in the evidence
_CHUNK = 512  # examples compared with all others at once
# Share of copies with fresh noise that must be known again for a search to count.
_LEAST_FOUND = 0.9


def image_digests(dataset: Dataset) -> np.ndarray:
    """A digest of the bytes of each image, `[examples]` str.

    Args:
        dataset: Any.
    """
    return np.array(
        [
            hashlib.blake2b(image.tobytes(), digest_size=16).hexdigest()
            for image in dataset.images
        ]
    )


def exact_duplicates(
    dataset: Dataset, parts: np.ndarray, digests: np.ndarray
) -> Finding:
    """Looks for images that are there twice, bit for bit.

    The two twins of a patient may be equal, where the tumour leaves no trace.

    Args:
        dataset: Any.
        parts: Of `split_checks.part_numbers`.
        digests: Of `image_digests`.

    Returns:
        "fail" if two such images are in different parts, of different patients, or of
        different labels; "warn" if a patient has an image twice within a part.
    """
    groups = collections.defaultdict(list)
    for row, digest in enumerate(digests.tolist()):
        groups[digest].append(row)
    pairs = [
        pair
        for rows in groups.values()
        for pair in itertools.islice(itertools.combinations(rows, 2), 1000)
        if not _twins(dataset, *pair)
    ]
    first, second = np.array(pairs, int).reshape(-1, 2).T
    evidence = _evidence(dataset, parts, first, second, np.ones(len(first)))
    evidence["images"] = len(np.union1d(first, second))
    title = "Equal images"
    if not pairs:
        sentence = f"No two of {len(dataset)} images are equal."
        return Finding("exact_duplicates", title, "pass", sentence, evidence)
    grave = evidence["pairs_across_parts"] + evidence["pairs_across_patients"]
    return Finding(
        "exact_duplicates",
        title,
        "fail" if grave + evidence["pairs_of_two_labels"] else "warn",
        f"{evidence['images']} images have an equal one: {_in_words(evidence)}",
        evidence,
    )


def near_duplicates(
    dataset: Dataset, parts: np.ndarray, digests: np.ndarray
) -> Finding:
    """Looks for images of one scene in two parts, or under two patients.

    Images, of both twins where there are twins, are compared by their codes
    (`image_codes`), also with their mirror images. Equal images are left to
    `exact_duplicates`, and images of one patient in one part are no fault. Turned,
    cropped or strongly shifted copies are not found.

    Args:
        dataset: With finite pixels.
        parts: Of `split_checks.part_numbers`.
        digests: Of `image_digests`.

    Returns:
        "fail" if there are such pairs; "not_run" if images of different patients are
        too much alike to tell a copy with fresh noise from another patient.
    """
    title = "Nearly equal images"
    codes = fit_codes(dataset)
    if codes is None:
        sentence = f"{len(dataset)} images are too few, or too much alike, to compare."
        return Finding("near_duplicates", title, "not_run", sentence)
    again, own = codes.of(noisy_copies(dataset)), codes.of(dataset)
    found = float(((again * own).sum(axis=1) >= codes.threshold).mean())
    mirrored = codes.of(dataset, mirrored=True)
    first, second, similarity = _close_pairs(codes, own, mirrored)
    different = dataset.patient_ids[first] != dataset.patient_ids[second]
    kept = different | in_two_parts(parts, first, second)
    kept &= digests[first] != digests[second]
    evidence = _evidence(
        dataset, parts, first[kept], second[kept], similarity[kept]
    ) | {
        "threshold": codes.threshold,
        "components": codes.axes.shape[1],
        "share_of_noisy_copies_found": found,
    }
    if kept.any():
        sentence = (
            f"{kept.sum()} pairs of images are copies of each other but for noise or "
            f"small changes: {_in_words(evidence)}"
        )
        return Finding("near_duplicates", title, "fail", sentence, evidence)
    if found < _LEAST_FOUND:
        sentence = (
            f"Patients are too much alike: of copies with fresh noise only {found:.0%} "
            "would be known again."
        )
        return Finding("near_duplicates", title, "not_run", sentence, evidence)
    sentence = (
        f"No two of {len(dataset)} images are near copies; of copies with fresh noise "
        f"{found:.0%} would have been found."
    )
    return Finding("near_duplicates", title, "pass", sentence, evidence)


def _close_pairs(codes: ImageCodes, own: np.ndarray, mirrored: np.ndarray):
    """Pairs above the threshold, each once, the closest first."""
    found = []
    for start in range(0, len(own), _CHUNK):
        block = own[start : start + _CHUNK]
        close = np.maximum(block @ own.T, block @ mirrored.T)
        close[np.arange(len(own)) <= start + np.arange(len(block))[:, None]] = -1
        i, j = np.nonzero(close >= codes.threshold)
        found.append((i + start, j, close[i, j]))
    first, second, similarity = map(np.concatenate, zip(*found, strict=True))
    order = np.argsort(-similarity, kind="stable")
    return first[order], second[order], similarity[order]


def _twins(dataset: Dataset, first: int, second: int) -> bool:
    """Whether two rows are the two states of a patient at one time."""
    return (
        dataset.patient_ids[first] == dataset.patient_ids[second]
        and dataset.frames[first] == dataset.frames[second]
        and dataset.factual[first] != dataset.factual[second]
    )


def _evidence(
    dataset: Dataset,
    parts: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    similarity: np.ndarray,
) -> dict[str, Any]:
    """Counts of pairs by kind, and the first of them by name."""
    patients, labels = dataset.patient_ids, dataset.labels
    return {
        "pairs": len(first),
        "pairs_across_parts": int(in_two_parts(parts, first, second).sum()),
        "pairs_across_patients": int((patients[first] != patients[second]).sum()),
        "pairs_of_two_labels": int((labels[first] != labels[second]).sum()),
        "examples": [
            {
                "first": str(dataset.example_ids[i]),
                "second": str(dataset.example_ids[j]),
                "similarity": round(float(s), 4),
            }
            for i, j, s in list(zip(first, second, similarity, strict=True))[
                :_MOST_LISTED
            ]
        ],
    }


def _in_words(evidence: dict[str, Any]) -> str:
    names = [f"{pair['first']} = {pair['second']}" for pair in evidence["examples"]]
    return (
        f"pairs across parts {evidence['pairs_across_parts']}, of two patients "
        f"{evidence['pairs_across_patients']}, of two labels "
        f"{evidence['pairs_of_two_labels']} ({some(names, 3)})."
    )
