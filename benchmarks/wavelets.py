"""Times the wavelet transforms against jaxwt and PyWavelets.

    python benchmarks/wavelets.py --rounds=20

Two jobs on random images, in single precision and mode "symmetric": `forward` is
`waverec2(wavedec2(x))`; `gradient` is the value and the gradient by x and t
of `sum(waverec2(soft(wavedec2(x), t)) ** 2)`. jaxwt gets images in its native layout
`[batch * channels, height, width]`. All libraries are timed in turn, round after round,
so that other load on the machine strikes all alike; the medians of wall time and of CPU
time over all threads are reported. The ratios matter, not the milliseconds.
"""

import argparse
import collections
import pathlib
import statistics
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import jaxwt
import numpy as np
import pywt

from benchmarks.measure import refuse_unoptimised, time_calls, write_report
from wbad_jax import wavelets

RESULTS = pathlib.Path(__file__).parent / "results" / "wavelets.json"
SHAPES = ((64, 64, 64, 1), (32, 128, 128, 1))
NAMES = ("haar", "db4", "sym4")
LEVELS = (1, 2, 3)
THRESHOLD = 0.1
# Both implementations sum in single precision, in different orders.
RELATIVE_TOLERANCE = 1e-4


def soft(c: jax.Array, t: jax.Array) -> jax.Array:
    """Soft threshold, the same for all libraries."""
    return jnp.sign(c) * jnp.maximum(jnp.abs(c) - t, 0)


def make_jobs(decompose: Callable, reconstruct: Callable) -> dict[str, Callable]:
    """Compiled `forward(x)` and `gradient(x, t)` of a pair of transforms."""

    def loss(x, t):
        approx, *details = decompose(x)
        shrunk = jax.tree.map(lambda c: soft(c, t), details)
        return jnp.sum(reconstruct([approx, *shrunk]) ** 2)

    return {
        "forward": jax.jit(lambda x, t: reconstruct(decompose(x))),
        "gradient": jax.jit(jax.value_and_grad(loss, argnums=(0, 1))),
    }


def make_case(
    shape: tuple[int, ...], name: str, level: int
) -> dict[tuple[str, str], Callable[[], Any]]:
    """Calls to time, by (job, library)."""
    batch, height, width, channels = shape
    images = np.random.default_rng(0).uniform(size=shape).astype(np.float32)
    folded = np.moveaxis(images, -1, 1).reshape(batch * channels, height, width)
    t = jnp.float32(THRESHOLD)
    libraries = {
        "wbad_jax": (
            jnp.asarray(images),
            make_jobs(
                lambda x: wavelets.wavedec2(x, name, "symmetric", level),
                lambda c: wavelets.waverec2(c, name, "symmetric", (height, width)),
            ),
        ),
        "jaxwt": (
            jnp.asarray(folded),
            make_jobs(
                lambda x: jaxwt.wavedec2(x, name, mode="symmetric", level=level),
                lambda c: jaxwt.waverec2(c, name),
            ),
        ),
    }
    calls: dict[tuple[str, str], Callable[[], Any]] = {
        (job, library): lambda f=function, x=x: jax.block_until_ready(f(x, t))
        for library, (x, jobs) in libraries.items()
        for job, function in jobs.items()
    }
    calls["forward", "pywavelets"] = lambda: pywt.waverec2(
        pywt.wavedec2(folded, name, "symmetric", level), name, "symmetric"
    )
    return calls


def check_agreement(outputs: dict[tuple[str, str], Any]) -> None:
    """Raises AssertionError unless all libraries computed the same."""
    for (job, library), output in outputs.items():
        if library == "wbad_jax":
            continue
        mine = outputs[job, "wbad_jax"]
        for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(output), strict=True):
            scale = float(np.max(np.abs(b)))
            worst = float(np.max(np.abs(np.ravel(a) - np.ravel(b))))
            assert worst <= RELATIVE_TOLERANCE * scale, (job, library, worst, scale)


