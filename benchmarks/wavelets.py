"""Times the wavelet transforms against jaxwt, ptwt and PyWavelets.

    python -m benchmarks.wavelets
    python -m benchmarks.wavelets --cases="64x64x64x1 haar 1,compile" --rounds=5

One process a library; round after round each in turn times the case at hand while the
others sleep, so that other load on the machine strikes all alike and no library's
threads compete with another's. Reported are medians of wall time and of CPU time over
all threads, speed-ups, and the times of wbad_jax in copies: multiples of `1.5 * x` of
the same array, jitted, in the same process and rounds. Of ptwt on one thread and on
all, the better counts, case by case and clock by clock. The ratios matter, not the
milliseconds.

`benchmarks/wavelet_libraries.py` defines the jobs, `wavelet_parts.py` what is measured
of the denoiser's parts: noise level, soft threshold, stationary transform, backend
"matmul", compile times.
"""

import argparse
import collections
import contextlib
import dataclasses
import importlib.util
import itertools
import pathlib
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pywt

from benchmarks import wavelet_summary
from benchmarks.measure import refuse_unoptimised, sample_medians, write_report
from benchmarks.wavelet_libraries import JOBS, LIBRARIES, Case, check_agreement
from benchmarks.wavelet_parts import Part, list_parts
from benchmarks.worker import Worker, WorkerDied

RESULTS = pathlib.Path(__file__).parent / "results" / "wavelets.json"
SHAPES = ((64, 64, 64, 1), (32, 128, 128, 1), (16, 224, 224, 3))
NAMES = ("haar", "db4", "sym4", "db10")
LEVELS = (1, 2, 3)
MODES = ("symmetric", "periodization")
COMPILE_REPEATS = 3
# Threads that have just worked spin for a moment before they sleep.
SETTLE_SECONDS = 0.01
# A job and case past this time gets no more rounds, once it has had the fewest.
CASE_SECONDS, FEWEST_ROUNDS = 15.0, 3


def choose_libraries(wanted: str) -> list[str]:
    """wbad_jax and those wanted that are installed; a word about the others."""
    libraries = ["wbad_jax"]
    modules = {"jaxwt": ["jaxwt"], "ptwt": ["ptwt", "torch"], "pywavelets": ["pywt"]}
    for library in wanted.split(","):
        if library not in LIBRARIES:
            known = ", ".join(LIBRARIES)
            raise SystemExit(f"--libraries must be of {known}; got {library!r}.")
        missing = [m for m in modules.get(library, ()) if not _installed(m)]
        if missing:
            print(f"Without {library}: {' and '.join(missing)} not installed.")
        elif library not in libraries:
            libraries.append(library)
    return libraries


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def choose_cases(options: argparse.Namespace) -> tuple[list[Case], list[Part]]:
    """Cases and parts whose name contains one of the substrings in `--cases`."""
    shapes, names, levels, modes = SHAPES, NAMES, LEVELS, MODES
    if options.smoke:
        shapes, names, levels, modes = ((2, 16, 16, 1),), ("haar",), (1,), MODES[:1]
    cases = [Case(s, n, k) for s in shapes for n in names for k in levels]
    parts = list_parts(shapes, names, modes)
    wanted = options.cases.split(",")

    def chosen(thing: Case | Part) -> bool:
        return any(substring in thing.name for substring in wanted)

    return list(filter(chosen, cases)), list(filter(chosen, parts))


def prepare(
    workers: Mapping[str, Worker], case: Case, job: str, min_seconds: float
) -> list[tuple[Worker, str]]:
    """Compiles a job in every worker and compares the results; the settings to time."""
    turns: list[tuple[Worker, str]] = []
    fingerprints: dict[str, dict[str, float]] = {}
    request = {**dataclasses.asdict(case), "job": job, "min_seconds": min_seconds}
    for worker in workers.values():
        found = worker.ask("prepare", **request)
        turns += [(worker, setting) for setting in found]
        fingerprints |= found
    try:
        check_agreement(fingerprints)
    except AssertionError as error:
        raise AssertionError(f"{job} {case.name}: {error}") from None
    return turns


