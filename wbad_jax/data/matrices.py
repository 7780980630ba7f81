"""Reads and checks a folder of temperature matrices and its table of diagnoses."""

import contextlib
import csv
import pathlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from wbad_jax.data.dmr_ir_names import FRONTAL, VIEWS, DmrIrName, parse_name
from wbad_jax.data.errors import DataError

# Beyond the range of any room and any skin.
PLAUSIBLE_CELSIUS = (5.0, 45.0)
_DIAGNOSES = {"healthy": 0, "sick": 1}
# A thermal camera has a megapixel at most; a larger file is a mistake or an attack.
MOST_PIXELS = 2**26
_MOST_NAMED = 10
_MOST_QUOTED = 40


class Exposure(NamedTuple):
    """A file of DMR-IR and what its name says."""

    path: pathlib.Path
    name: DmrIrName


def find_matrices(manual_dir: pathlib.Path) -> dict[int, pathlib.Path]:
    """Lists the static frontal matrices of `manual_dir`/matrices, one a patient.

    Returns:
        Patient number, ascending, to file.

    Raises:
        DataError: See `find_exposures`; or if a patient has two at one visit.
    """
    paths: dict[int, pathlib.Path] = {}
    for path, name in first_visits(find_exposures(manual_dir)):
        if name.protocol == "static" and name.view == FRONTAL:
            if name.patient in paths:
                raise DataError(
                    f"{path}: patient {name.patient} already has the matrix "
                    f"{paths[name.patient].name} of this view."
                )
            paths[name.patient] = path
    return paths


def find_exposures(manual_dir: pathlib.Path) -> list[Exposure]:
    """Lists all matrices of `manual_dir`/matrices, also in folders of it.

    Returns:
        Files with what their names say, by patient, protocol, visit, view and frame.

    Raises:
        DataError: If the folder is missing or empty, a `.txt` file is named by no
            grammar, two are of the same exposure, or patients are numbered in two ways.
    """
    folder = manual_dir / "matrices"
    if not folder.is_dir():
        raise DataError(f"{folder}: this folder of temperature matrices is missing.")
    found: dict[Any, Exposure] = {}
    for path in sorted(folder.rglob("*.txt")):
        try:
            name = parse_name(path.stem)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        if name.exposure in found:
            raise DataError(
                f"{path}: patient {name.patient} already has the matrix "
                f"{found[name.exposure].path.name} of this visit, view and frame."
            )
        found[name.exposure] = Exposure(path, name)
    if not found:
        raise DataError(f"{folder}: there is no matrix T<patient number>.txt in it.")
    own_numbers = {found[key].name.grammar == "project" for key in found}
    if len(own_numbers) > 1:
        raise DataError(
            f"{folder}: files named PAC_... number the patients in another way than "
            "the rest, so that two women would pass for one; keep them apart."
        )
    order = [(*key[:3], VIEWS.index(key[3]), key[4]) for key in found]
    return [exposure for _, exposure in sorted(zip(order, found.values(), strict=True))]


def first_visits(exposures: Iterable[Exposure]) -> list[Exposure]:
    """Those of the first visit that each patient has under a protocol."""
    kept: list[Exposure] = []
    first: dict[tuple[int, str], int] = {}
    for exposure in exposures:
        name = exposure.name
        if first.setdefault((name.patient, name.protocol), name.visit) == name.visit:
            kept.append(exposure)
    return kept


def read_diagnoses(path: pathlib.Path) -> dict[int, int]:
    """Reads a table with the columns ID and Diagnosis (Healthy or Sick).

    Returns:
        Patient number to label, 0 = healthy, 1 = sick.

    Raises:
        DataError: If the file or a column is missing, or a row breaks a rule.
    """
    if not path.is_file():
        raise DataError(f"{path}: this table of diagnoses (ID,Diagnosis) is missing.")
    header, rows = read_table(path)
    for column in ("ID", "Diagnosis"):
        if column not in header:
            raise DataError(
                f"{path}: the column {column} is missing from the header {header}."
            )
    labels: dict[int, int] = {}
    for line, row in rows:
        where = f"{path}, line {line}"
        number, word = row["ID"], row["Diagnosis"]
        if not (number.isascii() and number.isdecimal()):
            raise DataError(f"{where}: ID must be a whole number, got {number!r}.")
        if word.lower() not in _DIAGNOSES:
            raise DataError(
                f"{where}: Diagnosis must be Healthy or Sick, got {word!r}."
            )
        if int(number) in labels:
            raise DataError(f"{where}: patient {int(number)} is listed twice.")
        labels[int(number)] = _DIAGNOSES[word.lower()]
    return labels


