"""What an attack costs beside its gradients and forward passes, and to compile.

    python -m benchmarks.attack_overhead       # started by benchmarks.attacks_vs_peers

Gradients and forward passes are counted while the attack runs. Its cost is compared
with so many calls of one jitted gradient and one jitted forward pass, on the same
images in the same process and rounds; its arithmetic with the peak of a matrix product.
"""

import collections
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.attack_budgets import COMPARISONS, Budgets
from benchmarks.attack_jax import (
    Target,
    jitted_attack,
    make_target,
    on_all_devices,
    own_attack,
)
from benchmarks.attack_problem import EPSILONS, ProblemSettings, load_problem
from benchmarks.measure import take_sample, time_calls
from benchmarks.worker import serve
from wbad_jax import attacks, devices
from wbad_jax.types import LogitsFn

MOST_OVERHEAD, MOST_COMPILE_SECONDS = 1.15, 10.0
_MATRIX = 2048


def count_passes(logits_fn: LogitsFn, counts: collections.Counter) -> LogitsFn:
    """The same function; counts passes as they run, those with a gradient apart."""

    def count(kind):
        jax.debug.callback(lambda: counts.update([kind]))

    @jax.custom_vjp
    def counted(images):
        count("forwards")
        return logits_fn(images)

    def forward(images):
        count("gradients")
        return jax.vjp(logits_fn, images)

    counted.defvjp(forward, lambda pull, cotangent: pull(cotangent))
    return counted


def count_attack(
    target: Target, attack: attacks.Attack, epsilon: float | None
) -> dict[str, int]:
    """How many gradients and forward passes an attack takes on these images."""
    counts = collections.Counter(gradients=0, forwards=0)
    counted = count_passes(target.logits_fn, counts)
    there = target._replace(apply=lambda _, images: counted(images))
    jax.block_until_ready(_call(there, attack, epsilon)())
    jax.effects_barrier()
    return dict(counts)


def time_compilation(
    target: Target, attack: attacks.Attack, epsilon: float | None
) -> dict[str, float]:
    """Milliseconds to trace and compile an attack."""
    lowered = jitted_attack(target, attack).lower
    return take_sample(lambda: lowered(*_arguments(target, epsilon)).compile(), 1)


def measure(
    path: str,
    settings: dict[str, Any],
    model: str,
    attack: str,
    budgets: dict[str, Any],
    rows: list[int],
    rounds: int,
) -> dict[str, Any]:
    """One row: costs, counts and overhead of the attack called "pgd linf" or so."""
    settings["widths"] = tuple(settings["widths"])
    problem = load_problem(path, ProblemSettings(**settings))
    target = make_target(problem, model, rows)
    comparison = next(c for c in COMPARISONS if c.name == attack)
    row: dict[str, Any] = {"model": model, "attack": attack, "images": len(rows)}
    chosen = own_attack(comparison, Budgets(**budgets))
    if chosen is None:
        return {**row, "note": "no such attack"}
    epsilon = None if comparison.minimal else EPSILONS[model]
    # A callback runs on each device: counted on one.
    row |= count_attack(target, chosen, epsilon)
    jax.clear_caches()
    target = on_all_devices(target)
    row["compile"] = time_compilation(target, chosen, epsilon)
    calls = {"attack": _call(target, chosen, epsilon), **_passes(target)}
    for call in calls.values():
        call()  # compiled before the clock starts
    row["times"] = time_calls(calls, rounds)
    row["overhead"] = {
        clock: row["times"]["attack"][f"{clock}_ms"]
        / sum(
            row[f"{kind}s"] * row["times"][kind][f"{clock}_ms"]
            for kind in ("gradient", "forward")
        )
        for clock in ("wall", "cpu")
    }
    row["gigaflops"] = (
        _operations(target, row) / row["times"]["attack"]["wall_ms"] / 1e6
    )
    row["peak_gigaflops"] = (
        2e-6 * _MATRIX**3 / row["times"]["matrix product"]["wall_ms"]
    )
    return row


def _arguments(target: Target, epsilon: float | None) -> tuple[Any, ...]:
    return target.params, jax.random.key(0), target.images, target.labels, epsilon


def _call(target: Target, attack: attacks.Attack, epsilon) -> Callable[[], Any]:
    run = jitted_attack(target, attack)
    arguments = _arguments(target, epsilon)
    return lambda: jax.block_until_ready(run(*arguments))


def _functions(target: Target) -> dict[str, Callable]:
    """One forward pass, and one gradient of the margin with the logits beside it."""

    def total(images, params):
        logits = target.apply(params, images)
        return jnp.sum(attacks.margin_loss(logits, target.labels)), logits

    return {
        "gradient": jax.jit(jax.grad(total, has_aux=True)),
        "forward": jax.jit(lambda images, params: target.apply(params, images)),
    }


def _passes(target: Target) -> dict[str, Callable[[], Any]]:
    """Calls to compare with; each waits for its result."""
    matrix = jax.random.normal(jax.random.key(0), (_MATRIX, _MATRIX))
    product = jax.jit(jnp.matmul)

    def call(function, *arguments):
        return jax.block_until_ready(function(*arguments))

    calls = {
        name: functools.partial(call, function, target.images, target.params)
        for name, function in _functions(target).items()
    }
    return {**calls, "matrix product": functools.partial(call, product, matrix, matrix)}


def _operations(target: Target, row: dict[str, Any]) -> float:
    """Floating point operations of the passes, as XLA counts before it compiles."""
    return sum(
        row[f"{kind}s"]
        * function.lower(target.images, target.params).cost_analysis()["flops"]
        for kind, function in _functions(target).items()
    )


def describe(row: dict[str, Any]) -> str:
    """One line of the table."""
    line = f"{row['attack']:<12}{row['model']:<10}"
    if "note" in row:
        return f"{line}{row['note']}"
    over, share = row["overhead"], row["gigaflops"] / row["peak_gigaflops"]
    line += f"{row['gradients']:>5} gradients {row['forwards']:>5} forwards  "
    line += f"cost / passes: wall {over['wall']:.2f}, cpu {over['cpu']:.2f}"
    line += "" if max(over.values()) <= MOST_OVERHEAD else " TOO MUCH"
    seconds = row["compile"]["wall_ms"] / 1e3
    line += f"  {share:.0%} of peak  compile {seconds:.1f} s"
    return line + ("" if seconds <= MOST_COMPILE_SECONDS else " TOO LONG")


if __name__ == "__main__":
    devices.use_all_cores()
    serve({"measure": measure})
