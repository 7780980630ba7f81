"""The full suite of attacks on a finished run, timed, and once more with interruptions.

    python -m benchmarks.full_evaluation --run=runs/quickstart

Evaluates a copy of the run with `evaluation.suite=full`, from an empty cache of
compiled programs. A second copy is stopped (SIGTERM) and killed (SIGKILL) in the middle
of attacks and started again: all logits and distances must be the same, bit for bit.
Takes twice the evaluation's time; `--no-interruptions` leaves the second one out.
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.measure import refuse_unoptimised, write_report
from experiments.run_folder import read_config

REPOSITORY = pathlib.Path(__file__).parents[1]
RESULTS = pathlib.Path(__file__).parent / "results" / "full_evaluation.json"
_COLUMNS = (
    "arm", "protocol", "attack", "norm", "epsilon", "n", "evaluated_on", "accuracy",
    "seconds",
)  # fmt: skip
_POLL_SECONDS = 0.01


class Evaluation:
    """One copy of the run, evaluated by the command that users call."""

    def __init__(self, run: pathlib.Path, folder: pathlib.Path, overrides: list[str]):
        """Copy a run.

        Args:
            run: Its folder, which stays as it is.
            folder: Of the copy and the compiled programs.
            overrides: Further flags of `experiments.evaluate`.
        """
        self.workdir = folder / "run"
        shutil.copytree(run, self.workdir)
        self._folder = folder
        self._command = [
            *(sys.executable, "-m", "experiments.evaluate"),
            f"--workdir={self.workdir}",
            "--config.evaluation.suite=full",
            *overrides,
        ]

    def start(self) -> subprocess.Popen:
        """Start the command, or go on."""
        compiled = str(self._folder / "compiled")
        with (self._folder / "output.txt").open("a") as output:
            return subprocess.Popen(
                self._command, cwd=REPOSITORY, stdout=output, stderr=output,
                env={**os.environ, "JAX_COMPILATION_CACHE_DIR": compiled},
            )  # fmt: skip

    def finish(self) -> float:
        """Run to the end; the seconds it took.

        Raises:
            RuntimeError: If the command fails.
        """
        begin = time.monotonic()
        if self.start().wait() != 0:
            words = (self._folder / "output.txt").read_text(errors="replace")[-2000:]
            raise RuntimeError(f"The evaluation failed:\n{words}")
        return time.monotonic() - begin

    def interrupt(self, number: int, after: float) -> dict[str, Any]:
        """Start, and send a signal in the middle of an attack.

        Args:
            number: Of the signal.
            after: Seconds, after which the next moment with a finished batch of an
                unfinished attack is taken.

        Raises:
            RuntimeError: If the command ends before.
        """
        begin, process = time.monotonic(), self.start()
        while time.monotonic() < begin + after or not self._batches():
            if process.poll() is not None:
                raise RuntimeError("The evaluation ended before it was interrupted.")
            time.sleep(_POLL_SECONDS)
        batches = [path.name for path in self._batches()]
        process.send_signal(number)
        process.wait()
        record = {
            "signal": signal.Signals(number).name,
            "seconds_after_start": round(time.monotonic() - begin, 1),
            "exit_status": process.returncode,
            "batches_of_the_unfinished_attack": batches,
        }
        print(record, flush=True)
        return record

    def _batches(self) -> list[pathlib.Path]:
        return sorted((self.workdir / "outcomes").glob("*-batch*.npz"))

    def predictions(self):
        """All columns but the time it took."""
        table = pq.read_table(self.workdir / "predictions.parquet")
        return table.drop_columns(["seconds"])

    def rows(self) -> list[dict[str, Any]]:
        """Of `results.json`, what a table of attacks needs."""
        rows = json.loads((self.workdir / "results.json").read_text())["rows"]
        return [{name: row[name] for name in _COLUMNS} for row in rows]


def run_all(options: argparse.Namespace) -> dict[str, Any]:
    """Both evaluations, and how they compare."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        whole = Evaluation(options.run, root / "whole", options.override)
        seconds = whole.finish()
        report = {
            "run": read_config(options.run)["name"],
            "overrides": options.override,
            "seconds": round(seconds, 1),
            "rows": whole.rows(),
        }
        print(f"{seconds:.0f} s\n{table_of(report['rows'])}", flush=True)
        if not options.interruptions:
            return report
        other = Evaluation(options.run, root / "interrupted", options.override)
        # Compiled before: what is compared is what was computed.
        shutil.copytree(root / "whole" / "compiled", root / "interrupted" / "compiled")
        rng = np.random.default_rng(options.seed)
        stops = [
            other.interrupt(number, rng.uniform(0.05, 0.3) * seconds)
            for number in (signal.SIGTERM, signal.SIGKILL)
        ]
        rest = other.finish()
        same = other.predictions().equals(whole.predictions())
        return report | {
            "interruptions": stops,
            "seconds_of_the_rest": round(rest, 1),
            "predictions_equal": same,
        }


def table_of(rows: list[dict[str, Any]]) -> str:
    """Attacks in the order they ran, in columns."""
    lines = [
        f"{row['arm']:14}{row['protocol']:10}{row['attack']:21}{row['norm'] or '-':6}"
        f"{row['evaluated_on']:5}{100 * row['accuracy']:7.1f} %{row['seconds']:8.1f} s"
        for row in rows
    ]
    return "\n".join(lines)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=pathlib.Path, default="runs/quickstart")
    parser.add_argument(
        "--override", action="append", default=[], help="such as --config.field=value"
    )
    parser.add_argument(
        "--interruptions", action=argparse.BooleanOptionalAction, default=True
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=pathlib.Path, default=RESULTS)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate and write the JSON file; 0 if nothing differs."""
    if refuse_unoptimised():
        return 2
    options = parse(argv)
    report = run_all(options)
    write_report(report, options.output)
    return 0 if report.get("predictions_equal", True) else 1


if __name__ == "__main__":
    sys.exit(main())