def read_table(path: pathlib.Path) -> tuple[list[str], list[tuple[int, dict]]]:
    """Reads a CSV file as spreadsheets write it.

    Returns:
        The header, and each row with its line: column to its cell without blanks, ""
        where the row is too short.

    Raises:
        DataError: If the file is not text in UTF-8, or no CSV.
    """
    try:
        # utf-8-sig: spreadsheets write a byte order mark.
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="")
            header = list(reader.fieldnames or ())
            rows = [
                (reader.line_num, {name: row[name].strip() for name in header})
                for row in reader
            ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: a table must be CSV in UTF-8: {error}.") from error
    return header, rows


def check_same_patients(
    matrices: dict[int, pathlib.Path], labels: dict[int, int]
) -> None:
    """Checks that each matrix has a diagnosis and each diagnosis a matrix.

    Raises:
        DataError: Naming the patients on one side only.
    """
    no_matrix = sorted(labels.keys() - matrices.keys())
    if no_matrix:
        raise DataError(
            f"diagnosis.csv: no matrix for patient {_list(no_matrix)}; expected a file "
            f"like matrices/T{no_matrix[0]:04d}.txt."
        )
    no_diagnosis = sorted(matrices.keys() - labels.keys())
    if no_diagnosis:
        raise DataError(
            f"{matrices[no_diagnosis[0]].name}: no diagnosis in diagnosis.csv for "
            f"patient {_list(no_diagnosis)}."
        )


def read_matrix(path: pathlib.Path, shape: tuple[int, int] | None = None) -> np.ndarray:
    """Reads one matrix of text, see `parse_matrix`.

    Args:
        path: The file.
        shape: Rows and columns that it must have; None for any.
    """
    return parse_matrix(path.read_bytes(), path.name, shape)


def parse_matrix(
    content: bytes,
    name: str,
    shape: tuple[int, int] | None = None,
    *,
    most_pixels: int = MOST_PIXELS,
) -> np.ndarray:
    """Reads a matrix of text, in either dialect of the DMR-IR archive or CSV.

    Values are separated by spaces (two decimals, before 2018), by semicolons (five
    decimals, since) or by commas; a separator at the end of a line is allowed.

    Args:
        content: Of the file.
        name: Of the file, for the error.
        shape: Rows and columns that it must have; None for any.
        most_pixels: It may have.

    Returns:
        Degrees Celsius, `[rows, columns]` float32.

    Raises:
        DataError: If a value is missing, not a number, not finite or implausible, the
            shape is another, or there are too many values.
    """
    try:
        text = content.decode("ascii")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name}: a matrix must be plain text, got byte "
            f"0x{error.object[error.start]:02x} at position {error.start}."
        ) from error
    lines = text.rstrip().splitlines() or [""]
    separator = separator_of(lines[0])
    rows, columns = shape or (len(lines), len(_fields(lines[0], separator)))
    found = len(lines) if lines[0] else 0
    if found != rows or not found:
        hint = " The file may be truncated." if found < rows else ""
        raise DataError(f"{name}: a matrix must have {rows} rows, got {found}.{hint}")
    if rows * columns > most_pixels:
        raise DataError(
            f"{name}: a matrix may have {most_pixels} values, got {rows} x {columns}."
        )
    celsius = np.empty((rows, columns), np.float32)
    for number, line in enumerate(lines):
        celsius[number] = _read_row(name, number + 1, line, separator, columns)
    low, high = PLAUSIBLE_CELSIUS
    wrong = np.argwhere(~((celsius >= low) & (celsius <= high)))
    if wrong.size:
        row, column = wrong[0]
        raise DataError(
            f"{name}, row {row + 1}, column {column + 1}: a temperature must be "
            f"in {low:g} .. {high:g} degrees Celsius, got {celsius[row, column]:g}."
        )
    return celsius


def separator_of(line: str) -> str | None:
    """What stands between the values of a line; None for spaces or tabs."""
    return next((mark for mark in ";," if mark in line), None)


def _fields(line: str, separator: str | None) -> list[str]:
    return line.strip().removesuffix(separator or " ").split(separator)


def _read_row(
    name: str, number: int, line: str, separator: str | None, columns: int
) -> list[float]:
    """Reads the values of one line; rows and columns are counted from 1."""
    fields = _fields(line, separator)
    if len(fields) != columns:
        raise DataError(
            f"{name}, row {number}: a row must have {columns} temperatures, got "
            f"{len(fields)}. One may be missing, or the file truncated."
        )
    # Python also takes 3_1.5 for a number.
    if "_" not in "".join(fields):
        with contextlib.suppress(ValueError):
            return [float(field) for field in fields]
    for column, field in enumerate(fields, start=1):
        where = f"{name}, row {number}, column {column}"
        if not field.strip():
            raise DataError(f"{where}: the temperature is missing.")
        try:
            to_float(field)
        except ValueError:
            raise DataError(
                f"{where}: {_quoted(field.strip())} is not a number."
            ) from None
    raise AssertionError("unreachable: one field failed above")


def to_float(text: str) -> float:
    """`float` of what a file says; 3_1.5, which Python reads as 31.5, is no number.

    Raises:
        ValueError: If it is none.
    """
    if "_" in text:
        raise ValueError(f"{text!r} is not a number.")
    return float(text)


def _quoted(text: str) -> str:
    """What stands in a file, cut where it is long."""
    return repr(text if len(text) <= _MOST_QUOTED else text[:_MOST_QUOTED] + "...")


def _list(patients: list[int]) -> str:
    """Names up to ten patients."""
    text = ", ".join(map(str, patients[:_MOST_NAMED]))
    rest = len(patients) - _MOST_NAMED
    return text + (f" and {rest} more" if rest > 0 else "")
