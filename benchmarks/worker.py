"""Worker processes that answer one request at a time.

Requests and replies are JSON, one a line, over the worker's standard input and output:
`["time", {"setting": "copy"}]` calls the worker's function `time` with that argument,
and its result comes back. A worker asked nothing sleeps. One that fails ends, and its
parent raises `WorkerDied` with what the worker wrote to standard error.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from typing import Any

_REPOSITORY = pathlib.Path(__file__).parents[1]
_SETTINGS = {
    # Compile times are measured, so nothing may come from a cache on disk.
    "JAX_ENABLE_COMPILATION_CACHE": "0",
    # Several workers share an accelerator, where there is one.
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}


class WorkerDied(RuntimeError):
    """A worker ended before it replied."""


class Worker:
    """The parent's side of a worker process."""

    def __init__(self, module: str, *arguments: str, limit_seconds: float = 600):
        """Start `python -m module arguments...`.

        Args:
            module: A module whose main part calls `serve`.
            *arguments: Its command line.
            limit_seconds: A worker that takes longer over one reply is killed.
        """
        self.name = " ".join([module, *arguments])
        self._limit_seconds = limit_seconds
        # A file, not a pipe: a worker with much to say must not wait for a reader.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=_REPOSITORY,
            env={**os.environ, **_SETTINGS},
            text=True,
        )

    def ask(self, function: str, **arguments: Any) -> Any:
        """Calls a function of the worker and waits for its result.

        Raises:
            WorkerDied: If the worker ends, or takes too long, before it replies.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        timer = threading.Timer(self._limit_seconds, self._process.kill)
        timer.start()
        try:
            print(json.dumps([function, arguments]), file=self._process.stdin)
            self._process.stdin.flush()
            reply = self._process.stdout.readline()
        except BrokenPipeError:
            reply = ""
        finally:
            timer.cancel()
        if not reply.endswith("\n"):
            raise WorkerDied(self._describe_end(function))
        return json.loads(reply)

    def close(self) -> None:
        """Ends the worker: its input is closed, and what still runs is killed."""
        try:
            self._process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        self._errors.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _describe_end(self, function: str) -> str:
        status = self._process.wait()
        self._errors.seek(0)
        text = self._errors.read().decode(errors="replace").strip()
        return (
            f"{self.name} ended with status {status} while asked to {function!r}; "
            f"it wrote:\n{text}"
        )


def serve(functions: Mapping[str, Callable[..., Any]]) -> None:
    """The worker's side: answers requests until the parent closes the pipe."""
    with os.fdopen(os.dup(1), "w") as replies:
        os.dup2(2, 1)  # what a library prints must not mix with the replies
        for line in sys.stdin:
            function, arguments = json.loads(line)
            result = functions[function](**arguments)
            print(json.dumps(result), file=replies, flush=True)
