"""How long a run takes to start, with and without compiled programs on disk.

    python -m benchmarks.start_up --config=quickstart

The first steps of WBAD training, in fresh processes that start as `experiments.train`
does: one with an empty folder of compiled programs, one that finds what the first has
left. Prints seconds, memory and the programs compiled after the first step, of which
there must be none.
"""

import argparse
import contextlib
import importlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.measure import refuse_unoptimised, write_report

REPOSITORY = pathlib.Path(__file__).parents[1]
RESULTS = pathlib.Path(__file__).parent / "results" / "start_up.json"
GOALS = {"compile_seconds": 5.0, "first_step_after_seconds": 1.7}
_STEPS = 5
# A compiled program, or one that was found on disk.
_PROGRAM_EVENT = "/jax/core/compile/backend_compile_duration"


class MeasuredStep:
    """A jitted train step that notes when its first call was done."""

    def __init__(self, step: Any, events: list[tuple[str, float]], started: float):
        """Wrap a step.

        Args:
            step: From `training.make_train_step`.
            events: Names and seconds of what JAX reports, growing.
            started: When the process started, by `time.time`.
        """
        self.times: dict[str, float] = {}
        self.programs_after_first_step = 0
        self._step, self._events, self._started = step, events, started
        self._arguments: Any = None

    def __call__(self, state: Any, *arguments: Any) -> Any:
        """One step, waited for."""
        import jax

        first, before = not self.times, len(self._events)
        if first:
            self._arguments = jax.tree.map(_abstract, (state, *arguments))
        called = time.time()
        result = jax.block_until_ready(self._step(state, *arguments))
        done = time.time()
        compiled = [s for name, s in self._events[before:] if name == _PROGRAM_EVENT]
        if first:
            self.times = {
                "before_first_step_seconds": called - self._started,
                "compile_seconds": sum(compiled),
                "first_call_seconds": done - called,
                "first_step_after_seconds": done - self._started,
            }
        else:
            self.times["later_call_seconds"] = done - called
            self.programs_after_first_step += len(compiled)
        return result

    def memory(self) -> dict[str, int]:
        """Bytes that the compiled step needs on a device."""
        analysis = self._step.lower(*self._arguments).compile().memory_analysis()
        names = ("argument", "output", "temp", "alias", "generated_code")
        return {n: int(getattr(analysis, f"{n}_size_in_bytes")) for n in names}

    def programs(self) -> int:
        """Programs compiled of the step itself."""
        return self._step._cache_size()


def _abstract(array: Any) -> Any:
    from jax import ShapeDtypeStruct
    from jax.sharding import NamedSharding

    # Others, such as the key, go where the state and the batch are.
    placed = isinstance(array.sharding, NamedSharding)
    sharding = array.sharding if placed else None
    return ShapeDtypeStruct(array.shape, array.dtype, sharding=sharding)


def load_config(name: str) -> Any:
    """The config `NAME` or `NAME:smoke`, of its arm "wbad" from scratch."""
    name, _, mode = name.partition(":")
    config = importlib.import_module(f"configs.{name}").get_config(mode or "full")
    config.arms = ("wbad",)
    config.arm.wbad.init_from = ""
    # Nothing but steps: it is stopped before a validation.
    config.arm.wbad.num_steps = 100 * _STEPS
    config.training.eval_every = config.training.checkpoint_every = 100 * _STEPS
    return config.lock()


