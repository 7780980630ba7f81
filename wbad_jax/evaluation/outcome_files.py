"""Outcomes on disk, `predictions.parquet`: one row an example and condition."""

import dataclasses
import pathlib
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wbad_jax.damaged_files import DamagedFileError
from wbad_jax.evaluation.outcomes import Condition, Outcome


def write_parquet(outcomes: Iterable[Outcome], path: pathlib.Path) -> None:
    """Write outcomes in long form, atomically.

    Examples:
        >>> import pathlib, tempfile
        >>> from wbad_jax.evaluation import write_parquet
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "predictions.parquet")
        ...     write_parquet([clean, attacked], path)  # see `Outcome`
        ...     path.exists()
        True
    """
    tables = [_to_table(outcome) for outcome in outcomes]
    temporary = path.with_suffix(".parquet.tmp")
    # Checksums: a changed bit must not pass for another logit.
    pq.write_table(pa.concat_tables(tables), temporary, write_page_checksum=True)
    temporary.replace(path)


def read_parquet(path: pathlib.Path) -> list[Outcome]:
    """Read what `write_parquet` wrote, order of examples kept.

    Raises:
        DamagedFileError: If it is not as it was written; the message names it.

    Examples:
        >>> import pathlib, tempfile
        >>> from wbad_jax.evaluation import read_parquet, write_parquet
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "predictions.parquet")
        ...     write_parquet([clean, attacked], path)  # see `Outcome`
        ...     [outcome.condition.attack for outcome in read_parquet(path)]
        ['none', 'pgd']
    """
    try:
        return _read_parquet(path)
    except FileNotFoundError:
        raise
    except Exception as error:  # Arrow fails in a dozen ways on damaged files
        raise DamagedFileError(f"{path} is damaged: {error}") from error


def _read_parquet(path: pathlib.Path) -> list[Outcome]:
    table = pq.read_table(path, page_checksum_verification=True)
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    # Which older files lack.
    for name, value in (("fold", None), ("surrogate", None), ("attacked", True)):
        columns.setdefault(name, [value] * len(table))
    names = [field.name for field in dataclasses.fields(Condition)]
    groups: dict[tuple, list[int]] = {}
    for row, key in enumerate(zip(*(columns[name] for name in names), strict=True)):
        groups.setdefault(key, []).append(row)

    def take(name: str, rows: list[int], dtype=None) -> np.ndarray:
        return np.array([columns[name][row] for row in rows], dtype=dtype)

    return [
        Outcome(
            condition=Condition(**dict(zip(names, key, strict=True))),
            example_ids=take("example_id", rows),
            patient_ids=take("patient_id", rows, np.int64),
            labels=take("label", rows, np.int32),
            logits=take("logits", rows, np.float32),
            distance=take("distance", rows, np.float32),
            seconds=columns["seconds"][rows[0]],
            attacked=take("attacked", rows, bool),
            folds=None
            if columns["fold"][rows[0]] is None
            else take("fold", rows, np.int32),
        )
        for key, rows in groups.items()
    ]


def _to_table(outcome: Outcome) -> pa.Table:
    n = len(outcome.labels)
    constant = dataclasses.asdict(outcome.condition) | {"seconds": outcome.seconds}
    types = {
        "norm": pa.string(),
        "epsilon": pa.float64(),
        "seed": pa.int64(),
        "seconds": pa.float64(),
    }
    columns = {
        name: pa.array([value] * n, types.get(name, pa.string()))
        for name, value in constant.items()
    }
    predicted = np.argmax(outcome.logits, axis=-1)
    no_folds = outcome.folds is None
    return pa.table(
        columns
        | {
            "example_id": pa.array(outcome.example_ids.tolist(), pa.string()),
            "patient_id": pa.array(outcome.patient_ids, pa.int64()),
            "label": pa.array(outcome.labels, pa.int32()),
            "predicted": pa.array(predicted, pa.int32()),
            "logits": pa.array(outcome.logits.tolist(), pa.list_(pa.float32())),
            "distance": pa.array(outcome.distance, pa.float32()),
            "attacked": pa.array(outcome.attacked, pa.bool_()),
            "fold": pa.array([None] * n if no_folds else outcome.folds, pa.int32()),
        }
    )
