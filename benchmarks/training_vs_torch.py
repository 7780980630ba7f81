"""Times a training step beside PyTorch's, its parts, and how its cost grows.

    python -m benchmarks.training_vs_torch
    python -m benchmarks.training_vs_torch --part=steps --rounds=3
    python -m benchmarks.training_vs_torch --part=parts,growth,kernels

"steps": one update of a residual network with group normalisation, with and without a
wavelet denoiser of two levels, on clean and on PGD-10 images; PyTorch with torchattacks
and ptwt, the same weights, images, attack and optimiser, on one thread and on all and
in both memory layouts, of which the best counts; and the same step written with Flax's
own layers. "parts": where the time of a step goes, and which share of the operations a
second of a large matrix product that is. "growth": time against attack steps, batch and
pixels, with a straight line through it. "kernels": the gradient of a convolution by its
kernel, several ways.

The ratios matter, not the milliseconds. Parts that are not asked for stay in the file.
"""

import argparse
import collections
import contextlib
import dataclasses
import json
import pathlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks import training_kernels
from benchmarks.attack_speed import SETTLE_SECONDS, add_speedups
from benchmarks.measure import describe_machine, refuse_unoptimised, sample_medians
from benchmarks.training_problem import MODELS, OBJECTIVES, StepSettings
from benchmarks.worker import Worker

RESULTS = pathlib.Path(__file__).parent / "results" / "training_vs_torch.json"
# How many times as fast as PyTorch, at least.
GOALS = {"bare": 1.0, "denoised": 1.3}
GROWTH = {
    "attack_steps": (1, 2, 5, 10, 20),
    "batch": (16, 32, 64, 96),
    "size": (32, 48, 64, 80),
}
_LIMIT_SECONDS = 3600.0

Row = dict[str, Any]


def time_in_turn(
    turns: Sequence[tuple[Worker, str]], rounds: int, min_seconds: float = 0.0
) -> tuple[Row, Row]:
    """Median times by name over interleaved rounds, and those of the first calls."""
    first = {
        name: w.ask("warm_up", name=name, min_seconds=min_seconds) for w, name in turns
    }
    samples = collections.defaultdict(list)
    for _ in range(rounds):
        for worker, name in turns:
            time.sleep(SETTLE_SECONDS)
            samples[name].append(worker.ask("time", name=name))
    return {name: sample_medians(taken) for name, taken in samples.items()}, first


def compare_steps(options: argparse.Namespace) -> Iterator[Row]:
    """One row per model and objective, with our times and PyTorch's."""
    with contextlib.ExitStack() as stack:
        workers = {
            name: stack.enter_context(_worker(name.split()[0]))
            for name in ("jax", "torch", "jax plain")
        }
        for model in options.models.split(","):
            for objective in options.objectives.split(","):
                settings = _settings(options, model=model, objective=objective)
                turns = []
                for name, worker in workers.items():
                    kind = "plain flax" if "plain" in name else "step"
                    names = worker.ask("prepare", kind=kind, settings=settings)
                    turns += [(worker, name) for name in names]
                times, first = time_in_turn(turns, options.rounds)
                plain = times.pop("plain flax")
                row = {
                    "attack": objective, "model": model, "goal": GOALS[model],
                    "settings": settings, "times": times,
                }  # fmt: skip
                row = add_speedups(row)
                row["plain_flax"] = plain
                row["first_call_ms"] = first["wbad_jax"]["wall_ms"]
                yield row


def measure_parts(options: argparse.Namespace) -> Iterator[Row]:
    """One row per model: time of each part of an adversarial step."""
    with _worker("jax") as worker:
        for model in MODELS:
            settings = _settings(options, model=model, objective="adversarial")
            account = worker.ask("account", settings=settings)
            names = worker.ask("prepare", kind="components", settings=settings)
            turns = [(worker, name) for name in names]
            times, _ = time_in_turn(turns, options.rounds, min_seconds=0.05)
            names = worker.ask("prepare", kind="step", settings=settings)
            whole, _ = time_in_turn([(worker, name) for name in names], options.rounds)
            times["whole step"] = whole["wbad_jax"]
            operations = account["operations"]
            rates = {
                name: count / times[name]["wall_ms"] / 1e6
                for name, count in operations.items()
            }
            peak = rates.pop("matrix product")
            yield {
                "model": model, "settings": settings, "times": times,
                "gigaflops": rates, "peak_gigaflops": peak, "memory": account["memory"],
            }  # fmt: skip


def measure_growth(options: argparse.Namespace) -> Iterator[Row]:
    """One row per quantity: times at several values, and a line through them."""
    with _worker("jax") as worker:
        for field, values in GROWTH.items():
            times: dict[int, Row] = {}
            for value in values:
                settings = _settings(
                    options, model="denoised", objective="adversarial", **{field: value}
                )
                names = worker.ask("prepare", kind="step", settings=settings)
                found, _ = time_in_turn([(worker, n) for n in names], options.rounds)
                # Cost goes with pixels, not with the side of the image.
                times[value**2 if field == "size" else value] = found["wbad_jax"]
            name = "pixels" if field == "size" else field
            yield {"quantity": name, "times": times, "fit": fit_line(times)}


