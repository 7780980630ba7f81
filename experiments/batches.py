"""Which examples make up the batch of a training step, and how they reach the devices.

Both ways give the same batches, bit for bit, each a pure function of the step: a set
that fits lies on the devices, and the host sends row numbers; of a larger one batches
are made ahead on the host, while the devices compute.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from wbad_jax import devices
from wbad_jax.data import Dataset
from wbad_jax.types import Batch

PLACES = ("auto", "always", "never")
BatchAt = Callable[[int], Batch]
# What images may take of a device's memory before "auto" leaves them on the host.
_MOST_BYTES = 2**30
_MADE_AHEAD = 4
_STEPS = 2**40  # more than any training takes


class Draw(NamedTuple):
    """What a batch is taken from a set by, row by row."""

    rows: np.ndarray  # int32[batch]
    mirrored: np.ndarray | None  # bool[batch]; None for no row


def examples_of_a_patient(dataset: Dataset) -> int:
    """How many examples of a patient go together: all, where all have as many."""
    counts = np.unique(dataset.patient_ids, return_counts=True)[1]
    return int(counts[0]) if (counts == counts[0]).all() else 1


def feed(
    dataset: Dataset,
    size: int,
    seed: int,
    mesh: Mesh,
    *,
    place: str = "auto",
    random_flip: bool = False,
    balance_classes: bool = False,
) -> BatchAt:
    """From a step to its batch, split over the devices; fastest for steps in order.

    Args:
        dataset: See `draws`; it has to stay as it is.
        size: Likewise; a multiple of the number of devices.
        seed: Likewise.
        mesh: From `devices.data_mesh`.
        place: "always" keeps the set on every device, "never" on the host, "auto" on
            the devices where it takes at most 1 GiB of a memory. CPU devices share one.
        random_flip: See `draws`.
        balance_classes: See `weighted_examples`.
    """
    examples = weighted_examples(dataset, balance_classes)
    draw_at = draws(dataset, size, seed, random_flip=random_flip)
    if place == "auto":
        place = "always" if _fits(examples, mesh) else "never"
    if place == "always":
        return _resident_feed(examples, draw_at, mesh)
    return _HostFeed(lambda step: take(examples, draw_at(step)), mesh)


def weighted_examples(dataset: Dataset, balance_classes: bool = False) -> Batch:
    """All examples, in host memory.

    Args:
        dataset: Where from.
        balance_classes: Whether examples weigh `n / (classes * n of their class)` in
            place of 1.
    """
    weights = np.ones(len(dataset), np.float32)
    if balance_classes:
        weights = balanced_weights(dataset.labels)
    return Batch._make((dataset.images, dataset.labels, weights))


def draws(
    dataset: Dataset, size: int, seed: int, *, random_flip: bool = False
) -> Callable[[int], Draw]:
    """From a step to its rows: shuffled anew each epoch, a pure function of the step.

    The examples of one patient go together: where both twins of each patient are
    trained on, they meet in one batch, and their difference is the tumour alone.

    Args:
        dataset: Examples to draw from, ordered by patient. Where some have more than
            others, examples are drawn one by one.
        size: Examples a batch, a multiple of those of a patient; a set smaller than
            that is repeated within a batch.
        seed: Of the shuffles.
        random_flip: Whether to mirror half of the patients left to right, which
            changes no label.
    """
    import grain  # here: slow to import

    each = examples_of_a_patient(dataset)
    order = grain.MapDataset.range(len(dataset) // each).seed(seed).shuffle().repeat()
    order = order.batch(size // each)

    def draw_at(step: int) -> Draw:
        rows = np.asarray(order[step])[:, None] * each + np.arange(each)
        mirrored = None
        if random_flip:
            flips = np.random.default_rng((seed, step)).random(size // each) < 0.5
            mirrored = np.repeat(flips, each)
        return Draw(rows.ravel().astype(np.int32), mirrored)

    return draw_at


def take(examples: Batch, draw: Draw, where: Callable = np.where) -> Batch:
    """The batch of a draw.

    Args:
        examples: To take from, arrays of NumPy or of JAX.
        draw: Which rows.
        where: Of the library of the arrays.
    """
    batch = Batch._make(array[draw.rows] for array in examples)
    if draw.mirrored is None:
        return batch
    mirrored = draw.mirrored[:, None, None, None]
    images = where(mirrored, batch.images[:, :, ::-1], batch.images)
    return batch._replace(images=images)


def _fits(examples: Batch, mesh: Mesh) -> bool:
    platform = mesh.devices.flat[0].platform
    copies = mesh.size if platform == "cpu" else 1
    size = sum(array.nbytes for array in examples) * copies
    return jax.process_count() == 1 and size <= _MOST_BYTES


def _resident_feed(examples: Batch, draw_at, mesh: Mesh) -> BatchAt:
    """Each device holds the whole set and takes its part of a batch from it."""
    resident = devices.replicate(examples, mesh)
    parts = NamedSharding(mesh, PartitionSpec(devices.AXIS))
    gather = jax.jit(functools.partial(take, where=jnp.where), out_shardings=parts)
    return lambda step: gather(resident, devices.split(draw_at(step), mesh))


class _HostFeed:
    """Batches made ahead by a thread, from the step that was asked for last."""

    def __init__(self, batch_at: BatchAt, mesh: Mesh):
        import grain

        self._batches = grain.MapDataset.range(_STEPS).map(batch_at)
        self._options = grain.ReadOptions(
            num_threads=1, prefetch_buffer_size=_MADE_AHEAD
        )
        self._mesh = mesh
        self._ahead, self._next = None, -1

    def __call__(self, step: int) -> Batch:
        if self._ahead is None or step != self._next:
            following = self._batches[step:]
            self._ahead = iter(following.to_iter_dataset(self._options))
        self._next = step + 1
        return devices.split(next(self._ahead), self._mesh)


def balanced_weights(labels: np.ndarray) -> np.ndarray:
    """Weights `[n]` of mean 1 with which all classes have the same total."""
    classes, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
    share = len(labels) / (len(classes) * counts)
    return share[index].astype(np.float32)
