"""A profile of a few training steps, for TensorBoard or Perfetto."""

import pathlib

import jax


class StepTrace:
    """Called before each step; traces some of them, once the first are compiled."""

    def __init__(self, folder: pathlib.Path, *, skip: int = 3, count: int = 5):
        """Prepares a trace.

        Args:
            folder: Where to write it.
            skip: Steps before the trace starts.
            count: Steps to trace.
        """
        self._folder = folder
        self._skip = skip
        self._count = count
        self._seen = 0
        self._running = False

    def __call__(self, step: int) -> None:
        """Starts or ends the trace, if it is time."""
        if self._seen == self._skip:
            print(f"Profiling up to {self._count} steps from {step} on.")
            jax.profiler.start_trace(str(self._folder))
            self._running = True
        elif self._seen == self._skip + self._count:
            self.close()
        self._seen += 1

    def close(self) -> None:
        """Ends the trace and writes it; nothing if there is none under way."""
        if not self._running:
            return
        jax.profiler.stop_trace()
        self._running = False
        print(f"Profile written to {self._folder}; open it in TensorBoard.")
