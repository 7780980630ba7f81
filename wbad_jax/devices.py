"""The devices that share a batch: one mesh axis, "data".

Batches are split along their first axis, parameters lie whole on every device, and
`jax.jit` does the rest: there is no communication written by hand. Results are the same
on one device or many, up to rounding. With several processes (`processes`) the devices
of all share the batch: each process has it in host memory, and copies the rows that its
own devices hold.

A CPU counts as one device unless told otherwise, and XLA of JAX 0.10 then runs most
convolutions on one core. `use_all_cores` makes each core a device.
"""

import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec, Sharding

AXIS = "data"
# Each device holds its own copy of the parameters and compiles nothing twice, but the
# share of a batch that is left for one should not become tiny.
_MOST_CORES = 16


def use_all_cores() -> None:
    """Makes each CPU core a device of its own, up to 16.

    Call it before anything is computed. Changes nothing where the number was chosen
    before (`jax_num_cpu_devices`, or XLA's `xla_force_host_platform_device_count`), and
    nothing for other kinds of devices. Several processes on one machine share its cores
    unless each is bound to its own, as SLURM does: choose the number yourself there.
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
        A mesh of all devices, or of the most that divide `batch_size`, as many of each
        process.

    Raises:
        ValueError: If not even one device of each process divides `batch_size`, or one
            process has more devices than another.
    """
    devices = _by_process()
    num_processes, most = len(devices), len(devices[0])
    count = most
    if batch_size is not None:
        dividing = [
            n for n in range(1, most + 1) if batch_size % (n * num_processes) == 0
        ]
        if not dividing:
            raise ValueError(
                f"batch_size must be a multiple of {num_processes}, the number of "
                f"processes, got {batch_size}."
            )
        count = dividing[-1]
    return jax.make_mesh(
        (count * num_processes,),
        (AXIS,),
        axis_types=(AxisType.Auto,),
        devices=[device for own in devices for device in own[:count]],
    )


def round_up(batch_size: int, mesh: Mesh) -> int:
    """The next multiple of the number of devices."""
    return -(-batch_size // mesh.size) * mesh.size


def split(batch: Any, mesh: Mesh) -> Any:
    """Arrays `[batch, ...]`, each device with its part.

    Args:
        batch: A tree of arrays, also of keys, the same in every process; the first axis
            is a multiple of the number of devices.
        mesh: From `data_mesh`.
    """
    sharding = NamedSharding(mesh, PartitionSpec(AXIS))
    return jax.tree.map(lambda leaf: put(leaf, sharding), batch)


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Arrays of any shape, the same in every process, whole on every device."""
    sharding = NamedSharding(mesh, PartitionSpec())
    return jax.tree.map(lambda leaf: put(leaf, sharding), tree)


def put(array: Any, sharding: Sharding) -> jax.Array:
    """One array on devices, which may belong to several processes.

    Args:
        array: The same in every process, or on the devices of all already, whole on
            each unless it is to stay as it is.
        sharding: Where it shall be.
    """
    if sharding.is_fully_addressable:
        return jax.device_put(array, sharding)
    if isinstance(array, jax.Array):
        if array.sharding.is_equivalent_to(sharding, array.ndim):
            return array
        if not jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
            array = np.asarray(array)
    else:
        array = np.asarray(array, jax.dtypes.canonicalize_dtype(np.result_type(array)))
    # Unlike `device_put`, which has all processes compare their arrays.
    return jax.make_array_from_callback(
        array.shape, sharding, lambda index: array[index]
    )


def gather(tree: Any) -> Any:
    """Arrays on devices, whole, in host memory of every process."""
    if jax.process_count() == 1:
        return jax.device_get(tree)
    return multihost_utils.process_allgather(tree, tiled=True)


def _by_process() -> list[list[Any]]:
    """The devices of each process."""
    devices: dict[int, list[Any]] = {}
    for device in jax.devices():
        devices.setdefault(device.process_index, []).append(device)
    counts = [len(devices[process]) for process in sorted(devices)]
    if len(set(counts)) > 1:
        raise ValueError(
            f"Every process must have as many devices, but they have {counts}. On CPUs "
            "the environment variable JAX_NUM_CPU_DEVICES chooses the number."
        )
    return [devices[process] for process in sorted(devices)]


def _num_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