def run_child(name: str, started: float, workdir: pathlib.Path) -> dict[str, Any]:
    """Take the first steps of a run, as `experiments.train` would.

    Args:
        name: Of the config.
        started: When the process started, by `time.time`.
        workdir: Folder for checkpoints and log.
    """
    import resource  # in the process that is measured: imports count

    import jax

    from experiments import cohort, settings, train_arm
    from experiments.command_line import prepare_jax
    from wbad_jax import training

    prepare_jax()
    imported = time.time() - started
    events: list[tuple[str, float]] = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, duration_secs, **_: events.append((event, duration_secs))
    )
    config = load_config(name)
    dataset = cohort.load(config)
    (fold, *_) = cohort.make_folds(config, dataset)
    (arm,) = settings.build_arms(config, dataset.images.shape[1:])
    loaded = time.time() - started
    steps: list[MeasuredStep] = []
    make_train_step = training.make_train_step

    def make_measured(*arguments: Any, **options: Any) -> MeasuredStep:
        step = make_train_step(*arguments, **options)
        steps.append(MeasuredStep(step, events, started))
        return steps[-1]

    training.make_train_step = make_measured
    polls = iter(range(1, _STEPS + 1))
    with contextlib.suppress(training.StopRequestedError):
        train_arm.train_arm(
            arm,
            config,
            train=fold.train,
            validation=fold.validation,
            earlier={},
            budgets=fold.budgets,
            workdir=workdir,
            run="wbad",
            stop_requested=lambda: next(polls) == _STEPS,
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (step,) = steps
    return {
        "imports_seconds": imported,
        "data_seconds": loaded - imported,
        **step.times,
        "programs_of_the_step": step.programs(),
        "programs_after_first_step": step.programs_after_first_step,
        "peak_memory_mib": peak / 1024,  # kilobytes on Linux
        "step_bytes": step.memory(),
    }


def measure(name: str, cache: pathlib.Path) -> dict[str, Any]:
    """Start a process with a folder of compiled programs, and what it measured."""
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder) / "measured.json"
        arguments = [f"--config={name}", f"--started={time.time()}", "--child"]
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "benchmarks.start_up",
                *arguments,
                f"--output={output}",
            ],
            cwd=REPOSITORY,
            env={**os.environ, "JAX_COMPILATION_CACHE_DIR": str(cache)},
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise RuntimeError(f"The run failed:\n{done.stderr[-2000:]}")
        return json.loads(output.read_text())


def summarise(rounds: list[dict[str, dict[str, Any]]]) -> dict[str, dict[str, float]]:
    """Medians of cold and warm starts, and how many times less the warm ones take."""
    numbers = [
        n for n, value in rounds[0]["cold"].items() if not isinstance(value, dict)
    ]
    table = {}
    for name in numbers:
        cold, warm = (
            statistics.median(each[kind][name] for each in rounds)
            for kind in ("cold", "warm")
        )
        table[name] = {"cold": cold, "warm": warm}
        if name.endswith("seconds"):
            table[name]["ratio"] = cold / warm
    return table


def print_table(table: dict[str, dict[str, float]]) -> None:
    """One line a number, with the goal where there is one."""
    print(f"{'':28}{'cold':>10}{'warm':>10}{'ratio':>8}{'goal':>8}")
    for name, row in table.items():
        ratio = f"{row['ratio']:8.2f}" if "ratio" in row else " " * 8
        goal = f"{GOALS[name]:8.1f}" if name in GOALS else ""
        print(f"{name:28}{row['cold']:10.2f}{row['warm']:10.2f}{ratio}{goal}")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="quickstart", help="NAME or NAME:smoke")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=pathlib.Path, default=RESULTS)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--started", type=float, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark, print a table and write the JSON file."""
    options = parse(argv)
    if options.child:
        with tempfile.TemporaryDirectory() as folder:
            found = run_child(options.config, options.started, pathlib.Path(folder))
        options.output.write_text(json.dumps(found))
        return 0
    if refuse_unoptimised():
        return 1
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        # Prepares the data, and warms the disk for both.
        measure(options.config, pathlib.Path(folder) / "untimed")
        for number in range(options.rounds):
            cache = pathlib.Path(folder) / str(number)
            rounds.append({k: measure(options.config, cache) for k in ("cold", "warm")})
    table = summarise(rounds)
    print_table(table)
    report = {"config": options.config, "goals": GOALS, "medians": table}
    write_report({**report, "rounds": rounds}, options.output)
    reached = all(table[name]["ratio"] >= goal for name, goal in GOALS.items())
    recompiled = max(
        each[kind]["programs_after_first_step"] for each in rounds for kind in each
    )
    return 0 if reached and not recompiled else 1


if __name__ == "__main__":
    sys.exit(main())
