"""The worker processes that train: for JAX, for PyTorch, and for parts on one device.

    python -m benchmarks.training_worker jax   # started by benchmarks.training_vs_torch

Two processes, since the threads of one library would disturb the other's.
"""

import argparse
from collections.abc import Callable
from typing import Any

from benchmarks import training_kernels
from benchmarks.measure import count_repeats, take_sample
from benchmarks.training_problem import StepSettings
from benchmarks.worker import serve
from wbad_jax.devices import use_all_cores

Calls = dict[str, Callable[[], Any]]


class TrainingServer:
    """The requests that both processes answer."""

    def __init__(self, process: str):
        self._process = process
        self._calls: Calls = {}
        self._repeats: dict[str, int] = {}

    def prepare(self, kind: str, settings: dict[str, Any]) -> list[str]:
        """Sets up what is to be timed, in place of what was before.

        Args:
            kind: "step", "plain flax", "components" or "kernels".
            settings: Fields of `StepSettings`; not for "kernels".

        Returns:
            The names by which to ask for times.
        """
        if kind == "kernels":
            self._calls = training_kernels.kernel_calls()
        else:
            make = _jax_calls if self._process == "jax" else _torch_calls
            self._calls = make(kind, StepSettings(**settings))
        return list(self._calls)

    def warm_up(self, name: str, min_seconds: float = 0.0) -> dict[str, float]:
        """Runs it once, and says how long that took, with compilation."""
        call = self._calls[name]
        sample = take_sample(call, 1)
        self._repeats[name] = count_repeats(call, min_seconds) if min_seconds else 1
        return sample

    def time(self, name: str) -> dict[str, float]:
        """One sample."""
        return take_sample(self._calls[name], self._repeats[name])

    def account(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Operations of the parts of a step and the memory that it needs."""
        from benchmarks import training_jax

        chosen = StepSettings(**settings)
        return {
            "operations": training_jax.count_operations(chosen),
            "memory": training_jax.peak_memory(chosen),
        }


def _jax_calls(kind: str, settings: StepSettings) -> Calls:
    from benchmarks import training_jax

    if kind == "components":
        return dict(training_jax.component_calls(settings))
    make = {"step": training_jax.step_call, "plain flax": training_jax.plain_flax_call}
    name = "wbad_jax" if kind == "step" else kind
    return {name: make[kind](settings)}


def _torch_calls(kind: str, settings: StepSettings) -> Calls:
    from benchmarks import training_torch

    assert kind == "step", kind
    calls = training_torch.step_calls(settings)
    return {f"torch, {name}": call for name, call in calls.items()}


def main() -> None:
    """Serve one process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("process", choices=("jax", "torch", "kernels"))
    process = parser.parse_args().process
    if process == "jax":
        use_all_cores()
    server = TrainingServer(process)
    requests = ("prepare", "warm_up", "time", "account")
    serve({name: getattr(server, name) for name in requests})


if __name__ == "__main__":
    main()
