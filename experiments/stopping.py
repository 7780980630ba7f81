"""SIGTERM and SIGINT: a request to stop, heeded where nothing is lost."""

import contextlib
import itertools
import os
import signal
import threading
from collections.abc import Iterator

import jax
from jax.experimental import multihost_utils

from wbad_jax.training import StopRequestedError


class StopRequest:
    """Whether a signal has asked to stop.

    Training polls it after each step, evaluation before each batch. Where there is
    nothing to poll from, `at_once` interrupts. A second signal interrupts anywhere.
    """

    _signals = (signal.SIGTERM, signal.SIGINT)

    def __init__(self):
        self._asked = threading.Event()
        self._at_once = False

    def __call__(self) -> bool:
        """Whether a signal came."""
        return self._asked.is_set()

    def check(self, message: str) -> None:
        """End here if a signal came.

        Raises:
            StopRequestedError: With the message.
        """
        if self():
            raise StopRequestedError(message)

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Be the handler of both signals. For the main thread."""
        numbers = self._signals
        before = [signal.signal(number, self._handle) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)

    @contextlib.contextmanager
    def at_once(self, message: str) -> Iterator[None]:
        """Interrupt what is done within, as Ctrl-C does, as soon as a signal comes.

        Raises:
            StopRequestedError: With the message.
        """
        self._at_once = True
        try:
            self.check(message)
            yield
        except KeyboardInterrupt:
            raise StopRequestedError(message) from None
        finally:
            self._at_once = False
        # An exception from a handler is lost where Python cannot raise it.
        self.check(message)

    def _handle(self, number: int, _) -> None:
        again = self()
        self._asked.set()
        print(f"\n{signal.Signals(number).name}: saving, then stopping.", flush=True)
        if again or self._at_once:
            raise KeyboardInterrupt


class SharedStopRequest(StopRequest):
    """The same for several processes: a signal to any of them stops all at one poll.

    JAX handles SIGTERM itself here. It tells the other processes, and they agree on the
    number of a later poll, since all poll at the same places. Nothing is interrupted
    at once: one process that ends alone leaves the others waiting.
    """

    _signals = (signal.SIGINT,)

    def __init__(self):
        super().__init__()
        self._polls = itertools.count()
        self._interrupted = False

    def __call__(self) -> bool:
        """Whether a signal came, the same in all processes."""
        if multihost_utils.reached_preemption_sync_point(next(self._polls)):
            self._asked.set()
            print("\nA signal came: saving, then stopping.", flush=True)
        return self._asked.is_set()

    @contextlib.contextmanager
    def at_once(self, message: str) -> Iterator[None]:
        """Stop before or after what is done within.

        Raises:
            StopRequestedError: With the message.
        """
        self.check(message)
        yield
        self.check(message)

    def _handle(self, number: int, _) -> None:
        if self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = True
        os.kill(os.getpid(), signal.SIGTERM)


def stop_request() -> StopRequest:
    """One for as many processes as there are."""
    return SharedStopRequest() if jax.process_count() > 1 else StopRequest()
