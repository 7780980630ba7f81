"""The readers of all kinds of files; here those of a run's folder.

As in `data_file_readers`, `right` judges by other means than the reader.
"""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np

from benchmarks.data_file_readers import DATA_READERS, Reader, same
from configs import quickstart
from experiments import evaluation_parts, evaluation_record, looks, run_folder
from experiments.report import run_files, writing
from tests.experiments.report import run_folder_files
from wbad_jax import evaluation, training


def _make_config(folder: pathlib.Path) -> list[pathlib.Path]:
    run_folder.record_config(quickstart.get_config("smoke").lock(), folder)
    return [folder / "config.json"]


def _right_config(value: dict[str, Any], _, path: pathlib.Path) -> bool:
    """What the file says, field by field."""
    told = json.loads(path.read_text("utf-8"))["config"]
    told, value = (run_folder.flatten(tree) for tree in (told, value))
    return all(
        name in value and (value[name] == told[name] or value[name] != value[name])
        for name in told
    )


_STATE = {"weights": np.linspace(0, 1, 3000, dtype=np.float32), "step": np.int32(7)}


def _make_checkpoint(folder: pathlib.Path) -> list[pathlib.Path]:
    with training.Checkpoints(folder / "checkpoints") as checkpoints:
        checkpoints.save(7, jax.tree.map(jax.numpy.asarray, _STATE))
    return sorted(p for p in (folder / "checkpoints").rglob("*") if p.is_file())


def _checkpoint_folder(path: pathlib.Path) -> pathlib.Path:
    return next(p for p in path.parents if p.name == "checkpoints")


def _read_checkpoint(path: pathlib.Path, _) -> Any:
    with training.Checkpoints(_checkpoint_folder(path)) as checkpoints:
        return jax.tree.map(np.asarray, checkpoints.restore(_STATE))


def _make_run(name: str) -> Callable[[pathlib.Path], list[pathlib.Path]]:
    def make(folder: pathlib.Path) -> list[pathlib.Path]:
        run_folder_files.write_run(folder / "run")
        return [folder / "run" / name]

    return make


def _write_report(path: pathlib.Path, _) -> str:
    output = path.parent.parent / "report.html"
    writing.write_report([path.parent], output)
    return output.read_text("utf-8")


def _right_report(value: str, *_) -> bool:
    return value.rstrip().endswith("</html>")


def _read_outcomes(path: pathlib.Path, _) -> Any:
    return [dataclasses.asdict(each) for each in evaluation.read_parquet(path)]


def _right_outcomes(value: Any, valid: Any, _) -> bool:
    return json.dumps(value, default=np.ndarray.tolist) == json.dumps(
        valid, default=np.ndarray.tolist
    )


def _read_gallery(path: pathlib.Path, _) -> Any:
    return run_files.read_run(path.parent, "run").galleries


def _make_metrics(folder: pathlib.Path) -> list[pathlib.Path]:
    path = folder / "metrics.jsonl"
    lines = [json.dumps({"run": "wbad", "step": i, "loss": 0.5}) for i in range(50)]
    path.write_text("\n".join(lines) + "\n")
    return [path]


def _right_lines(value: Any, valid: Any, path: pathlib.Path) -> bool:
    """Every line of the file but an unfinished last one."""
    lines = [x for x in path.read_bytes().split(b"\n") if x.strip()]
    return len(value) in (len(lines), len(lines) - 1) and all(
        isinstance(line, dict) for line in value
    )


def _make_looks(folder: pathlib.Path) -> list[pathlib.Path]:
    for _ in range(3):
        looks.record_look(quickstart.get_config("smoke").lock(), folder)
        (folder / "looks.jsonl").write_text((folder / "looks.jsonl").read_text() * 3)
    return [folder / "looks.jsonl"]


def _parts(folder: pathlib.Path) -> tuple[evaluation_parts.Parts, evaluation.Condition]:
    parts = evaluation_parts.Parts(folder, quickstart.get_config("smoke").lock())
    condition = evaluation.Condition(
        arm="wbad", set="test", protocol="adaptive", attack="pgd", norm="linf",
        epsilon=0.01, seed=0,
    )  # fmt: skip
    return parts, condition


def _batch() -> tuple[np.ndarray, ...]:
    return (np.linspace(22, 36, 768, dtype=np.float32), np.arange(5))


def _make_part(folder: pathlib.Path) -> list[pathlib.Path]:
    parts, condition = _parts(folder)
    parts.batch(condition, {}, 0, _batch)
    return list((folder / "outcomes").glob("*.npz"))


def _read_part(path: pathlib.Path, _) -> Any:
    parts, condition = _parts(path.parent.parent)
    return parts.batch(condition, {}, 0, _batch)


def _make_bracket(folder: pathlib.Path) -> list[pathlib.Path]:
    path = folder / "ceiling.json"
    row = {
        "norm": "linf", "epsilon": 0.01, "pair_bound": {"accuracy": 0.9},
        "informed": {"ceiling": 0.9, "ci_low": 0.8, "ci_high": 0.95},
        "scanning": {"accuracy": 0.7, "ci_low": 0.6, "ci_high": 0.8},
    }  # fmt: skip
    record = {"cohort": "cohort", "version": "2.0.0", "rows": [row] * 3}
    path.write_text(json.dumps(record))
    return [path]


def _read_bracket(path: pathlib.Path, _) -> Any:
    config = quickstart.get_config("smoke")
    config.evaluation.bracket = str(path)
    test = SimpleNamespace(name="cohort", version="2.0.0")
    return evaluation_record.read_bracket(
        config, [SimpleNamespace(test=test, budgets={})]
    )


def _right_bracket(value: Any, *_) -> bool:
    numbers = [n for row in value for name, n in row.items() if name != "norm"]
    return all(row["norm"] in ("linf", "l2") for row in value) and all(
        isinstance(n, int | float) and np.isfinite(n) for n in numbers
    )


READERS: Mapping[str, Reader] = {
    **DATA_READERS,
    "config.json": Reader(
        _make_config,
        lambda p, _: run_folder.to_plain(run_folder.load_config(p.parent)),
        _right_config,
    ),
    "checkpoint": Reader(_make_checkpoint, _read_checkpoint, same),
    "metrics.jsonl": Reader(
        _make_metrics, lambda p, _: training.read_metrics(p), _right_lines
    ),
    "looks.jsonl": Reader(
        _make_looks, lambda p, _: looks.read_looks(p.parent), _right_lines
    ),
    "part of an evaluation": Reader(_make_part, _read_part, same),
    "bracket": Reader(_make_bracket, _read_bracket, _right_bracket),
    "predictions.parquet": Reader(
        _make_run("predictions.parquet"), _read_outcomes, _right_outcomes
    ),
    "gallery": Reader(_make_run("gallery-wbad.npz"), _read_gallery, same),
    "report of results.json": Reader(
        _make_run("results.json"), _write_report, _right_report
    ),
    "report of checks.json": Reader(
        _make_run("checks.json"), _write_report, _right_report
    ),
    "report of config.json": Reader(
        _make_run("config.json"), _write_report, _right_report
    ),
}
