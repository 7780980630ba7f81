"""Steps of a computation whose results are worth keeping in memory.

XLA:CPU fuses whatever it may, so it would compute the result of one step anew for every
element of the next one that reads it. A stage is compiled as a function of its own,
which is never inlined. Elsewhere the compiler is left free.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
from jax.experimental.xla_metadata import set_xla_metadata

# `stage(function, *arrays, **static)` returns `function(*arrays, **static)`.
Stage = Callable[..., Any]


def inline(function: Callable, *arrays: Any, **static: Any) -> Any:
    """The stage that leaves the compiler free."""
    return function(*arrays, **static)


def separately(function: Callable, *arrays: Any, **static: Any) -> Any:
    """The stage whose results are computed once and kept in memory.

    Not `jax.lax.optimization_barrier`: the XLA of JAX 0.10 drops barriers before it
    fuses.
    """
    # One function object per set of static arguments: equal stages are traced, lowered
    # and compiled once.
    with set_xla_metadata(inlineable="false"):
        return _jitted(function, tuple(sorted(static.items())))(*arrays)


def default_stage() -> Stage:
    """The stage for the default backend."""
    return separately if jax.default_backend() == "cpu" else inline


def in_order(first: Any, then: Any) -> tuple[Any, Any]:
    """Both; on CPU nothing computes on `then` before `first` is there.

    There devices that share a batch may run independent exchanges in different orders,
    and then wait for each other.
    """
    return default_stage()(_both, first, then)


def _both(first, then):
    return first, then


@functools.cache
def _jitted(function: Callable, static: tuple[tuple[str, Any], ...]) -> Callable:
    def run(*arrays: Any) -> Any:
        # The mark is for this function, not for those that it calls: `jnp.pad` and many
        # others are compiled functions themselves.
        with set_xla_metadata(inlineable=None):
            return function(*arrays, **dict(static))

    return jax.jit(run)
