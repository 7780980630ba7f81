"""The devices that share a batch: one mesh axis, "data".

Batches are split along their first axis, parameters lie whole on every device, and
`jax.jit` does the rest: there is no communication written by hand. Results are the same
on one device or many, up to rounding.

A CPU counts as one device unless told otherwise, and XLA of JAX 0.10 then runs most
convolutions on one core. `use_all_cores` makes each core a device.
"""

import os
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXIS = "data"
# Each device holds its own copy of the parameters and compiles nothing twice, but the
# share of a batch that is left for one should not become tiny.
_MOST_CORES = 16


def use_all_cores() -> None:
    """Makes each CPU core a device of its own, up to 16.

    Call it before anything is computed. Changes nothing where the number was chosen
    before (`jax_num_cpu_devices`, or XLA's `xla_force_host_platform_device_count`), and
    nothing for other kinds of devices.
    """
    chosen = "host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    config: Any = jax.config  # its attributes are not declared
    if chosen or config.jax_num_cpu_devices > 0:
        return
    jax.config.update("jax_num_cpu_devices", min(_num_cores(), _MOST_CORES))


def data_mesh(batch_size: int | None = None) -> Mesh:
    """The devices to share batches among.

    Args:
        batch_size: What they must divide, for a size that may not be rounded up.

    Returns:
        A mesh of all devices, or of the most that divide `batch_size`.
    """
    devices = jax.devices()
    count = len(devices)
    if batch_size is not None:
        count = max(n for n in range(1, count + 1) if batch_size % n == 0)
    return jax.make_mesh(
        (count,), (AXIS,), axis_types=(AxisType.Auto,), devices=devices[:count]
    )


def round_up(batch_size: int, mesh: Mesh) -> int:
    """The next multiple of the number of devices."""
    return -(-batch_size // mesh.size) * mesh.size


def split(batch: Any, mesh: Mesh) -> Any:
    """Arrays `[batch, ...]`, each device with its part.

    Args:
        batch: A tree of arrays, also of keys; the first axis is a multiple of the
            number of devices.
        mesh: From `data_mesh`.
    """
    return jax.device_put(batch, NamedSharding(mesh, PartitionSpec(AXIS)))


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Arrays of any shape, whole on every device."""
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def _num_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
