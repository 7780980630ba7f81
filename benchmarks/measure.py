"""Timing calls in turn, and what machine the numbers belong to."""

import collections
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import sys
import time
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import jax

Job = TypeVar("Job", bound=Hashable)
_PACKAGES = ("jax", "jaxlib", "flax", "jaxwt", "PyWavelets", "numpy")


def describe_machine() -> dict[str, Any]:
    """Versions and hardware that the numbers belong to."""
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
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "date": datetime.date.today().isoformat(),
    }


def refuse_unoptimised() -> bool:
    """Whether compiler optimisation is switched off, with a word about it."""
    flags = os.environ.get("XLA_FLAGS", "")
    level = os.environ.get("JAX_DISABLE_MOST_OPTIMIZATIONS", "")
    off = "optimization_level" in flags or level not in ("", "0")
    if off:
        print("Compiler optimisation is off: unset XLA_FLAGS.", file=sys.stderr)
    return off


def time_calls(
    calls: dict[Job, Callable[[], Any]], rounds: int, min_seconds: float = 0.0
) -> dict[Job, dict[str, float]]:
    """Median wall and CPU milliseconds of each call, over interleaved rounds.

    Args:
        calls: Compiled before, and blocking until their result is there.
        rounds: Samples of each.
        min_seconds: Length of a sample; short calls are repeated within it.
    """
    repeats = {}
    for key, call in calls.items():
        start = time.perf_counter()
        call()
        once = time.perf_counter() - start
        # Several calls a sample: the CPU clock is coarse.
        repeats[key] = max(1, round(min_seconds / once))
    samples = collections.defaultdict(list)
    for _ in range(rounds):
        for key, call in calls.items():
            wall, cpu = time.perf_counter(), time.process_time()
            for _ in range(repeats[key]):
                call()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            samples[key].append((wall / repeats[key], cpu / repeats[key]))
    return {
        key: {
            clock: 1e3 * statistics.median(pair[i] for pair in pairs)
            for i, clock in enumerate(("wall_ms", "cpu_ms"))
        }
        for key, pairs in samples.items()
    }


def write_report(report: dict[str, Any], path: pathlib.Path) -> None:
    """Write a report, with the machine it was taken on, as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    report = {"machine": describe_machine(), **report}
    path.write_text(json.dumps(report, indent=1) + "\n")
    print(f"\nWritten to {path}")
