"""Several processes, on one machine or many, that train or attack as one.

Each runs the same program on its own devices, and JAX moves what must be moved. What
only one may do, such as writing files, process 0 does; all must see the same folders.
With one process nothing here waits. `jax.distributed.initialize` has to come first.
"""

import hashlib
from collections.abc import Callable
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

T = TypeVar("T")
_MESSAGE_BYTES = 2000


class FirstProcessError(RuntimeError):
    """Process 0 failed in what the others waited for."""


def is_first() -> bool:
    """Whether this is process 0, the one that writes files and speaks."""
    return jax.process_index() == 0


def wait_for_all(place: str) -> None:
    """Returns once all processes are there.

    Args:
        place: Name of the place in the program; another one elsewhere is an error.
    """
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(place)


def all_agree(flag: bool) -> bool:
    """Whether `flag` is true in every process; the same answer in all."""
    if jax.process_count() == 1:
        return flag
    return bool(np.all(multihost_utils.process_allgather(np.array(flag))))


def as_first(flag: bool) -> bool:
    """The `flag` of process 0, in every process."""
    if jax.process_count() == 1:
        return flag
    return bool(multihost_utils.broadcast_one_to_all(np.array(flag)))


def all_equal(text: str) -> bool:
    """Whether `text` is the same in every process."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return jax.process_count() == 1 or all_agree(_text_of_first(digest) == digest)


def on_first(action: Callable[[], T]) -> T | None:
    """Runs `action` in process 0 while the others wait.

    Returns:
        What `action` returns; None in the other processes.

    Raises:
        FirstProcessError: In the other processes, if it failed there; process 0 raises
            the error itself.
    """
    if jax.process_count() == 1:
        return action()
    result = error = None
    if is_first():
        try:
            result = action()
        except Exception as raised:  # the others must not wait forever
            error = raised
    reason = _text_of_first(str(error) or repr(error) if error else "")
    if error is not None:
        raise error
    if reason:
        raise FirstProcessError(f"Process 0 failed: {reason}")
    return result


def _text_of_first(text: str) -> str:
    encoded = text.encode()[:_MESSAGE_BYTES]
    padded = np.zeros(_MESSAGE_BYTES, np.uint8)
    padded[: len(encoded)] = np.frombuffer(encoded, np.uint8)
    received = np.asarray(multihost_utils.broadcast_one_to_all(padded), np.uint8)
    return received.tobytes().rstrip(b"\0").decode(errors="replace")
