"""Compares the attacks with Foolbox, torchattacks, ART and pyautoattack.

    python -m benchmarks.attacks_vs_peers
    python -m benchmarks.attacks_vs_peers --part=strength --images=64 --seeds=1
    python -m benchmarks.attacks_vs_peers --part=speed --attacks=pgd,apgd --rounds=3

The same trained networks (`attack_problem.py`), in PyTorch with the same weights
(`torch_models.py`), and the same images, in three parts. "strength": success rates and
distances at equal budget, mean of some seeds, all judged by one model. "speed": wall
and CPU time of each library in turn, round after round; of PyTorch on one thread and on
all and in both memory layouts, the best counts. "overhead": what an attack costs beside
its gradients and forward passes, and to compile.

Rows are written as they come and replace those of the same name, so that a part can be
run in pieces, or again after it was stopped; with other settings it starts anew. The
ratios matter, not the milliseconds.
"""

import argparse
import contextlib
import dataclasses
import json
import pathlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from benchmarks import attack_overhead, attack_speed, attack_strength
from benchmarks.attack_budgets import (
    PEERS,
    Budgets,
    choose_comparisons,
    choose_libraries,
    sorted_by_process,
)
from benchmarks.attack_problem import (
    MODELS,
    Problem,
    ProblemSettings,
    load_problem,
    train_networks,
)
from benchmarks.measure import describe_machine, refuse_unoptimised
from benchmarks.worker import Worker, WorkerDied

RESULTS = pathlib.Path(__file__).parent / "results" / "attacks_vs_peers.json"
MODULES = {
    "strength": attack_strength,
    "speed": attack_speed,
    "overhead": attack_overhead,
}
PARTS = tuple(MODULES)
# Networks of the default size where time counts, smaller ones where many images do.
WIDTHS = {"strength": (16, 32), "speed": (32, 64), "overhead": (32, 64)}
_LIMIT_SECONDS = 6 * 3600.0


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--part", default=",".join(PARTS), help="of them, comma-separated")
    add("--models", default=",".join(MODELS), help="of them, comma-separated")
    add("--attacks", default="", help="only those with one of these substrings: A,B")
    add("--libraries", default=",".join(PEERS), help="peers to compare with")
    add("--images", type=int, default=1000, help="test images, for strength")
    add("--seeds", type=int, default=3, help="of random attacks, for strength")
    add("--batch", type=int, default=64, help="images, for speed and overhead")
    add("--rounds", type=int, default=5, help="samples, for speed and overhead")
    add("--size", type=int, default=32, help="height and width of the images")
    add("--widths", help="channels of the stages, such as 16,32; by default by part")
    add("--train_steps", type=int, default=400)
    for field in dataclasses.fields(Budgets):
        add(f"--{field.name}", type=type(field.default), default=field.default)
    folder = pathlib.Path(tempfile.gettempdir()) / "wbad_jax_attacks_vs_peers"
    add("--workdir", type=pathlib.Path, default=folder, help="of trained networks")
    add("--output", type=pathlib.Path, default=RESULTS)
    return parser.parse_args(argv)


def make_settings(options: argparse.Namespace, part: str) -> ProblemSettings:
    """The problem of a part."""
    widths = WIDTHS[part]
    if options.widths:
        widths = tuple(map(int, options.widths.split(",")))
    return ProblemSettings(
        size=options.size, widths=widths, num_images=options.images,
        num_steps=options.train_steps,
    )  # fmt: skip


def choose_rows(problem: Problem, model: str, count: int) -> list[int]:
    """The first images that the model classifies right."""
    logits = jax.jit(problem.logits_fn(model))(problem.images)
    right = np.argmax(logits, axis=-1) == problem.labels
    return np.flatnonzero(right)[:count].tolist()


def start_workers(
    stack: contextlib.ExitStack, libraries: Sequence[str], path, settings
) -> dict[str, Worker]:
    """One process for JAX and one for PyTorch, by the library that they serve."""
    workers = {}
    for process, names in sorted_by_process(libraries).items():
        worker = stack.enter_context(
            Worker("benchmarks.attack_worker", process, limit_seconds=_LIMIT_SECONDS)
        )
        worker.ask("load", path=str(path), settings=dataclasses.asdict(settings))
        workers |= dict.fromkeys(names, worker)
    return workers


