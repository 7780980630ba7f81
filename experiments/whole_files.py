"""Files written whole or not at all: a reader sees the old one or the new one."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np


def write_bytes(content: bytes, path: pathlib.Path) -> None:
    """Write bytes; the folder is made."""
    temporary = _beside(path)
    temporary.write_bytes(content)
    temporary.replace(path)


def write_text(text: str, path: pathlib.Path) -> None:
    """Write text as UTF-8; the folder is made."""
    write_bytes(text.encode("utf-8"), path)


def write_json(value: Any, path: pathlib.Path) -> None:
    """Write a value as JSON.

    Raises:
        ValueError: If it holds a number that is not finite.
    """
    write_text(json.dumps(value, indent=1, allow_nan=False) + "\n", path)


def write_arrays(
    arrays: Mapping[str, np.ndarray], path: pathlib.Path, *, compress: bool = False
) -> None:
    """Write arrays for `numpy.load`.

    Args:
        arrays: By name.
        path: Of the file.
        compress: Whether to spend time on a smaller file.
    """
    named: dict[str, Any] = {**arrays}
    temporary = _beside(path)
    with temporary.open("wb") as file:
        (np.savez_compressed if compress else np.savez)(file, **named)
    temporary.replace(path)


def _beside(path: pathlib.Path) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(path.name + ".tmp")
