"""Checkpoints of the train state: atomic, exact, checked, no pickle.

A directory holds one folder a step. Orbax writes into a temporary folder and renames
it, so a process killed in the middle of a save leaves the earlier steps intact. It does
not notice changed bytes of arrays: `sha256.json` beside the steps has their digests.

Several processes save together and must make the same calls. Each reads by itself, so
neither the number of devices nor that of processes need be what it was.
"""

import contextlib
import errno
import hashlib
import json
import os
import pathlib
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import numpy as np

from wbad_jax import devices, processes
from wbad_jax.damaged_files import DamagedFileError

_DIGESTS = "sha256.json"


class Checkpoints:
    """The checkpoints of one training run; a context manager.

    Saving is asynchronous: it copies the state and returns. Leaving the context, or
    `wait`, makes sure that everything is on disk.

    Examples:
        >>> import tempfile
        >>> import jax.numpy as jnp
        >>> from wbad_jax.training import Checkpoints
        >>> state = {"weights": jnp.arange(3.0)}
        >>> with tempfile.TemporaryDirectory() as folder, Checkpoints(folder) as kept:
        ...     kept.save(10, state)
        ...     kept.wait()
        ...     print(kept.latest_step(), kept.restore(state)["weights"])
        10 [0. 1. 2.]
    """

    def __init__(self, directory: pathlib.Path | str, max_to_keep: int = 2):
        import orbax.checkpoint as ocp  # here: slow to import

        self.directory = pathlib.Path(directory).absolute()
        options = ocp.CheckpointManagerOptions(
            max_to_keep=max_to_keep, cleanup_tmp_directories=True
        )
        self._manager = ocp.CheckpointManager(self.directory, options=options)
        # Not to ask JAX whether a signal came, at steps of its own: whoever asks must
        # count on without a gap, or processes miss the step to stop at. The training
        # loop does, over all runs of a process.
        self._manager.reached_preemption = lambda step: False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with self._disk_errors():
            self._manager.close()

    def latest_step(self) -> int | None:
        """The newest complete step, or None."""
        return self._manager.latest_step()

    def save(self, step: int, state: Any) -> None:
        """Save `state` as `step`, unless that step is there already."""
        import orbax.checkpoint as ocp

        self.wait()  # so that the steps there are all known
        if step not in self._manager.all_steps():
            # First: a step without a digest would pass for one of an older version.
            processes.on_first(lambda: self._record(step, state))
            with self._disk_errors():
                self._manager.save(step, args=ocp.args.StandardSave(state))

    def wait(self) -> None:
        """Block until all saves are on disk."""
        with self._disk_errors():
            self._manager.wait_until_finished()

    def restore(self, like: Any, step: int | None = None) -> Any:
        """Restore a step, or the newest that can be read.

        A newer one that cannot, when an older one can, is damaged: it is renamed to
        `damaged-<step>`, with a warning, so that training saves that step anew.

        Args:
            like: A state of the same structure and shapes, arrays or abstract; what is
                restored lies on the devices where its arrays lie.
            step: Which one; the newest that can be read if None.

        Raises:
            FileNotFoundError: If there is no checkpoint.
            DamagedFileError: If none can be read as such a state.
        """
        if step is not None:
            return self._restore(step, like)
        steps = sorted(self._manager.all_steps(), reverse=True)
        if not steps:
            raise FileNotFoundError(f"No checkpoint in {self.directory}.")
        failures: dict[int, Exception] = {}
        for candidate in steps:
            try:
                restored = self._restore(candidate, like)
            except Exception as error:  # whatever a damaged file makes of the reader
                failures[candidate] = error
                continue
            self._set_aside(failures, candidate)
            return restored
        newest = steps[0]
        raise DamagedFileError(
            f"{self.directory}/{newest} cannot be read: {failures[newest]}"
        ) from failures[newest]

    def _restore(self, step: int, like: Any) -> Any:
        failure = None
        try:
            restored = self._read(step, like)
            self._check(step, restored)
        except Exception as error:  # raised once the others know
            failure = error
        if not processes.all_agree(failure is None):
            raise failure or OSError(f"Another process cannot read step {step}.")
        return jax.tree.map(_put_like, restored, like)

    def _read(self, step: int, like: Any) -> Any:
        """A step in this process alone: one that fails must not keep others waiting."""
        import orbax.checkpoint as ocp

        own = jax.process_index()
        options = ocp.CheckpointManagerOptions(
            create=False,
            multiprocessing_options=ocp.options.MultiprocessingOptions(
                primary_host=own,
                active_processes={own},
                barrier_sync_key_prefix=f"process_{own}",
            ),
        )
        sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        abstract = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(
                leaf.shape, leaf.dtype, sharding=sharding
            ),
            like,
        )
        with ocp.CheckpointManager(self.directory, options=options) as manager:
            return manager.restore(step, args=ocp.args.StandardRestore(abstract))

    @contextlib.contextmanager
    def _disk_errors(self) -> Iterator[None]:
        """Finds what the disk said in the words of Orbax and TensorStore."""
        try:
            yield
        except Exception as error:
            for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
                if os.strerror(number) in str(error):
                    raise OSError(
                        number, os.strerror(number), str(self.directory)
                    ) from error
            raise

    def _record(self, step: int, state: Any) -> None:
        kept = [str(s) for s in self._manager.all_steps()]
        digests = {s: d for s, d in self._digests().items() if s in kept}
        text = json.dumps(digests | {str(step): digest(state)}, indent=1)
        temporary = self.directory / f"{_DIGESTS}.tmp"
        temporary.write_text(text + "\n", encoding="utf-8")
        temporary.replace(self.directory / _DIGESTS)

    def _digests(self) -> dict[str, str]:
        path = self.directory / _DIGESTS
        if not path.exists():  # of an older version
            return {}
        try:
            return dict(json.loads(path.read_bytes()))
        except (ValueError, TypeError, RecursionError) as error:
            raise DamagedFileError(f"{path} is damaged: {error}.") from error

    def _check(self, step: int, restored: Any) -> None:
        expected = self._digests().get(str(step))
        if expected is not None and expected != digest(restored):
            raise DamagedFileError(
                f"step {step} is not what was saved, by {self.directory / _DIGESTS}"
            )

    def _set_aside(self, failures: dict[int, Exception], good: int) -> None:
        if not failures:
            return
        processes.on_first(lambda: self._rename(failures))
        self._manager.reload()
        if not processes.is_first():
            return
        for step, error in failures.items():
            reason = str(error).strip().splitlines() or [type(error).__name__]
            warnings.warn(
                f"{self.directory / str(step)} is damaged ({reason[0]}) and now called "
                f"damaged-{step}; step {good} is restored in its place.",
                stacklevel=3,
            )

    def _rename(self, steps: Iterable[int]) -> None:
        for step in steps:
            place = self.directory / str(step)
            place.rename(self.directory / f"damaged-{step}")


def digest(tree: Any) -> str:
    """SHA-256 of all arrays, names included, the same before and after a save."""
    found = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        # In the type that JAX gives back: that of 64 bits only where it is allowed.
        array = np.asarray(leaf)
        array = array.astype(jax.dtypes.canonicalize_dtype(array.dtype))
        found.update(f"{jax.tree_util.keystr(path)}{array.dtype}{array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def _put_like(restored: jax.Array, like: Any) -> jax.Array:
    sharding = getattr(like, "sharding", None)
    return restored if sharding is None else devices.put(restored, sharding)
