"""SIGTERM and SIGINT: a request to stop, heeded where nothing is lost."""

import contextlib
import signal
import threading
from collections.abc import Iterator

from wbad_jax.training import StopRequestedError

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Whether a signal has asked to stop.

    Training polls it after each step, evaluation before each batch. Where there is
    nothing to poll from, `at_once` interrupts. A second signal interrupts anywhere.
    """

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
        before = [signal.signal(number, self._handle) for number in _SIGNALS]
        try:
            yield
        finally:
            for number, handler in zip(_SIGNALS, before, strict=True):
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
