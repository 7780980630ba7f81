"""The worker processes that run the attacks: one for JAX, one for PyTorch.

    python -m benchmarks.attack_worker jax      # started by benchmarks.attacks_vs_peers

Two processes, since the threads of one library would disturb the other's. Adversarial
images come back in files, channels last.
"""

import argparse
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.attack_budgets import Budgets, Comparison
from benchmarks.attack_problem import Problem, ProblemSettings, load_problem
from benchmarks.measure import count_repeats, take_sample
from benchmarks.worker import serve
from wbad_jax.devices import use_all_cores


class AttackServer:
    """The requests that both processes answer."""

    def __init__(self, process: str):
        self._process = process
        self._problem: Problem | None = None
        self._runs: dict[str, Callable[[int], Any]] = {}
        self._repeats: dict[str, int] = {}

    def load(self, path: str, settings: dict[str, Any]) -> None:
        """Reads the problem."""
        settings["widths"] = tuple(settings["widths"])
        self._problem = load_problem(path, ProblemSettings(**settings))

    def prepare(
        self,
        library: str,
        model: str,
        comparison: dict[str, Any],
        budgets: dict[str, Any],
        rows: list[int],
        epsilon: float | None,
        timed: bool = False,
    ) -> list[str]:
        """Sets up a library's attack, in place of its last one.

        Returns:
            The names by which to run it: none where there is no such attack; several
            of a peer if `timed`: in PyTorch one for each number of threads and memory
            layout, in JAX on one device and on all.
        """
        assert self._problem is not None
        comparison["peers"] = tuple(comparison["peers"])
        arguments = Comparison(**comparison), Budgets(**budgets), epsilon
        make = _jax_runs if self._process == "jax" else _torch_runs
        found = make(library, self._problem, model, rows, timed, arguments)
        for name in [name for name in self._runs if name.split(",")[0] == library]:
            del self._runs[name]
        self._runs |= found
        return list(found)

    def attack(self, name: str, seed: int, path: str) -> dict[str, Any]:
        """Runs an attack once, writes its images and says how long it took.

        An attack of a library that fails is an answer too: {"error": ...}.
        """
        images = []
        try:
            sample = take_sample(lambda: images.append(self._runs[name](seed)), 1)
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}
        np.save(path, self._as_array(images[0]))
        return sample

    def _as_array(self, images: Any) -> np.ndarray:
        if self._process == "jax":
            return np.asarray(images)
        from benchmarks.torch_models import as_array

        return as_array(images)

    def warm_up(self, name: str, min_seconds: float) -> None:
        """Compiles, and decides how often to repeat the attack in a sample."""
        call = functools.partial(self._runs[name], 0)
        call()
        self._repeats[name] = count_repeats(call, min_seconds) if min_seconds else 1

    def time(self, name: str) -> dict[str, float]:
        """One sample."""
        return take_sample(functools.partial(self._runs[name], 0), self._repeats[name])


def _jax_runs(library, problem, model, rows, timed, arguments):
    from benchmarks import attack_jax

    target = attack_jax.make_target(problem, model, rows)
    split = attack_jax.on_all_devices(target)
    if library == "wbad_jax":
        layouts = {library: split}
    elif timed:
        layouts = {f"{library}, one device": target, f"{library}, all": split}
    else:
        # Peers run operation by operation: on split images that may end in a deadlock
        # of the devices, which wait for each other.
        layouts = {library: target}
    runs = {
        name: attack_jax.RUNS[library](there, *arguments)
        for name, there in layouts.items()
    }
    return {name: run for name, run in runs.items() if run is not None}


def _torch_runs(library, problem, model, rows, timed, arguments):
    import torch

    from benchmarks import attack_torch

    target = attack_torch.make_target(problem, model, rows)
    make = attack_torch.RUNS[library]
    if not timed:
        torch.set_num_threads(attack_torch.THREADS[-1])
        return {library: make(target, *arguments)}

    def on_threads(threads, run, seed):
        torch.set_num_threads(threads)
        return run(seed)

    return {
        f"{library}, {name}": functools.partial(
            on_threads, threads, make(there, *arguments)
        )
        for name, (threads, there) in attack_torch.variants(target).items()
    }


def main() -> None:
    """Serve one process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("process", choices=("jax", "torch"))
    process = parser.parse_args().process
    if process == "jax":
        use_all_cores()
    server = AttackServer(process)
    requests = ("load", "prepare", "attack", "warm_up", "time")
    serve({name: getattr(server, name) for name in requests})


if __name__ == "__main__":
    main()
