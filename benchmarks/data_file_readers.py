"""Readers of files of data, each with a valid file and what is right.

`right` judges by other means than the reader: another parser, or the value before.
"""

import dataclasses
import pathlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from PIL import Image

from wbad_jax import bioheat, data
from wbad_jax.data import image_files, image_lists, matrices, shards, simulation

_SHAPE = (24, 32)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclasses.dataclass(frozen=True)
class Reader:
    """One kind of file.

    Attributes:
        make: Writes a valid file, or a folder of several, into a folder; returns those
            that are to be spoiled.
        read: Reads it, given the file that was spoiled.
        right: Whether a value is what the file says, given what the valid one gave.
        cases: Of 200, where each takes long.
    """

    make: Callable[[pathlib.Path], list[pathlib.Path]]
    read: Callable[[pathlib.Path, pathlib.Path], Any]
    right: Callable[[Any, Any, pathlib.Path], bool]
    cases: int = 200


def same(value: Any, valid: Any, _: Any = None) -> bool:
    """Equal in all leaves: for files whose checksum must notice any change."""
    left, right = (jax.tree.flatten(each) for each in (value, valid))
    return left[1] == right[1] and all(
        np.array_equal(a, b, equal_nan=np.asarray(a).dtype.kind == "f")
        for a, b in zip(left[0], right[0], strict=True)
    )


def _celsius() -> np.ndarray:
    return np.random.default_rng(0).uniform(22, 36, _SHAPE)


def _make_matrix(separator: str) -> Callable[[pathlib.Path], list[pathlib.Path]]:
    def make(folder: pathlib.Path) -> list[pathlib.Path]:
        path = folder / "T0001.txt"
        rows = [separator.join(f"{x:.2f}" for x in row) for row in _celsius()]
        path.write_text("\n".join(rows) + "\n")
        return [path]

    return make


def _right_matrix(value: np.ndarray, _, path: pathlib.Path) -> bool:
    """What a stricter parser finds in the text."""
    lines = path.read_text("ascii").rstrip().splitlines()
    rows = [re.split(r"[;,]" if re.search(r"[;,]", x) else r"\s+", x.strip())
            for x in lines]  # fmt: skip
    cells = [[c.strip() for c in row if c.strip()] for row in rows]
    if not all(_NUMBER.fullmatch(cell) for row in cells for cell in row):
        return False
    low, high = matrices.PLAUSIBLE_CELSIUS
    expected = np.array([[float(c) for c in row] for row in cells], np.float32)
    return np.array_equal(value, expected) and low <= value.min() <= value.max() <= high


def _make_diagnoses(folder: pathlib.Path) -> list[pathlib.Path]:
    path = folder / "diagnosis.csv"
    rows = [f"{i},{'Sick' if i % 3 else 'Healthy'}" for i in range(1, 40)]
    path.write_text("ID,Diagnosis\n" + "\n".join(rows) + "\n")
    return [path]


def _right_diagnoses(value: dict[int, int], valid: dict[int, int], _) -> bool:
    # A number may have become another; nobody may have changed her diagnosis unless
    # the text says so, which one word of two does.
    return set(value.values()) <= {0, 1} and all(0 <= n < 10**400 for n in value)


def _make_picture(suffix: str) -> Callable[[pathlib.Path], list[pathlib.Path]]:
    def make(folder: pathlib.Path) -> list[pathlib.Path]:
        path = folder / f"picture{suffix}"
        levels = (1000 * _celsius()).astype(np.uint16)
        if suffix == ".jpg":
            levels = (levels >> 8).astype(np.uint8)
        Image.fromarray(levels).save(path)
        return [path]

    return make


def _right_picture(value: np.ndarray, _, path: pathlib.Path) -> bool:
    """Formats without checksums: a picture of the size that the file tells."""
    with Image.open(path) as image:
        size = image.height, image.width
    known = value.dtype in (np.uint8, np.uint16, np.float32)
    return known and value.shape[:2] == size and bool(np.isfinite(value).all())


