"""From the files of a prepared data set to arrays.

Decoding is slower than any training step, so everything after this file works on
arrays. A cohort of 1,837 takes 240 MB as float32.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from wbad_jax.bioheat import camera
from wbad_jax.data.dataset import Dataset
from wbad_jax.data.examples import LABEL_NAMES, SPLIT

_CHUNK = 256  # examples decoded at once
# What no real example has.
REAL = {"patient_seed": -1, "seconds": 0.0}
_TWINS = ("healthy_image", "tumour_image")
PREFIX = "parameters/"


def read_examples(
    builder: tfds.core.DatasetBuilder,
    *,
    twins: bool = True,
    positions: Sequence[int] | None = None,
) -> Dataset:
    """Reads a prepared data set.

    Args:
        builder: Of `prepare`.
        twins: Whether to read both twins of simulated patients, or the factual one.
        positions: Of the stored examples to read, see `read_index`; all if None.

    Returns:
        The examples, ordered by patient, frame and label.

    Examples:
        >>> from wbad_jax.data import prepare, read_examples
        >>> builder = prepare("simulated_thermograms/tiny", "data")  # doctest: +SKIP
        >>> read_examples(builder, twins=False).images.shape  # doctest: +SKIP
    """
    source = _source(builder)
    positions = range(len(source)) if positions is None else positions
    chunks = (
        [row for example in stored for row in _rows(example, twins)]
        for stored in (
            source.__getitems__(positions[start : start + _CHUNK])
            for start in range(0, len(positions), _CHUNK)
        )
    )
    config: Any = builder.builder_config
    return assemble(
        chunks,
        window=tuple(config.window),
        name=f"{builder.name}/{config.name}",
        version=str(builder.version),
    )


def assemble(chunks: Iterable[list[dict[str, Any]]], **attributes: Any) -> Dataset:
    """Makes a data set of rows, ordered by patient, frame and label.

    Args:
        chunks: Some rows at a time: what `Dataset` holds of one image, by the names of
            `examples.example_features`, parameters as "parameters/NAME".
        attributes: Window, name and version.
    """
    images, columns = [], []
    for rows in chunks:
        images.append(np.stack([row.pop("image") for row in rows]))
        columns.append(_to_columns(rows))
    column = {
        name: np.concatenate([part[name] for part in columns]) for name in columns[0]
    }
    # Files are in the order of hashed names.
    order = np.lexsort([column[name] for name in ("label", "frame", "patient_id")])
    column = {name: value[order] for name, value in column.items()}
    return Dataset(
        images=_in_order(images, order),
        masks=column["mask"].astype(bool),
        labels=column["label"].astype(np.int32),
        patient_ids=column["patient_id"].astype(np.int64),
        patient_seeds=column["patient_seed"].astype(np.int64),
        frames=column["frame"].astype(np.int32),
        seconds=column["seconds"].astype(np.float32),
        example_ids=column["example_id"],
        factual=column["factual"].astype(bool),
        background_celsius=column["background_celsius"].astype(np.float32),
        noise_celsius=column["noise_celsius"].astype(np.float32),
        parameters={
            name.removeprefix(PREFIX): value.astype(np.float32)
            for name, value in column.items()
            # What no file says is no parameter.
            if name.startswith(PREFIX) and not np.isnan(value).all()
        },
        **attributes,
    )


def read_index(builder: tfds.core.DatasetBuilder) -> dict[str, np.ndarray]:
    """Reads who is where in a prepared cohort of simulated patients.

    Args:
        builder: Of `prepare`.

    Returns:
        `patient_id`, `frame` and `label`, the factual state, by position.

    Examples:
        >>> from wbad_jax.data import prepare, read_index
        >>> builder = prepare("simulated_thermograms/tiny", "data")  # doctest: +SKIP
        >>> sorted(read_index(builder))  # doctest: +SKIP
    """
    source = _source(builder)
    names = ("patient_id", "frame", "label")
    rows = [
        [example[name] for name in names]
        for start in range(0, len(source), _CHUNK)
        for example in source.__getitems__(
            range(start, min(start + _CHUNK, len(source)))
        )
    ]
    return dict(zip(names, np.array(rows).T, strict=True))


def _source(builder: tfds.core.DatasetBuilder) -> Any:
    # TFDS hides the signature of this method behind its logging decorator.
    return builder.as_data_source(SPLIT)  # pyright: ignore


def _rows(example: dict[str, Any], twins: bool) -> list[dict[str, Any]]:
    """One row per image of a stored example."""
    shared = {name: example[name] for name in example if name not in _TWINS}
    shared |= {PREFIX + name: value for name, value in shared.pop("parameters").items()}
    if "image" in example:
        return [{**REAL, **shared, "example_id": example["example_id"].decode()}]
    factual = int(example["label"])
    return [
        {
            **shared,
            "image": example[_TWINS[label]],
            "label": label,
            "factual": label == factual,
            "example_id": f"{example['example_id'].decode()}-{LABEL_NAMES[label]}",
        }
        for label in ((0, 1) if twins else (factual,))
    ]


def _to_columns(rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _in_order(chunks: list[np.ndarray], order: np.ndarray) -> np.ndarray:
    """Images as float32, the chunks given up one by one to save memory."""
    places = np.argsort(order)
    images = np.empty((len(order), *chunks[0].shape[1:]), np.float32)
    start = 0
    while chunks:
        chunk = chunks.pop(0)
        images[places[start : start + len(chunk)]] = camera.dequantise(chunk)
        start += len(chunk)
    return images
