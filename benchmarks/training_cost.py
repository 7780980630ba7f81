"""What it costs to train each arm of the headline: one update, and all of them.

    python -m benchmarks.training_cost

Writes `benchmarks/results/training_cost.json`. One step of each arm as the headline
trains it, attacks included, at the whole radius, on the same batch, in turns; medians
of wall and CPU time. An arm that starts from another has that one's steps in its total.
Validation is left out: it is as often for all.
"""

import argparse
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.measure import refuse_unoptimised, time_calls, write_report
from configs.default import Config
from configs.sweeps import headline
from experiments import cohort, sweep
from experiments.batches import feed
from experiments.cohort import Fold
from experiments.settings import Arm, build_arms
from experiments.train_arm import training_mesh
from wbad_jax import devices, models, training

RESULTS = pathlib.Path(__file__).parent / "results" / "training_cost.json"
_RUNS = ("arms", "best")


def configs_of(mode: str = "full") -> list[Config]:
    """Of the headline's runs whose arms are compared, the first seed."""
    variants = sweep.expand(headline.get_config(mode))
    return [v.config for v in variants if v.name in _RUNS and v.seed == 0]


def updater(arm: Arm, config: Config, fold: Fold) -> Callable[[], Any]:
    """A call that makes one update of an arm, compiled, and waits for it."""
    mesh = training_mesh(config)
    step = training.make_train_step(
        arm.objective, arm.optimizer, average=arm.average,
        weight_perturbation=arm.weight_perturbation,
    )  # fmt: skip
    batch = feed(fold.train, config.training.batch_size, config.seed, mesh)(0)
    key = jax.random.key(config.seed)
    params = devices.replicate(jax.jit(arm.classifier.init)(key), mesh)
    state = training.init_state(params, arm.optimizer)
    radii = {norm: jnp.float32(size) for norm, size in fold.budgets.items()}

    def update():
        nonlocal state
        state, metrics = step(state, batch, key, radii)
        jax.block_until_ready((state, metrics))

    update()
    return update


def with_totals(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows with the CPU seconds of all updates, those of the starting arm included.

    Args:
        rows: Each with `arm`, `init_from`, `steps` and the times of a step; an arm
            stands after the one it starts from.
    """
    totals: dict[str, float] = {"": 0.0}
    done = []
    for row in rows:
        own = row["steps"] * row["step"]["cpu_ms"] / 1e3
        totals[row["arm"]] = totals[row["init_from"]] + own
        done.append({**row, "total_cpu_s": totals[row["arm"]]})
    return done


def report_of(configs: Sequence[Config], rounds: int) -> dict[str, Any]:
    """The results file."""
    updates, rows = {}, []
    (fold,) = cohort.make_folds(configs[0], cohort.load(configs[0]))
    for config in configs:
        for arm in build_arms(config, fold.train.images.shape[1:]):
            if arm.loop is None:
                continue
            print(f"compiling {arm.name}", flush=True)
            updates[arm.name] = updater(arm, config, fold)
            shapes = jax.eval_shape(arm.classifier.init, jax.random.key(0))
            rows.append(
                {
                    "arm": arm.name,
                    "parameters": models.num_parameters(shapes),
                    "steps": config.arm[arm.name].num_steps,
                    "init_from": arm.init_from,
                }
            )
    times = time_calls(updates, rounds)
    return {
        "command": "python -m benchmarks.training_cost",
        "batch": configs[0].training.batch_size,
        "rounds": rounds,
        "rows": with_totals([{**row, "step": times[row["arm"]]} for row in rows]),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the JSON file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--mode", choices=("full", "smoke"), default="full")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--output", type=pathlib.Path, default=RESULTS)
    options = parser.parse_args(argv)
    if refuse_unoptimised() and options.mode == "full":
        return 1
    write_report(report_of(configs_of(options.mode), options.rounds), options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
