"""Starts two processes that find each other on this machine."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable

COUNT = 2


def free_port() -> int:
    """A port that nobody listens on; it could be taken before it is used."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_both(start: Callable[[str, int], subprocess.Popen]) -> list[subprocess.Popen]:
    """Start both with `start(address, number)`."""
    address = f"127.0.0.1:{free_port()}"
    return [start(address, number) for number in range(COUNT)]


def run_script(script: str, *arguments: str, timeout: float = 300) -> list[str]:
    """Run a script in both, with address, number and `arguments`; what they print."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def start(address, number):
        return subprocess.Popen(
            [sys.executable, "-c", script, address, str(number), *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    started = start_both(start)
    try:
        ended = [process.communicate(timeout=timeout) for process in started]
    finally:
        for process in started:
            process.kill()
    for process, (_, errors) in zip(started, ended, strict=True):
        assert process.returncode == 0, errors
    return [output for output, _ in ended]
