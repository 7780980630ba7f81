"""Kills a training run again and again, and compares its end with an undisturbed one.

    python -m benchmarks.kill_drill --kills=20 --saves=5

Both train the smoke variant of the quickstart for more steps, with a checkpoint at
every third one. Kills (SIGKILL) fall into the start of the process, after random steps,
or into a save: as soon as a temporary folder of a checkpoint is there. The same command
starts the run again. Parameters must be equal bit for bit, and every step must stand in
the log once, with the same numbers. Takes some ten minutes on two cores.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.measure import write_report
from wbad_jax.training import read_metrics

REPOSITORY = pathlib.Path(__file__).parents[1]
RESULTS = pathlib.Path(__file__).parent / "results" / "kill_drill.json"
ARMS = ("undefended", "wbad")
_START_SECONDS = 10.0  # imports, data and compiled programs take about as long
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
            "--config.training.checkpoint_every=3",
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
            raise RuntimeError(f"The run failed:\n{self.last_words()}")
        return time.monotonic() - self.started

    def last_words(self) -> str:
        """The end of what the command printed."""
        return (self.workdir / "output.txt").read_text(errors="replace")[-2000:]

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


def kill_once(
    drill: Drill, kind: str, rng: np.random.Generator, steps: tuple[float, float]
) -> dict[str, Any]:
    """Start the run and kill it.

    Args:
        drill: The run.
        kind: "start": some seconds after the start; "step": after a random step;
            "save": in a save after a random step.
        rng: Source of the moment.
        steps: Range of that step, counted over all arms.

    Returns:
        When it was killed, and whether a save was under way.

    Raises:
        RuntimeError: If the run ends before.
    """
    left_behind = drill.saves_under_way()
    wait, step = rng.uniform(0, _START_SECONDS), rng.uniform(*steps)
    process = drill.start()
    while True:
        there = drill.saves_under_way()
        left_behind &= there  # Removed at the start; the same name may come again.
        seconds = time.monotonic() - drill.started
        started_saving = kind != "save" or bool(there - left_behind)
        if kind == "start" and seconds > wait:
            break
        if kind != "start" and started_saving and drill.steps_logged() >= step:
            break
        if process.poll() is not None:
            raise RuntimeError(
                f"The run ended with status {process.returncode} before it was killed; "
                f"take more --steps if that is 0. It said:\n{drill.last_words()}"
            )
        time.sleep(_POLL_SECONDS)
    process.kill()
    process.wait()
    return {
        "kind": kind,
        "seconds_after_start": round(seconds, 2),
        "steps_in_log": drill.steps_logged(),
        # What is left behind tells: a save that was complete has no temporary folder.
        "save_under_way": bool(drill.saves_under_way() - left_behind),
    }


def choose_kind(rng: np.random.Generator, left: int, saves_to_hit: int) -> str:
    """Which kind of kill is next, such that enough saves are hit in the end."""
    if saves_to_hit >= left:
        return "save"
    return str(rng.choice(["start", "step", "save"], p=[0.2, 0.3, 0.5]))


def run_drill(folder: pathlib.Path, options: argparse.Namespace) -> dict[str, Any]:
    """Both runs, and how they compare."""
    undisturbed = Drill(folder / "undisturbed", options.steps)
    print("The undisturbed run", flush=True)
    seconds = undisturbed.finish()
    rng = np.random.default_rng(options.seed)
    drill, kills, begin = Drill(folder / "killed", options.steps), [], time.monotonic()
    # Spread over both arms; the last tenth is left for a save to come.
    marks = np.linspace(1, 0.9 * len(ARMS) * options.steps, options.kills + 1)
    while len(kills) < options.kills:
        hits = sum(kill["save_under_way"] for kill in kills)
        left = options.kills - len(kills)
        kind = choose_kind(rng, left, options.saves - hits)
        steps = tuple(marks[len(kills) : len(kills) + 2])
        kills.append(kill_once(drill, kind, rng, steps))
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
    parser.add_argument("--steps", type=int, default=80, help="of each arm")
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
