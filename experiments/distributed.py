"""The --distributed flag: one command that several processes run together."""

import os
import sys
import traceback

import jax
from absl import flags

from experiments.config_errors import ConfigError
from wbad_jax import devices, processes

# Seconds that one which ends waits for the others; JAX would let it wait 300.
_PATIENCE = 60


def define_distributed() -> None:
    """Define `--distributed`."""
    flags.DEFINE_string(
        "distributed",
        "",
        "Run as one of several processes: 'auto' for SLURM, TPU pods and Open MPI, or "
        "HOST:PORT,NUM_PROCESSES,PROCESS_ID with the address of process 0.",
    )


def connect(address: str | None) -> None:
    """Join the other processes. Call it before JAX is used for anything else.

    All but process 0 lose their standard output: they would say the same.

    Args:
        address: Value of `--distributed`; "" or None for a single process.

    Raises:
        ConfigError: If it is malformed, "auto" finds nothing to join, or processes have
            different numbers of devices.
    """
    if not address:
        return
    if address == "auto":
        _connect_to_cluster()
    else:
        coordinator, num_processes, process_id = parse(address)
        jax.distributed.initialize(
            coordinator,
            num_processes,
            process_id,
            shutdown_timeout_seconds=_PATIENCE,
        )
    try:
        devices.data_mesh()
    except ValueError as error:
        raise ConfigError(f"--distributed: {error}") from error
    if not processes.is_first():
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (until the process ends)


def parse(address: str) -> tuple[str, int, int]:
    """Coordinator, number of processes and number of this one.

    Raises:
        ConfigError: If `address` is not HOST:PORT,NUM_PROCESSES,PROCESS_ID.
    """
    parts = address.split(",")
    host, _, port = parts[0].rpartition(":")
    numbers = [port, *parts[1:]]
    # Not `isdigit`, which takes superscripts for digits.
    if len(parts) != 3 or not host or not all(n.isdecimal() for n in numbers):
        raise ConfigError(
            "--distributed must be 'auto' or HOST:PORT,NUM_PROCESSES,PROCESS_ID, such "
            f"as 10.0.0.1:1234,2,0, got {address!r}."
        )
    port, num_processes, process_id = map(int, numbers)
    if not 0 < port < 2**16:
        raise ConfigError(
            f"--distributed: the port must be between 1 and 65535, got {port}."
        )
    if process_id >= num_processes:
        raise ConfigError(
            "--distributed: PROCESS_ID counts from 0 and must be below NUM_PROCESSES, "
            f"got {process_id} of {num_processes}."
        )
    return parts[0], num_processes, process_id


def _connect_to_cluster() -> None:
    try:
        jax.distributed.initialize(shutdown_timeout_seconds=_PATIENCE)
    except ValueError as error:
        raise ConfigError(
            f"--distributed=auto finds no cluster: {error} It works under SLURM, Open "
            "MPI and on TPU pods; else give HOST:PORT,NUM_PROCESSES,PROCESS_ID."
        ) from error


def end_at_once(status: int) -> None:
    """End, with the traceback of the error at hand, a process that failed alone.

    Does nothing where there is one process.

    An orderly end waits for the other processes, and they wait for this one in the
    middle of a step. Cut off, they see that it is gone.
    """
    if jax.distributed.is_initialized():
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(status)
