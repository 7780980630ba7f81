"""What a service must bound: bytes, requests a minute, and work under way."""

import asyncio
import concurrent.futures
import dataclasses
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of one process.

    Attributes:
        upload_bytes: Largest file.
        requests_a_minute: Most requests that compute something, of all callers
            together.
        waiting: Most of them that may wait for or be at work.
        upload_seconds: Until a file must have arrived.
        work_seconds: Until an answer must be there.
    """

    upload_bytes: int = 8 * 2**20
    requests_a_minute: int = 60
    waiting: int = 4
    upload_seconds: float = 20.0
    work_seconds: float = 120.0

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise ValueError(f"{field.name} must be positive, got {value}.")


class RefusedError(Exception):
    """A request that is not served; its HTTP status, and why."""

    def __init__(self, status: int, message: str, retry_after: int | None = None):
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class RateLimit:
    """At most so many calls in any minute."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic):
        self._most, self._clock = most, clock
        self._times: deque[float] = deque()
        self._lock = threading.Lock()

    def take(self) -> None:
        """Count a call.

        Raises:
            RefusedError: 429, if there were too many.
        """
        with self._lock:
            now = self._clock()
            while self._times and now - self._times[0] >= 60:
                self._times.popleft()
            if len(self._times) >= self._most:
                wait = int(60 - (now - self._times[0])) + 1
                raise RefusedError(
                    429, f"At most {self._most} requests a minute; try again in "
                    f"{wait} s.", wait,
                )  # fmt: skip
            self._times.append(now)


class OneAtATime:
    """Work in one thread, in order; a bounded number waits."""

    def __init__(self, limits: Limits):
        self._limits = limits
        self._waiting = 0
        self._thread = concurrent.futures.ThreadPoolExecutor(max_workers=1)

    async def run(self, work: Callable[[], Any]) -> Any:
        """The result of `work`.

        A started computation cannot be stopped: after a timeout it goes on, keeps its
        place among those that wait, and is thrown away.

        Raises:
            RefusedError: 503 if too many wait, 504 if it takes too long.
        """
        if self._waiting >= self._limits.waiting:
            raise RefusedError(503, "Others are being served; try again.", 5)
        self._waiting += 1
        future = asyncio.get_running_loop().run_in_executor(self._thread, work)
        future.add_done_callback(self._finished)
        try:
            return await asyncio.wait_for(
                asyncio.shield(future), self._limits.work_seconds
            )
        except TimeoutError:
            raise RefusedError(
                504, f"No answer within {self._limits.work_seconds:g} s.", 10
            ) from None

    def _finished(self, future: asyncio.Future) -> None:
        self._waiting -= 1
        if not future.cancelled():
            future.exception()  # seen, also where nobody waits any more


async def read_body(
    stream: AsyncIterator[bytes], declared: str | None, limits: Limits
) -> bytes:
    """The body of a request.

    Args:
        stream: Its parts.
        declared: Its header content-length, which may lie.
        limits: Size and time.

    Raises:
        RefusedError: 413 if it is too large, 408 if it takes too long.
    """
    most = limits.upload_bytes
    too_large = RefusedError(413, f"A file may have {most / 2**20:g} MiB.")
    if declared and declared.isdecimal() and int(declared) > most:
        raise too_large

    async def read() -> bytes:
        content = bytearray()
        async for part in stream:
            content += part
            if len(content) > most:
                raise too_large
        return bytes(content)

    try:
        return await asyncio.wait_for(read(), limits.upload_seconds)
    except TimeoutError:
        raise RefusedError(
            408, f"The file did not arrive within {limits.upload_seconds:g} s."
        ) from None