def _make_table(folder: pathlib.Path) -> list[pathlib.Path]:
    lines = ["file,label,patient_id,date,age"]
    for number in range(12):
        name = f"p{number}.png"
        Image.fromarray(np.full((4, 4), number, np.uint8)).save(folder / name)
        label = ("healthy", "sick")[number % 2]
        lines.append(f"{name},{label},P{number // 2},2019-09-{number + 1:02},{40.5}")
    path = folder / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    return [path]


def _read_table(path: pathlib.Path, _) -> Any:
    classes = ("healthy", "sick")
    return image_lists.list_table(path.parent, path.name, classes, None, ["age"])


def _right_table(value: Any, _, path: pathlib.Path) -> bool:
    root = path.parent.resolve()
    return all(
        row.label in (0, 1) and row.patient and row.path.resolve().parent == root
        and row.name.isprintable() and not np.isinf(row.scalars["age"])
        for row in value
    )  # fmt: skip


def _make_shard(folder: pathlib.Path) -> list[pathlib.Path]:
    rng, frames = np.random.default_rng(0), (3, 2)
    images = rng.integers(0, 60000, (*frames, *_SHAPE, 1)).astype(np.uint16)
    shard = shards.Shard(
        seeds=np.arange(3),
        has_tumour=np.array([True, False, True]),
        healthy=images,
        tumour=images + np.uint16(5),
        masks=np.ones((3, *_SHAPE, 1), np.uint8),
        seconds=np.zeros(frames, np.float32),
        background_celsius=np.full(frames, 22, np.float32),
        noise_celsius=np.full(frames, 0.05, np.float32),
        parameters=rng.random((3, len(bioheat.PARAMETER_NAMES)), np.float32),
    )
    path = folder / "shard-00000.npz"
    shards.write_shard(path, shard)
    return [path]


def _read_shard(path: pathlib.Path, _) -> Any:
    cohort = simulation.Simulation(
        folder=path.parent, seeds=range(3), window=(22.0, 38.0),
        settings=bioheat.CohortSettings(shape=_SHAPE),
    )  # fmt: skip
    (shard,) = cohort.shards()
    return shard._asdict()


def _pictures(folder: pathlib.Path) -> None:
    for label in ("healthy", "sick"):
        (folder / "raw" / label).mkdir(parents=True)
        for number in range(4):
            levels = np.full((8, 8), 20 * number + 9, np.uint8)
            name = f"P{number}{label[0]}.png"
            Image.fromarray(levels).save(folder / "raw" / label / name)


_OPTIONS = {
    "classes": ("healthy", "sick"), "patient_pattern": "(?P<patient>P.*)[.]png",
    "height": 8, "width": 8,
}  # fmt: skip


def _make_prepared(folder: pathlib.Path) -> list[pathlib.Path]:
    _pictures(folder)
    _read_prepared(folder / "prepared" / "x", None)
    return sorted(p for p in (folder / "prepared").rglob("*") if p.is_file())


def _read_prepared(path: pathlib.Path, _) -> Any:
    prepared = next(p for p in (path, *path.parents) if p.name == "prepared")
    found = data.load(
        "image_folder", prepared, prepared.parent / "raw", settings=_OPTIONS
    )
    return {name: getattr(found, name) for name in ("images", "labels", "patient_ids")}


DATA_READERS: Mapping[str, Reader] = {
    "matrix, spaces": Reader(
        _make_matrix(" "), lambda p, _: matrices.read_matrix(p, _SHAPE), _right_matrix
    ),
    "matrix, semicolons": Reader(
        _make_matrix(";"), lambda p, _: matrices.read_matrix(p), _right_matrix
    ),
    "diagnosis.csv": Reader(
        _make_diagnoses, lambda p, _: matrices.read_diagnoses(p), _right_diagnoses
    ),
    "table of pictures": Reader(_make_table, _read_table, _right_table),
    "picture, PNG": Reader(
        _make_picture(".png"), lambda p, _: image_files.read_pixels(p), same
    ),
    "picture, TIFF": Reader(
        _make_picture(".tif"), lambda p, _: image_files.read_pixels(p), _right_picture
    ),
    "picture, JPEG": Reader(
        _make_picture(".jpg"), lambda p, _: image_files.read_pixels(p), _right_picture
    ),
    "simulated shard": Reader(_make_shard, _read_shard, same),
    "prepared data set": Reader(_make_prepared, _read_prepared, same),
}
