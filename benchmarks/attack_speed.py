"""Times of the same attack on the same images in several libraries, in turn."""

import collections
import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.attack_budgets import COMPARISONS, Budgets
from benchmarks.attack_problem import EPSILONS
from benchmarks.measure import sample_medians
from benchmarks.worker import Worker

# Threads that have just worked spin for a moment before they sleep.
SETTLE_SECONDS = 0.2
CLOCKS = ("wall", "cpu")
_MLP_EPSILON, _MLP_SECONDS = 0.05, 0.2


@dataclasses.dataclass(frozen=True)
class Race:
    """One attack on one model.

    Attributes:
        attack: Name of the attack and norm, such as "pgd linf".
        model: A trained model, or the toy called "mlp".
        peers: Whom to be faster than.
        goal: How many times as fast, at least.
    """

    attack: str
    model: str
    peers: tuple[str, ...]
    goal: float


_AUTOATTACK = ("torchattacks", "pyautoattack")
RACES = (
    Race("pgd linf", "standard", ("torchattacks",), 1.0),
    Race("apgd linf", "standard", _AUTOATTACK, 1.0),
    Race("pgd linf", "denoised", ("torchattacks",), 1.3),
    Race("apgd linf", "denoised", _AUTOATTACK, 1.3),
    Race("pgd linf", "mlp", ("foolbox",), 20.0),
    Race("pgd linf", "standard", ("foolbox",), 1.0),
    Race("cw l2", "standard", ("foolbox",), 1.0),
    Race("ddn l2", "standard", ("foolbox",), 1.0),
    Race("fab linf", "standard", _AUTOATTACK, 1.0),
    Race("square linf", "standard", _AUTOATTACK, 1.0),
)


def choose_races(models: Sequence[str], attacks: str) -> list[Race]:
    """Those on one of the models and with one of the substrings `A,B` in the name."""
    return [
        race
        for race in RACES
        if race.model in (*models, "mlp")
        and any(part in race.attack for part in attacks.split(","))
    ]


def run_races(
    races: Sequence[Race],
    workers: Mapping[str, Worker],
    budgets: Budgets,
    images: Mapping[str, Sequence[int]],
    rounds: int,
) -> Iterator[dict[str, Any]]:
    """One row per race.

    Args:
        races: What to time.
        workers: Of each library.
        budgets: Steps of each attack.
        images: Rows of the test images to attack, of each model. All should be
            classified right: some libraries leave out the others.
        rounds: Samples of each library.
    """
    for race in races:
        libraries = [p for p in ("wbad_jax", *race.peers) if p in workers]
        chosen = images.get(race.model, ())
        yield _run_race(race, libraries, workers, budgets, chosen, rounds)


def _run_race(race, libraries, workers, budgets, images, rounds) -> dict[str, Any]:
    comparison = next(c for c in COMPARISONS if c.name == race.attack)
    epsilon = EPSILONS.get(race.model, _MLP_EPSILON)
    turns, row = [], {**dataclasses.asdict(race), "images": len(images)}
    for library in libraries:
        names = workers[library].ask(
            "prepare", library=library, model=race.model, timed=True,
            comparison=dataclasses.asdict(comparison), rows=list(images),
            budgets=dataclasses.asdict(budgets),
            epsilon=None if comparison.minimal else epsilon,
        )  # fmt: skip
        if library == "wbad_jax" and not names:
            return {**row, "note": "no such attack"}
        turns += [(workers[library], name) for name in names]
    min_seconds = _MLP_SECONDS if race.model == "mlp" else 0.0
    for worker, name in turns:
        worker.ask("warm_up", name=name, min_seconds=min_seconds)
    samples = collections.defaultdict(list)
    for _ in range(rounds):
        for worker, name in turns:
            time.sleep(SETTLE_SECONDS)
            samples[name].append(worker.ask("time", name=name))
    row["times"] = {name: sample_medians(taken) for name, taken in samples.items()}
    return add_speedups(row)


def add_speedups(row: dict[str, Any]) -> dict[str, Any]:
    """Adds the speed-up over each peer, whose better variant counts on each clock."""
    times = row["times"]
    best: dict[str, dict[str, float]] = collections.defaultdict(dict)
    for name, spent in times.items():
        kept = best[name.split(",")[0]]
        for clock in CLOCKS:
            taken = spent[f"{clock}_ms"]
            kept[clock] = min(taken, kept.get(clock, taken))
    ours = best.pop("wbad_jax")
    row["speedup"] = {
        peer: {clock: spent[clock] / ours[clock] for clock in CLOCKS}
        for peer, spent in best.items()
    }
    if best:
        row["holds"] = all(
            ratio[clock] >= row["goal"]
            for ratio in row["speedup"].values()
            for clock in CLOCKS
        )
    return row


def describe(row: Mapping[str, Any]) -> str:
    """One line of the table."""
    line = f"{row['attack']:<12}{row['model']:<10}"
    if "note" in row:
        return f"{line}{row['note']}"
    ours = row["times"]["wbad_jax"]
    line += f"wall {ours['wall_ms']:8.1f} ms, cpu {ours['cpu_ms']:8.1f} ms"
    for peer, ratio in row["speedup"].items():
        line += f"; {ratio['wall']:.2f} x {peer} (cpu {ratio['cpu']:.2f})"
    line += f"; goal {row['goal']:g} x"
    return line + ("" if row.get("holds", True) else ", MISSED")
