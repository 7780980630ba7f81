"""Files written whole or not at all, and read with damage told by the file's name."""

import io
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.config_errors import ConfigError


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


def read_json(path: pathlib.Path) -> Any:
    """Read a JSON file.

    Raises:
        ConfigError: If it is damaged; the message names it.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # no UTF-8, no JSON, too deep
        raise ConfigError(f"{path} is damaged: {error}.") from error


def read_lines(path: pathlib.Path) -> list[dict[str, Any]]:
    """Read a file of JSON objects, one a line, such as `looks.jsonl`.

    Raises:
        ConfigError: If it is damaged; the message names it.
    """
    try:
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is damaged: {error}.") from error
    if not all(isinstance(line, dict) for line in lines):
        raise ConfigError(f"{path} is damaged: a line must be a JSON object.")
    return lines


def read_arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Read a file of `write_arrays`; never pickled objects.

    Raises:
        ConfigError: If it is damaged; the message names it.
    """
    try:
        # From memory: NumPy leaves a damaged file open.
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception as error:  # zipfile and numpy fail in a dozen ways on damage
        raise ConfigError(f"{path} is damaged: {error}.") from error


def _beside(path: pathlib.Path) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(path.name + ".tmp")