def measure_kernels(options: argparse.Namespace) -> Iterator[Row]:
    """One row per shape: operations a CPU-second of each way to the gradient."""
    with _worker("kernels") as worker:
        names = worker.ask("prepare", kind="kernels", settings={})
        turns = [(worker, name) for name in names]
        times, _ = time_in_turn(turns, options.rounds, min_seconds=0.1)
    rows: dict[str, dict[str, float]] = collections.defaultdict(dict)
    for name, spent in times.items():
        way, shape = name.split(", ", 1)
        rows[shape][way] = training_kernels.gigaflops(name, spent["cpu_ms"])
    for shape, rates in rows.items():
        size, inputs, outputs, stride = map(int, shape.split(", "))
        yield {
            "size": size, "inputs": inputs, "outputs": outputs, "stride": stride,
            "batch": training_kernels.BATCH, "gigaflops_a_cpu_second": rates,
        }  # fmt: skip


def fit_line(times: Mapping[int, Mapping[str, float]]) -> dict[str, float]:
    """Intercept and slope of CPU milliseconds by least squares of relative errors.

    `largest_error` is the largest relative distance of a time from the line.
    """
    x = np.array(list(times), float)
    y = np.array([spent["cpu_ms"] for spent in times.values()])
    slope, intercept = np.polyfit(x, y, 1, w=1 / y)
    error = np.max(np.abs(slope * x + intercept - y) / y)
    return {
        "slope_ms": float(slope),
        "intercept_ms": float(intercept),
        "largest_error": float(error),
    }


def _settings(options: argparse.Namespace, **fields) -> dict[str, Any]:
    chosen = {"size": options.size, "batch": options.batch, "level": options.level}
    return dataclasses.asdict(StepSettings(**{**chosen, **fields}))


def _worker(process: str) -> Worker:
    return Worker("benchmarks.training_worker", process, limit_seconds=_LIMIT_SECONDS)


def describe_step(row: Row) -> str:
    """One line of the table."""
    ours, plain = row["times"]["wbad_jax"], row["plain_flax"]
    ratio = row["speedup"]["torch"]
    line = f"{row['attack']:<12}{row['model']:<10}"
    line += f"wall {ours['wall_ms']:7.0f} ms, cpu {ours['cpu_ms']:7.0f} ms; "
    line += f"{ratio['wall']:.2f} x torch (cpu {ratio['cpu']:.2f}); plain flax takes "
    line += f"{plain['wall_ms'] / ours['wall_ms']:.1f} x as long"
    return line + ("" if row["holds"] else f"; goal {row['goal']:g} x, MISSED")


def describe_parts(row: Row) -> str:
    """A few lines of the table."""
    lines = [
        f"{row['model']}, of a step of {row['times']['whole step']['wall_ms']:.0f} ms"
    ]
    for name, spent in row["times"].items():
        rate = row["gigaflops"].get(name)
        share = f"  {rate / row['peak_gigaflops']:.0%} of peak" if rate else ""
        wall, cpu = spent["wall_ms"], spent["cpu_ms"]
        lines.append(f"  {name:<22} wall {wall:8.2f} ms  cpu {cpu:8.2f} ms{share}")
    memory = {name: f"{size / 2**20:.0f} MiB" for name, size in row["memory"].items()}
    return "\n".join([*lines, f"  memory {memory}"])


def describe_growth(row: Row) -> str:
    """One line of the table."""
    fit = row["fit"]
    return (
        f"{row['quantity']:<14}{fit['intercept_ms']:8.1f} ms + {fit['slope_ms']:.4g} "
        f"ms each, cpu; off by at most {fit['largest_error']:.0%}"
    )


def describe_kernels(row: Row) -> str:
    """One line of the table."""
    rates = row["gigaflops_a_cpu_second"]
    shown = ", ".join(f"{way} {rate:.1f}" for way, rate in rates.items())
    shape = f"{row['size']} x {row['size']}, {row['inputs']} to {row['outputs']}"
    return f"{shape:<22} stride {row['stride']}: {shown} GFLOP a CPU-second"


PARTS: dict[str, tuple[Callable, Callable]] = {
    "steps": (compare_steps, describe_step),
    "parts": (measure_parts, describe_parts),
    "growth": (measure_growth, describe_growth),
    "kernels": (measure_kernels, describe_kernels),
}


def save(path: pathlib.Path, part: str, row: Row) -> None:
    """Puts a row into its part of the results file, or in place of its last one."""
    report = json.loads(path.read_text("utf-8")) if path.exists() else {}
    machine = describe_machine()
    # Of each row too: a part may be run in pieces.
    row = {**row, "cpu": machine["cpu"], "date": machine["date"]}
    rows = report.get(part, {}).get("rows", [])
    names = [_name(other) for other in rows]
    if _name(row) in names:
        rows[names.index(_name(row))] = row
    else:
        rows.append(row)
    report[part] = {"machine": machine, "rows": rows}
    ordered = {name: report[name] for name in PARTS if name in report}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(ordered, indent=1) + "\n", "utf-8")


def _name(row: Row) -> list[Any]:
    fields = "attack", "model", "quantity", "size", "inputs", "outputs", "stride"
    return [row.get(field) for field in fields]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the parts, prints tables and writes the JSON file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", default=",".join(PARTS), help="of them, A,B")
    parser.add_argument("--models", default=",".join(MODELS), help="of steps, A,B")
    parser.add_argument("--objectives", default=",".join(OBJECTIVES), help="likewise")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--level", type=int, default=1, help="of the feature images")
    parser.add_argument("--output", type=pathlib.Path, default=RESULTS)
    options = parser.parse_args(argv)
    parts = options.part.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"--part must be of {', '.join(PARTS)}; got {sorted(unknown)}")
    if refuse_unoptimised():
        return 2
    for part in parts:
        measure, describe = PARTS[part]
        print(f"\n{part}", flush=True)
        for row in measure(options):
            print(describe(row), flush=True)
            save(options.output, part, row)
    print(f"\nWritten to {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
