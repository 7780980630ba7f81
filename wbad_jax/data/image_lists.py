"""Which pictures a folder holds, of whom and of what class: by folders or a table."""

import datetime
import math
import os
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from wbad_jax.data.errors import DataError
from wbad_jax.data.image_files import SUFFIXES
from wbad_jax.data.matrices import read_table, to_float

# Of every table; what else it holds may be asked for by name.
FILE, LABEL, PATIENT, DATE = "file", "label", "patient_id", "date"
_MOST_NAMED = 5


class Listed(NamedTuple):
    """One picture.

    Attributes:
        path: Of the file.
        name: Its path below the folder, with slashes.
        label: Position among the classes.
        patient: As the user names her.
        date: Of the exposure, if known.
        scalars: Numbers from the table, NaN where a field is empty.
    """

    path: pathlib.Path
    name: str
    label: int
    patient: str
    date: datetime.date | None
    scalars: dict[str, float]


def list_folders(
    root: pathlib.Path, classes: Sequence[str], patient_pattern: str, ignored: str
) -> list[Listed]:
    """Lists the pictures of sub-folders named after classes.

    Args:
        root: Holds the folders.
        classes: Their names, in order of the label.
        patient_pattern: Regular expression with a group `patient`, searched for in each
            path below `root`.
        ignored: Name of a sub-folder that is none of a class.

    Raises:
        DataError: If a folder is missing or of no class, or a path names no patient.
    """
    pattern = _compile(patient_pattern)
    folders = {path.name: path for path in sorted(root.iterdir()) if path.is_dir()}
    folders = {n: p for n, p in folders.items() if n != ignored and n[0] != "."}
    if set(folders) != set(classes):
        raise DataError(
            f"{root}: must hold one folder for each class of {tuple(classes)}, got "
            f"{sorted(folders)}. Name them by the option classes, the healthy first."
        )
    listed = []
    for label, name in enumerate(classes):
        for path in _pictures(root, folders[name]):
            below = _safe_name(root, path)
            match = pattern.search(below)
            if not match or not match["patient"]:
                raise DataError(
                    f"{below}: patient_pattern {patient_pattern!r} finds no patient in "
                    "this path."
                )
            listed.append(Listed(path, below, label, match["patient"], None, {}))
    return _checked(root, listed)