def run_part(
    options: argparse.Namespace, part: str, libraries: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """The rows of a part, as they come."""
    settings = make_settings(options, part)
    path = train_networks(settings, options.workdir)
    problem, budgets = load_problem(path, settings), make_budgets(options)
    models = [model for model in MODELS if model in options.models.split(",")]
    if part == "overhead":
        yield from run_overhead(options, problem, path, models, budgets)
        return
    with contextlib.ExitStack() as stack:
        workers = start_workers(stack, libraries, path, settings)
        if part == "strength":
            comparisons = choose_comparisons(options.attacks)
            yield from attack_strength.compare(
                problem, workers, models, comparisons, budgets, options.seeds
            )
            return
        races = attack_speed.choose_races(models, options.attacks)
        rows = {m: choose_rows(problem, m, options.batch) for m in models}
        yield from attack_speed.run_races(races, workers, budgets, rows, options.rounds)


def run_overhead(options, problem, path, models, budgets) -> Iterator[dict[str, Any]]:
    """One row per attack and model; each in a process that compiled nothing before."""
    for model in models:
        chosen = choose_rows(problem, model, options.batch)
        for comparison in choose_comparisons(options.attacks):
            with Worker(
                "benchmarks.attack_overhead", limit_seconds=_LIMIT_SECONDS
            ) as worker:
                yield worker.ask(
                    "measure", path=str(path), model=model, attack=comparison.name,
                    settings=dataclasses.asdict(problem.settings), rows=chosen,
                    budgets=dataclasses.asdict(budgets), rounds=options.rounds,
                )  # fmt: skip


def make_budgets(options: argparse.Namespace) -> Budgets:
    """The budgets on the command line."""
    fields = dataclasses.fields(Budgets)
    return Budgets(**{field.name: getattr(options, field.name) for field in fields})


def describe_settings(options: argparse.Namespace, part: str) -> dict[str, Any]:
    """What the numbers of a part depend on."""
    settings = {
        "problem": dataclasses.asdict(make_settings(options, part)),
        "budgets": dataclasses.asdict(make_budgets(options)),
    }
    if part == "strength":
        return {**settings, "seeds": options.seeds}
    return {**settings, "batch": options.batch, "rounds": options.rounds}


def save(
    path: pathlib.Path, part: str, settings: dict[str, Any], row: dict[str, Any]
) -> None:
    """Puts a row into its section of the results file.

    Rows of the same section stay if their settings are the same, but for one of the
    same name.
    """
    report = json.loads(path.read_text()) if path.exists() else {}
    settings, row = json.loads(json.dumps([settings, row]))  # tuples become lists
    section = report.get(part, {})
    rows = section["rows"] if section.get("settings") == settings else []
    machine = describe_machine()
    # Of each row too: a part may be run in pieces on several machines.
    row |= {name: machine[name] for name in ("cpu", "date")}
    rows = [other for other in rows if _name(other) != _name(row)] + [row]
    report[part] = {"machine": machine, "settings": settings, "rows": rows}
    path.parent.mkdir(parents=True, exist_ok=True)
    ordered = {name: report[name] for name in PARTS if name in report}
    path.write_text(json.dumps(ordered, indent=1) + "\n")


def _name(row: dict[str, Any]) -> list[Any]:
    return [row.get(field) for field in ("model", "attack", "peers")]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the parts, prints tables and writes the JSON file."""
    options = parse_arguments(argv)
    parts = options.part.split(",")
    unknown = set(parts) - set(PARTS)
    if unknown:
        raise SystemExit(f"--part must be of {', '.join(PARTS)}; got {unknown}.")
    libraries = choose_libraries(options.libraries)
    if refuse_unoptimised():
        return 2
    try:
        for part in parts:
            print(f"\n{part}", flush=True)
            settings = describe_settings(options, part)
            for row in run_part(options, part, libraries):
                print(MODULES[part].describe(row), flush=True)
                save(options.output, part, settings, row)
    except WorkerDied as error:
        print(error, file=sys.stderr)
        return 1
    print(f"\nWritten to {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
