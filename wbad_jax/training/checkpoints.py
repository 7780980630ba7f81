"""Checkpoints of the train state: atomic, exact, no pickle.

A directory holds one folder a step. Orbax writes into a temporary folder and renames
it, so a process killed in the middle of a save leaves the earlier steps intact.
"""

import pathlib
import warnings
from typing import Any

import jax
import orbax.checkpoint as ocp


class Checkpoints:
    """The checkpoints of one training run; a context manager.

    Saving is asynchronous: it copies the state and returns. Leaving the context, or
    `wait`, makes sure that everything is on disk.
    """

    def __init__(self, directory: pathlib.Path | str, max_to_keep: int = 2):
        self.directory = pathlib.Path(directory).absolute()
        options = ocp.CheckpointManagerOptions(
            max_to_keep=max_to_keep, cleanup_tmp_directories=True
        )
        self._manager = ocp.CheckpointManager(self.directory, options=options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._manager.close()

    def latest_step(self) -> int | None:
        """The newest complete step, or None."""
        return self._manager.latest_step()

    def save(self, step: int, state: Any) -> None:
        """Save `state` as `step`, unless that step is there already."""
        if step != self.latest_step():
            self._manager.save(step, args=ocp.args.StandardSave(state))

    def wait(self) -> None:
        """Block until all saves are on disk."""
        self._manager.wait_until_finished()

    def restore(self, like: Any, step: int | None = None) -> Any:
        """Restore a step, or the newest that can be read.

        A newer one that cannot, when an older one can, is damaged: it is renamed to
        `damaged-<step>`, with a warning, so that training saves that step anew.

        Args:
            like: A state of the same structure and shapes, arrays or abstract.
            step: Which one; the newest that can be read if None.

        Raises:
            FileNotFoundError: If there is no checkpoint.
            ValueError: If none can be read as such a state.
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
        raise ValueError(
            f"{self.directory}/{newest} cannot be read: {failures[newest]}"
        ) from failures[newest]

    def _restore(self, step: int, like: Any) -> Any:
        sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        abstract = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(
                leaf.shape, leaf.dtype, sharding=sharding
            ),
            like,
        )
        return self._manager.restore(step, args=ocp.args.StandardRestore(abstract))

    def _set_aside(self, failures: dict[int, Exception], good: int) -> None:
        for step, error in failures.items():
            place = self.directory / str(step)
            place.rename(self.directory / f"damaged-{step}")
            reason = str(error).strip().splitlines() or [type(error).__name__]
            warnings.warn(
                f"{place} is damaged ({reason[0]}) and now called damaged-{step}; "
                f"step {good} is restored in its place.",
                stacklevel=3,
            )
        if failures:
            self._manager.reload()
