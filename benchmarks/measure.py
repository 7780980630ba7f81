"""Timing calls in turn, and what machine the numbers belong to."""

import argparse
import collections
import contextlib
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import sys
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

Job = TypeVar("Job", bound=Hashable)
_PACKAGES = (
    "jax",
    "jaxlib",
    "flax",
    "jaxwt",
    "PyWavelets",
    "ptwt",
    "torch",
    "numpy",
    "foolbox",
    "torchattacks",
    "adversarial-robustness-toolbox",
    "pyautoattack",
)


def describe_machine() -> dict[str, Any]:
    """Versions and hardware that the numbers belong to."""
    import jax  # here: the processes that time other libraries do without

    cpu = platform.processor()
    info = pathlib.Path("/proc/cpuinfo")
    if info.exists():
        models = [s for s in info.read_text().splitlines() if "model name" in s]
        cpu = models[0].split(":")[1].strip() if models else cpu
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "device": str(jax.devices()[0]),
        "python": platform.python_version(),
        "versions": _installed_versions(),
        "date": datetime.date.today().isoformat(),
    }


def _installed_versions() -> dict[str, str]:
    installed = {}
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            installed[name] = importlib.metadata.version(name)
    return installed


def refuse_unoptimised() -> bool:
    """Whether compiler optimisation is switched off, with a word about it."""
    flags = os.environ.get("XLA_FLAGS", "")
    level = os.environ.get("JAX_DISABLE_MOST_OPTIMIZATIONS", "")
    off = "optimization_level" in flags or level not in ("", "0")
    if off:
        print("Compiler optimisation is off: unset XLA_FLAGS.", file=sys.stderr)
    return off


def count_repeats(call: Callable[[], Any], min_seconds: float) -> int:
    """How often to repeat a call, compiled before, to fill a sample of that length."""
    start = time.perf_counter()
    call()
    once = time.perf_counter() - start
    return max(1, round(min_seconds / once))


def take_sample(call: Callable[[], Any], repeats: int) -> dict[str, float]:
    """Wall and CPU milliseconds of one call, the mean over some repeats.

    The CPU time is that of all threads of this process.
    """
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        call()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"wall_ms": 1e3 * wall / repeats, "cpu_ms": 1e3 * cpu / repeats}


def sample_medians(samples: Sequence[dict[str, float]]) -> dict[str, float]:
    """The median of each clock."""
    return {
        clock: statistics.median(sample[clock] for sample in samples)
        for clock in samples[0]
    }


def time_ratio(times: dict[str, float], unit: dict[str, float]) -> dict[str, float]:
    """How many times `unit` the `times` are, on each clock."""
    return {
        "wall": times["wall_ms"] / unit["wall_ms"],
        "cpu": times["cpu_ms"] / unit["cpu_ms"],
    }


def time_calls(
    calls: dict[Job, Callable[[], Any]], rounds: int, min_seconds: float = 0.0
) -> dict[Job, dict[str, float]]:
    """Median wall and CPU milliseconds of each call, over interleaved rounds.

    Args:
        calls: Compiled before, and blocking until their result is there.
        rounds: Samples of each.
        min_seconds: Length of a sample; short calls are repeated within it.
    """
    repeats = {key: count_repeats(call, min_seconds) for key, call in calls.items()}
    samples = collections.defaultdict(list)
    for _ in range(rounds):
        for key, call in calls.items():
            samples[key].append(take_sample(call, repeats[key]))
    return {key: sample_medians(taken) for key, taken in samples.items()}


def write_sweep_report(
    description: str,
    report_of: Callable[[pathlib.Path], dict[str, Any]],
    sweep: str,
    output: pathlib.Path,
    argv: Sequence[str] | None,
) -> int:
    """The command that gathers a sweep into one results file.

    Args:
        description: Docstring of the command; its first line is shown.
        report_of: From the folder of the sweep to the report.
        sweep: That folder, unless `--sweep` names another.
        output: Results file, unless `--output` names another.
        argv: Arguments; those of the process if None.

    Returns:
        Exit status 0.
    """
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--sweep", type=pathlib.Path, default=sweep)
    parser.add_argument("--output", type=pathlib.Path, default=output)
    options = parser.parse_args(argv)
    write_report(report_of(options.sweep), options.output)
    return 0


def write_report(report: dict[str, Any], path: pathlib.Path) -> None:
    """Write a report, with the machine it was taken on, as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    report = {"machine": describe_machine(), **report}
    path.write_text(json.dumps(report, indent=1) + "\n")
    print(f"\nWritten to {path}")
