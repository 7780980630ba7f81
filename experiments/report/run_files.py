"""What a report is made from: the files of a run's folder, and nothing else."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from experiments.config_errors import ConfigError
from experiments.whole_files import read_arrays, read_json
from wbad_jax import evaluation, training
from wbad_jax.evaluation import Outcome, Row

Record = dict[str, Any]
JSON_FILES = (
    "results.json", "checks.json", "audit.json", "certificates.json",
    "detection.json", "config.json",
)  # fmt: skip
PICTURES = ("images", "adversarial", "denoised", "denoised_adversarial")
_ARRAYS = (*PICTURES, "labels", "example_ids", "logits", "logits_adversarial")
_ATTACK = ("attack", "norm", "epsilon")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """One run, as its files tell it; what has no file is None or empty.

    Attributes:
        name: To tell runs apart in a comparison.
        workdir: Folder of the run.
        meta: Of `results.json`.
        rows: Of `results.json`.
        comparisons: Paired differences between arms, of `results.json`.
        bracket: What a classifier can reach by norm and radius, of `results.json`.
        config: `config.json`: the config and where it ran.
        checks: `checks.json`.
        audit: `audit.json`.
        certificates: `certificates.json`.
        detection: `detection.json`.
        metrics: Lines of `metrics.jsonl`.
        outcomes: Of `predictions.parquet`.
        galleries: Arrays of `gallery-<arm>.npz` by arm.
    """

    name: str
    workdir: pathlib.Path
    meta: Record
    rows: list[Row]
    comparisons: list[Record]
    bracket: list[Record]
    config: Record | None
    checks: Record | None
    audit: Record | None
    certificates: Record | None
    detection: Record | None
    metrics: list[Record]
    outcomes: list[Outcome]
    galleries: Mapping[str, Mapping[str, np.ndarray]]

    @property
    def window(self) -> tuple[float, float]:
        """Temperatures of pixels 0 and 1, in degrees Celsius."""
        low, high = self.meta["window_celsius"]
        return low, high

    @property
    def width(self) -> float:
        """Degrees Celsius of one pixel unit."""
        return self.window[1] - self.window[0]

    @functools.cached_property
    def main_set(self) -> str:
        """Examples that headlines are about: "test" where there is such a set."""
        sets = [row["set"] for row in self.rows]
        return "test" if "test" in sets or not sets else sets[0]

    @functools.cached_property
    def arms(self) -> list[str]:
        """Arms of the main set, in the order of the results."""
        return list(
            dict.fromkeys(r["arm"] for r in self.rows if r["set"] == self.main_set)
        )

    def headline_epsilon(self, norm: str) -> float:
        """Radius that headlines are about, in pixel units."""
        name = "headline_epsilon" if norm == "linf" else f"headline_epsilon_{norm}"
        return self.meta.get(name) or float("nan")


def read_runs(workdirs: Sequence[pathlib.Path]) -> list[Run]:
    """Read the folders of runs, and give each a name of its own.

    Raises:
        ConfigError: If a folder holds no results, or a file is damaged.
    """
    names = [path.resolve().name for path in workdirs]
    if len(set(names)) < len(names):
        names = [path.as_posix() for path in workdirs]
    return [read_run(*pair) for pair in zip(workdirs, names, strict=True)]


def read_run(workdir: pathlib.Path, name: str) -> Run:
    """Read the folder of a run.

    Args:
        workdir: Of a run with results.
        name: Of the run in the report.

    Raises:
        ConfigError: If the folder holds no results, or a file is damaged.
    """
    results = _json(workdir / "results.json")
    if results is None:
        raise ConfigError(
            f"{workdir}/results.json is missing: a report needs a finished run."
        )
    for field in ("meta", "rows"):
        if field not in results:
            raise ConfigError(f"{workdir}/results.json is damaged: no {field!r}.")
    galleries = sorted(workdir.glob("gallery-*.npz"))
    return Run(
        name=name,
        workdir=workdir,
        meta=results["meta"],
        rows=results["rows"],
        comparisons=results.get("comparisons") or [],
        bracket=results.get("bracket") or [],
        config=_json(workdir / "config.json"),
        checks=_json(workdir / "checks.json"),
        audit=_json(workdir / "audit.json"),
        certificates=_json(workdir / "certificates.json"),
        detection=_json(workdir / "detection.json"),
        metrics=_read(workdir / "metrics.jsonl", training.read_metrics) or [],
        outcomes=_read(workdir / "predictions.parquet", evaluation.read_parquet) or [],
        galleries={
            path.stem.removeprefix("gallery-"): _read(path, _gallery) or {}
            for path in galleries
        },
    )


def _json(path: pathlib.Path) -> Record | None:
    return _read(path, read_json)


def _read(path: pathlib.Path, reader: Callable[[pathlib.Path], Any]) -> Any:
    """The content of a file; None without the file."""
    if not path.exists():
        return None
    try:
        return reader(path)
    except (ValueError, KeyError, OSError, pa.ArrowException) as error:
        raise ConfigError(f"{path} is damaged: {error}.") from error


def _gallery(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Arrays of a gallery; never pickled objects."""
    there = read_arrays(path)
    arrays = {name: there[name] for name in _ARRAYS}
    arrays |= {name: there[name] for name in _ATTACK if name in there}
    shape = arrays["images"].shape
    for name in PICTURES:
        if arrays[name].shape != shape or len(shape) != 4:
            raise ValueError(f"{name} has shape {arrays[name].shape}, images {shape}")
    return arrays
