"""Checkpoints of the train state: atomic, exact, no pickle.

A directory holds one folder a step. Orbax writes into a temporary folder and renames
it, so a process killed in the middle of a save leaves the earlier steps intact.
"""

import pathlib
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
        """Restore a state.

        Args:
            like: A state of the same structure and shapes, arrays or abstract.
            step: Which one; the newest if None.

        Raises:
            FileNotFoundError: If there is no checkpoint.
        """
        step = self.latest_step() if step is None else step
        if step is None:
            raise FileNotFoundError(f"No checkpoint in {self.directory}.")
        sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        abstract = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(
                leaf.shape, leaf.dtype, sharding=sharding
            ),
            like,
        )
        return self._manager.restore(step, args=ocp.args.StandardRestore(abstract))