def _compile(patient_pattern: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(patient_pattern)
    except re.error as error:
        raise DataError(
            f"patient_pattern must be a regular expression, got {patient_pattern!r}: "
            f"{error}."
        ) from error
    if "patient" not in pattern.groupindex:
        raise DataError(
            "patient_pattern must have a group named patient, such as "
            rf"'IIR(?P<patient>\d+)_', got {patient_pattern!r}."
        )
    return pattern


def _pictures(root: pathlib.Path, folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Files of a class in order; those of other kinds are named on the terminal."""
    others = []
    for parent, folders, files in os.walk(_inside(root, folder)):
        folders.sort()
        for name in folders:
            if os.path.islink(os.path.join(parent, name)):
                raise DataError(f"{parent}/{name}: links to folders are not followed.")
        for name in sorted(files):
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                yield pathlib.Path(parent, name)
            elif not name.startswith("."):
                others.append(name)
    if others:
        shown = ", ".join(map(repr, others[:_MOST_NAMED]))
        print(f"{folder.name}: left out {len(others)} files of other kinds: {shown}.")


def list_table(
    root: pathlib.Path,
    table: str,
    classes: Sequence[str],
    patient_pattern: str | None,
    scalars: Sequence[str],
) -> list[Listed]:
    """Lists the pictures of a table with the columns file, label and patient_id.

    Args:
        root: Folder that the paths in the table start from.
        table: Name of the CSV file in it.
        classes: What a label may be, in order.
        patient_pattern: As in `list_folders`, in place of a column patient_id.
        scalars: Further columns to read, of numbers.

    Raises:
        DataError: If the table or a file is missing, or a row breaks a rule.
    """
    path = _inside(root, root / table)
    if not path.is_file():
        raise DataError(f"{path}: this table of pictures is missing.")
    pattern = _compile(patient_pattern) if patient_pattern else None
    header, rows = read_table(path)
    _check_header(path, header, pattern, scalars)
    listed = []
    for line, row in rows:
        try:
            listed.append(_listed_row(root, row, classes, pattern, scalars))
        except OSError as error:  # a name too long for a file
            raise DataError(f"{table}, line {line}: {error.strerror}.") from error
        except DataError as error:
            raise DataError(f"{table}, line {line}: {error}") from error
    return _checked(root, listed)


def _check_header(path: pathlib.Path, header, pattern, scalars: Sequence[str]) -> None:
    needed = [FILE, LABEL, *([] if pattern else [PATIENT]), *scalars]
    missing = [column for column in needed if column not in header]
    if missing == [PATIENT]:
        raise DataError(
            f"{path}: the patient of each picture must be known: add a column "
            f"{PATIENT}, or give patient_pattern."
        )
    if missing:
        raise DataError(
            f"{path}: the column {missing[0]} is missing from the header "
            f"{list(header)}."
        )
    if pattern and PATIENT in header:
        raise DataError(
            f"{path}: has a column {PATIENT}, and patient_pattern is given; which is "
            "right?"
        )


def _listed_row(root: pathlib.Path, row, classes, pattern, scalars) -> Listed:
    path = root / row[FILE]
    name = _safe_name(root, path)
    if not path.is_file() or path.suffix.lower() not in SUFFIXES:
        raise DataError(
            f"{FILE} must be a picture ({', '.join(SUFFIXES)}) in the folder, got "
            f"{row[FILE]!r}."
        )
    if row[LABEL] not in classes:
        raise DataError(f"{LABEL} must be one of {tuple(classes)}, got {row[LABEL]!r}.")
    match = pattern.search(name) if pattern else None
    patient = (match["patient"] if match else "") if pattern else row[PATIENT]
    if not patient:
        raise DataError(f"the patient of {row[FILE]!r} is not named.")
    return Listed(
        path,
        name,
        list(classes).index(row[LABEL]),
        patient,
        _to_date(row.get(DATE, "")),
        {column: _to_number(column, row[column]) for column in scalars},
    )


def _to_date(text: str) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(text) if text else None
    except ValueError:
        raise DataError(f"{DATE} must be like 2019-09-25, got {text!r}.") from None


def _to_number(column: str, text: str) -> float:
    try:
        number = to_float(text) if text else math.nan
    except ValueError:
        raise DataError(f"{column} must be a number, got {text!r}.") from None
    if math.isinf(number):
        raise DataError(f"{column} must be finite, got {text!r}.")
    return number


def _safe_name(root: pathlib.Path, path: pathlib.Path) -> str:
    """Path below the folder, of printable characters."""
    _inside(root, path)
    name = path.relative_to(root).as_posix()
    if not name.isprintable():
        raise DataError(f"the name of a file must be printable, got {name!r}.")
    return name


def _inside(root: pathlib.Path, path: pathlib.Path) -> pathlib.Path:
    """Refuses what lies outside the folder, by `..` or by a link."""
    try:
        inside = path.resolve().is_relative_to(root.resolve())
    except (OSError, ValueError, RuntimeError) as error:  # NUL, endless links
        raise DataError(f"{str(path)!r} is no path: {error}.") from error
    if not inside or ".." in path.parts:
        raise DataError(
            f"{str(path)!r} must lie in {root}, but leads outside by '..' or a link."
        )
    return path


def _checked(root: pathlib.Path, listed: list[Listed]) -> list[Listed]:
    """Refuses an empty list and files that are listed twice."""
    if not listed:
        raise DataError(f"{root}: holds no picture ({', '.join(SUFFIXES)}).")
    seen: dict[pathlib.Path, str] = {}
    for picture in listed:
        real = picture.path.resolve()
        if real in seen:
            raise DataError(
                f"{picture.name}: this picture is listed twice, also as {seen[real]}."
            )
        seen[real] = picture.name
    return listed
