"""Times a training step on one device, on several, and in two processes.

    python -m experiments.benchmark --suite=sharding --rounds=10

The same global batch each time, so all that is more than on one device is the price of
sharing: smaller parts, sums of gradients over devices, messages between processes.
Groups of processes are timed in turn, round after round; medians. Wall time is that of
the slowest process of a group, CPU time that of all together. The devices are virtual
ones on the cores of this machine: with more of them than cores wall time cannot fall.
"""

import argparse
import concurrent.futures
import contextlib
import pathlib
import socket
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from benchmarks.measure import (
    refuse_unoptimised,
    sample_medians,
    time_ratio,
    write_report,
)
from benchmarks.worker import Worker

RESULTS = pathlib.Path(__file__).parent / "results" / "sharding.json"
JOBS = ("clean", "pgd")
_SAME_LOSS = 1e-3


class Layout(NamedTuple):
    """How the devices are spread over processes."""

    processes: int
    devices: int  # of each process


ALONE = Layout(1, 1)
LAYOUTS = (ALONE, Layout(1, 2), Layout(1, 8), Layout(2, 1))


class Group:
    """The processes of a layout, asked together."""

    def __init__(self, layout: Layout, stack: contextlib.ExitStack):
        """Start them; they end with `stack`."""
        self.layout = layout
        address = f"127.0.0.1:{_free_port()}"
        own = [
            [address, str(layout.processes), str(number)]
            if layout.processes > 1
            else []
            for number in range(layout.processes)
        ]
        self._workers = [
            stack.enter_context(
                Worker("benchmarks.sharding_worker", str(layout.devices), *arguments)
            )
            for arguments in own
        ]

    def ask(self, function: str, **arguments: Any) -> list[Any]:
        """The replies of all, asked at once, since they wait for each other."""
        with concurrent.futures.ThreadPoolExecutor(len(self._workers)) as pool:
            asked = [
                pool.submit(worker.ask, function, **arguments)
                for worker in self._workers
            ]
            return [reply.result() for reply in asked]

    def time(self, job: str, num_steps: int) -> dict[str, float]:
        """Wall milliseconds of the slowest, CPU milliseconds of all."""
        samples = self.ask("time", job=job, num_steps=num_steps)
        return {
            "wall_ms": max(sample["wall_ms"] for sample in samples),
            "cpu_ms": sum(sample["cpu_ms"] for sample in samples),
        }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def time_job(job: str, groups: Sequence[Group], options: argparse.Namespace) -> dict:
    """Times one kind of step in all groups, printed as they come.

    Raises:
        RuntimeError: If the losses differ: it would not be the same work.
    """
    losses = {
        loss
        for group in groups
        for loss in group.ask(
            "prepare", job=job, batch_size=options.batch_size, size=options.size
        )
    }
    if max(losses) - min(losses) > _SAME_LOSS * max(losses):
        raise RuntimeError(f"{job}: losses differ between layouts: {sorted(losses)}.")
    samples: dict[Layout, list] = {group.layout: [] for group in groups}
    for _ in range(options.rounds):
        for group in groups:
            samples[group.layout].append(group.time(job, options.steps))
    times = {layout: sample_medians(taken) for layout, taken in samples.items()}
    print(f"{job}: batch {options.batch_size} of {options.size} x {options.size}")
    rows = []
    for layout, spent in times.items():
        ratio = time_ratio(spent, times[ALONE])
        rows.append({**layout._asdict(), **spent, "over_one_device": ratio})
        print(
            f"  {layout.processes} processes x {layout.devices} devices"
            f"  wall {spent['wall_ms']:8.1f} ms ({ratio['wall']:.2f})"
            f"  cpu {spent['cpu_ms']:8.1f} ms ({ratio['cpu']:.2f})",
            flush=True,
        )
    return {"job": job, "layouts": rows}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark, print a table and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=5, help="steps a sample")
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--size", type=int, default=64, help="pixels of an image")
    parser.add_argument("--output", type=pathlib.Path, default=RESULTS)
    options = parser.parse_args(argv)
    if refuse_unoptimised():
        return 2
    with contextlib.ExitStack() as stack:
        groups = [Group(layout, stack) for layout in LAYOUTS]
        jobs = [time_job(job, groups, options) for job in JOBS]
    settings = {
        name: getattr(options, name)
        for name in ("rounds", "steps", "batch_size", "size")
    }
    write_report({**settings, "jobs": jobs}, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