def run_case(
    shape: tuple[int, ...], name: str, level: int, rounds: int, min_seconds: float
) -> list[dict[str, Any]]:
    """One row per job, with the times of every library and their ratios."""
    calls = make_case(shape, name, level)
    check_agreement({key: call() for key, call in calls.items()})
    times = time_calls(calls, rounds, min_seconds)
    rows = []
    for job in ("forward", "gradient"):
        mine = times[job, "wbad_jax"]
        row = {"job": job, "shape": shape, "wavelet": name, "level": level}
        row["taps"] = pywt.Wavelet(name).dec_len
        for (other_job, library), measured in times.items():
            if other_job != job:
                continue
            row[library] = measured
            if library != "wbad_jax":
                row[f"speedup_{library}"] = {
                    clock: measured[clock] / mine[clock] for clock in measured
                }
        rows.append(row)
    return rows


def summarize(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Geometric means of the speed-ups, by job, number of taps and library."""
    groups = collections.defaultdict(list)
    for row in rows:
        for key in row:
            if key.startswith("speedup_"):
                library = key.removeprefix("speedup_")
                groups[row["job"], row["taps"], library].append(row[key])
    return [
        {
            "job": job,
            "taps": taps,
            "against": library,
            "cases": len(speedups),
            "wall": statistics.geometric_mean(s["wall_ms"] for s in speedups),
            "cpu": statistics.geometric_mean(s["cpu_ms"] for s in speedups),
            "worst_wall": min(s["wall_ms"] for s in speedups),
        }
        for (job, taps, library), speedups in sorted(groups.items())
    ]


def print_row(row: dict[str, Any]) -> None:
    """One line of the table: milliseconds of wall time, and speed-ups."""
    line = f"{row['job']:<9}{'x'.join(map(str, row['shape'])):<14}{row['wavelet']:<6}"
    line += f"{row['level']:<3}"
    for library in ("wbad_jax", "jaxwt", "pywavelets"):
        line += f"{row[library]['wall_ms']:10.2f}" if library in row else f"{'-':>10}"
    for key in ("speedup_jaxwt", "speedup_pywavelets"):
        for clock in ("wall_ms", "cpu_ms"):
            line += f"{row[key][clock]:8.1f}" if key in row else f"{'-':>8}"
    print(line, flush=True)


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15, help="rounds per case")
    parser.add_argument("--min_seconds", type=float, default=0.02, help="per sample")
    parser.add_argument("--smoke", action="store_true", help="one small case only")
    parser.add_argument("--output", type=pathlib.Path, default=RESULTS)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark, prints a table and writes the JSON file."""
    options = parse_arguments(argv)
    if refuse_unoptimised():
        return 2
    cases = [(s, n, k) for s in SHAPES for n in NAMES for k in LEVELS]
    if options.smoke:
        cases = [((2, 16, 16, 1), "haar", 1)]
    print(
        f"{'job':<9}{'shape':<14}{'filter':<6}{'L':<3}{'wbad ms':>10}{'jaxwt':>10}"
        f"{'pywt':>10}{'x jaxwt':>8}{'(cpu)':>8}{'x pywt':>8}{'(cpu)':>8}"
    )
    rows = []
    for case in cases:
        for row in run_case(*case, options.rounds, options.min_seconds):
            print_row(row)
            rows.append(row)
    summary = summarize(rows)
    print("\nGeometric means of the speed-ups")
    for entry in summary:
        print(
            f"{entry['job']:<9}{entry['taps']:>2} taps  against {entry['against']:<11}"
            f"wall {entry['wall']:5.1f}  cpu {entry['cpu']:5.1f}  "
            f"worst wall {entry['worst_wall']:5.1f}  ({entry['cases']} cases)"
        )
    report = {"rounds": options.rounds, "summary": summary, "rows": rows}
    write_report(report, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
