"""Decodes a prepared data set into arrays, one row an image."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from wbad_jax.bioheat import camera
from wbad_jax.data import examples

_CHUNK = 256  # examples decoded at once


def read(builder: tfds.core.GeneratorBasedBuilder, *, twins: bool) -> dict[str, Any]:
    """Decodes all examples of a prepared builder.

    Args:
        builder: Prepared.
        twins: Whether to read both states of simulated patients, or the factual one.

    Returns:
        The arrays of a `Dataset`, ordered by patient, picture and label.
    """
    # TFDS hides the signature of this method behind its logging decorator.
    source: Any = builder.as_data_source(examples.SPLIT)  # pyright: ignore
    rows: list[dict[str, Any]] = []
    for start in range(0, len(source), _CHUNK):
        for stored in source.__getitems__(
            range(start, min(start + _CHUNK, len(source)))
        ):
            rows += [row for row in _images(stored) if twins or row["factual"]]
    # Files are in the order of hashed names.
    rows.sort(key=lambda row: (row["patient_id"], row["frame"], row["label"]))
    column = {key: np.stack([row[key] for row in rows]) for key in _COLUMNS}
    names = rows[0]["parameters"]
    return {
        "images": camera.dequantise(column["image"]),
        "masks": column["mask"].astype(bool),
        "labels": column["label"].astype(np.int32),
        "patient_ids": column["patient_id"].astype(np.int64),
        "example_ids": np.array([row["example_id"] for row in rows]),
        "factual": column["factual"].astype(bool),
        "background_celsius": column["background_celsius"].astype(np.float32),
        "noise_celsius": column["noise_celsius"].astype(np.float32),
        "frames": column["frame"].astype(np.int32),
        "parameters": {
            name: np.array([row["parameters"][name] for row in rows], np.float32)
            for name in names
        },
    }


_COLUMNS = (
    "image",
    "mask",
    "label",
    "patient_id",
    "factual",
    "background_celsius",
    "noise_celsius",
    "frame",
)


def _images(stored: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The images of one stored example: one, or both states of a patient."""
    name = stored["example_id"].decode()
    if "image" in stored:
        yield {"frame": 0, "parameters": {}, **stored, "example_id": name}
        return
    for label, state in enumerate(examples.LABEL_NAMES):
        yield {
            **stored,
            "image": stored[f"{state}_image"],
            "label": label,
            "example_id": f"{name}-{state}",
            "factual": label == stored["label"],
        }
