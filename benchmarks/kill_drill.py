"""Kills a training run again and again, and compares its end with an undisturbed one.

    python -m benchmarks.kill_drill --kills=20 --saves=5

Both train the smoke variant of the quickstart for more steps, with a checkpoint at every
other one. Kills (SIGKILL) fall into the start of the process, after random steps, or into
a save: as soon as a temporary folder of a checkpoint is there. The same command starts
the run again. Parameters must be equal bit for bit, and every step must stand in the log
once, with the same numbers. Takes some ten minutes on two cores.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.measure import write_report
from wbad_jax.training import read_metrics

REPOSITORY = pathlib.Path(__file__).parents[1]
RESULTS = pathlib.Path(__file__).parent / "results" / "kill_drill.json"
ARMS = ("undefended", "wbad")
_START_SECONDS = 10.0  # imports, data and compiled programs take about as long
_MOST_SAVES = 4  # saves that are let through before one is hit
_POLL_SECONDS = 0.001


class Drill:
    """One run: started, watched, killed, started again."""

    def __init__(self, workdir: pathlib.Path, num_steps: int):
        """Prepare a run.

        Args:
            workdir: Its folder, empty.
            num_steps: Of each arm.
        """
        self.workdir = workdir
        self.started = 0.0
        self._command = [
            *(sys.executable, "-m", "experiments.train"),
            "--config=configs/quickstart.py:smoke",
            *(f"--config.arm.{arm}.num_steps={num_steps}" for arm in ARMS),
            "--config.training.log_every=1",
            "--config.training.checkpoint_every=2",
            "--config.training.eval_every=20",
            "--config.evaluation.attacks=('fgsm',)",
            f"--workdir={workdir}",
        ]

    def start(self) -> subprocess.Popen:
        """Start the command, or go on with the run."""
        self.workdir.mkdir(parents=True, exist_ok=True)
        self.started = time.monotonic()
        with (self.workdir / "output.txt").open("a") as output:
            return subprocess.Popen(
                self._command, cwd=REPOSITORY, stdout=output, stderr=output
            )

    def finish(self) -> float:
        """Run to the end; the seconds it took.

        Raises:
            RuntimeError: If the command fails.
        """
        process = self.start()
        if process.wait() != 0:
            raise RuntimeError(f"The run failed; see {self.workdir}/output.txt.")
        return time.monotonic() - self.started

    def steps_logged(self) -> int:
        """Steps of all arms in the log."""
        path = self.workdir / "metrics.jsonl"
        return len(_losses(path)) if path.exists() else 0

    def saves_under_way(self) -> set[str]:
        """Temporary folders of checkpoints."""
        pattern = "*/checkpoints/*.orbax-checkpoint-tmp*"
        return {str(path) for path in self.workdir.glob(pattern)}

    def digests(self) -> dict[str, str]:
        """Of the parameters of each arm."""
        results = json.loads((self.workdir / "results.json").read_text())
        return results["meta"]["parameters_sha256"]

    def log(self) -> list[dict[str, Any]]:
        """Metrics of all training steps."""
        return _losses(self.workdir / "metrics.jsonl")


def _losses(path: pathlib.Path) -> list[dict[str, Any]]:
    return [line for line in read_metrics(path) if "loss" in line]


def kill_once(drill: Drill, kind: str, rng: np.random.Generator, stride: int) -> dict:
    """Start the run and kill it.

    Args:
        drill: The run.
        kind: "start", "step" or "save".
        rng: Source of the moment.
        stride: Steps that a run of kind "step" may go on.

    Returns:
        When it was killed, and whether a save was under way.

    Raises:
        RuntimeError: If the run ends before.
    """
    due = {"start": _after_seconds, "step": _after_steps, "save": _in_a_save}[kind]
    is_due = due(drill, rng, stride)
    process = drill.start()
    while not is_due():
        if process.poll() is not None:
            raise RuntimeError(
                f"The run ended with status {process.returncode} before it was killed; "
                f"see {drill.workdir}/output.txt, or take more --steps."
            )
        time.sleep(_POLL_SECONDS)
    seconds = time.monotonic() - drill.started
    process.kill()
    process.wait()
    return {
        "kind": kind,
        "seconds_after_start": round(seconds, 2),
        "steps_in_log": drill.steps_logged(),
        # What is left behind tells: a save that was complete has no temporary folder.
        "save_under_way": bool(drill.saves_under_way()),
    }


def _after_seconds(drill: Drill, rng, stride) -> Callable[[], bool]:
    wait = rng.uniform(0, _START_SECONDS)
    return lambda: time.monotonic() - drill.started > wait


def _after_steps(drill: Drill, rng, stride: int) -> Callable[[], bool]:
    # Counted from the last kill: steps that were done but not saved are done again.
    target = drill.steps_logged() + int(rng.integers(1, stride + 1))
    until = time.monotonic() + 1e9

    def is_due() -> bool:
        nonlocal until
        if until > time.monotonic() + 1e8 and drill.steps_logged() >= target:
            until = time.monotonic() + rng.uniform(0, 0.2)
        return time.monotonic() > until

    return is_due


def _in_a_save(drill: Drill, rng, stride) -> Callable[[], bool]:
    left_behind, passed = drill.saves_under_way(), set()
    let_through = int(rng.integers(0, _MOST_SAVES))

    def is_due() -> bool:
        nonlocal left_behind
        there = drill.saves_under_way()
        left_behind &= there  # Removed at the start; the same name may come again.
        passed.update(there - left_behind)
        return len(passed) > let_through

    return is_due


def choose_kind(rng: np.random.Generator, left: int, saves_to_hit: int) -> str:
    """Which kind of kill is next, such that enough saves are hit in the end."""
    if saves_to_hit >= left:
        return "save"
    return str(rng.choice(["start", "step", "save"], p=[0.2, 0.4, 0.4]))


def run_drill(folder: pathlib.Path, options: argparse.Namespace) -> dict[str, Any]:
    """Both runs, and how they compare."""
    undisturbed = Drill(folder / "undisturbed", options.steps)
    print("The undisturbed run", flush=True)
    seconds = undisturbed.finish()
    rng = np.random.default_rng(options.seed)
    drill, kills, begin = Drill(folder / "killed", options.steps), [], time.monotonic()
    stride = len(ARMS) * options.steps // (2 * options.kills)
    while len(kills) < options.kills:
        hits = sum(kill["save_under_way"] for kill in kills)
        left = options.kills - len(kills)
        kind = choose_kind(rng, left, options.saves - hits)
        kills.append(kill_once(drill, kind, rng, stride))
        print(f"kill {len(kills)}: {kills[-1]}", flush=True)
    drill.finish()
    return {
        "seed": options.seed,
        "steps_of_each_arm": options.steps,
        "seconds_undisturbed": round(seconds, 1),
        "seconds_killed": round(time.monotonic() - begin, 1),
        "num_kills": len(kills),
        "num_kills_in_a_save": sum(kill["save_under_way"] for kill in kills),
        "parameters_sha256": {
            "undisturbed": undisturbed.digests(),
            "killed": drill.digests(),
        },
        "parameters_equal": undisturbed.digests() == drill.digests(),
        "logs_equal": undisturbed.log() == drill.log(),
        "kills": kills,
    }


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--saves", type=int, default=5, help="kills amid a save")
    parser.add_argument("--steps", type=int, default=200, help="of each arm")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=pathlib.Path, default=RESULTS)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the drill and write the JSON file; 0 if nothing differs."""
    options = parse(argv)
    with tempfile.TemporaryDirectory() as folder:
        report = run_drill(pathlib.Path(folder), options)
    write_report(report, options.output)
    equal = report["parameters_equal"] and report["logs_equal"]
    enough = report["num_kills_in_a_save"] >= options.saves
    print(
        f"{report['num_kills']} kills, {report['num_kills_in_a_save']} of them amid a "
        f"save: parameters equal: {report['parameters_equal']}, logs equal: "
        f"{report['logs_equal']}."
    )
    return 0 if equal and enough else 1


if __name__ == "__main__":
    sys.exit(main())