def run_job(
    workers: Mapping[str, Worker], case: Case, job: str, rounds: int, min_seconds: float
) -> dict[str, Any]:
    """One row: the job timed in rounds, fewer where they take long."""
    turns = prepare(workers, case, job, min_seconds)
    samples = collections.defaultdict(list)
    start = time.monotonic()
    for done in range(rounds):
        if done >= FEWEST_ROUNDS and time.monotonic() - start > CASE_SECONDS:
            break
        for worker, setting in turns:
            time.sleep(SETTLE_SECONDS)
            samples[setting].append(worker.ask("time", setting=setting))
    row: dict[str, Any] = {
        "job": job,
        "shape": case.shape,
        "wavelet": case.wavelet,
        "taps": pywt.Wavelet(case.wavelet).dec_len,
        "level": case.level,
        "rounds": len(samples["wbad_jax"]),
        "times": {setting: sample_medians(taken) for setting, taken in samples.items()},
    }
    return wavelet_summary.add_ratios(row)


def run_cases(
    libraries: Sequence[str], cases: Sequence[Case], rounds: int, min_seconds: float
) -> list[dict[str, Any]]:
    """One row per case and job, printed as they come."""
    rows = []
    with contextlib.ExitStack() as stack:
        workers = {
            library: stack.enter_context(
                Worker("benchmarks.wavelet_libraries", library)
            )
            for library in libraries
        }
        print(f"{'':<8}{wavelet_summary.HEADER}")
        for case, job in itertools.product(cases, JOBS):
            rows.append(run_job(workers, case, job, rounds, min_seconds))
            progress = f"{len(rows)}/{len(cases) * len(JOBS)}"
            print(f"{progress:<8}{wavelet_summary.describe_row(rows[-1])}", flush=True)
    return rows


def run_parts(
    parts: Sequence[Part], rounds: int, min_seconds: float, repeats: int
) -> list[dict[str, Any]]:
    """One row per part. Compile times come from a process that did nothing before."""
    rows = []
    compiled = [part for part in parts if part.function.startswith("compile")]
    timed = [part for part in parts if part not in compiled]
    timing = {"rounds": rounds, "min_seconds": min_seconds}
    for group, settings in ((compiled, {"repeats": repeats}), (timed, timing)):
        with Worker("benchmarks.wavelet_parts") as worker:
            for part in group:
                measured = worker.ask(part.function, **part.arguments, **settings)
                rows.append({"part": part.name, **part.arguments, **measured})
                print(wavelet_summary.describe_part(rows[-1]), flush=True)
    return rows


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--rounds", type=int, default=9, help="per case, at most")
    add("--min_seconds", type=float, default=0.02, help="length of a sample, at least")
    add("--cases", default="", help="only those with one of these substrings: A,B")
    add("--libraries", default=",".join(LIBRARIES), help="to compare with: A,B")
    add("--smoke", action="store_true", help="one small case, in seconds")
    text = f"default: {RESULTS.name} beside the other results, if nothing was left out"
    add("--output", type=pathlib.Path, help=text)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark, prints tables and writes the JSON file."""
    options = parse_arguments(argv)
    if refuse_unoptimised():
        return 2
    if options.smoke:
        options.rounds, options.min_seconds = min(options.rounds, 3), 0.0
    libraries = choose_libraries(options.libraries)
    cases, parts = choose_cases(options)
    timing = (options.rounds, options.min_seconds)
    start = time.monotonic()
    try:
        repeats = 1 if options.smoke else COMPILE_REPEATS
        part_rows = run_parts(parts, *timing, repeats)
        rows = run_cases(libraries, cases, *timing) if cases else []
    except WorkerDied as error:
        print(error, file=sys.stderr)
        return 1
    summary = wavelet_summary.summarize(rows)
    if summary:
        print("\nGeometric means of the speed-ups, and of the times in copies")
    for entry in summary:
        print(wavelet_summary.describe_entry(entry))
    report = {
        "rounds": options.rounds,
        "min_seconds": options.min_seconds,
        "seconds": round(time.monotonic() - start),
        "summary": summary,
        "rows": rows,
        "parts": part_rows,
    }
    partial = options.smoke or options.cases or len(libraries) < len(LIBRARIES)
    if options.output or not partial:
        write_report(report, options.output or RESULTS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
