"""Batches come to the devices in two ways, which give the same ones, bit for bit."""

import os
import subprocess
import sys
import time

import grain
import numpy as np
import pytest

from experiments import batches
from tests.experiments.test_cohort_training import make_dataset
from wbad_jax import devices

OPTIONS = {
    "plain": {},
    "all": {"random_flip": True, "balance_classes": True},
}
PATIENTS, FRAMES, SIZE, SEED = 7, 2, 8, 3


def random_dataset():
    dataset = make_dataset(PATIENTS, FRAMES)
    rng = np.random.default_rng(0)
    dataset.images[:] = rng.uniform(size=dataset.images.shape)
    return dataset.subset(np.r_[0 : len(dataset)])


def expected_batch(dataset, step, random_flip=False, balance_classes=False):
    """A batch written out: the patients of a step, each with all examples."""
    each = 2 * FRAMES
    order = grain.MapDataset.range(PATIENTS).seed(SEED).shuffle().repeat()
    rng = np.random.default_rng((SEED, step))
    flips = rng.random(SIZE // each) < 0.5
    images, labels = [], []
    for index in range(SIZE // each):
        patient = order[step * (SIZE // each) + index]
        for row in range(patient * each, (patient + 1) * each):
            image = dataset.images[row]
            mirror = random_flip and flips[index]
            images.append(image[:, ::-1] if mirror else image)
            labels.append(dataset.labels[row])
    # Twins: both classes are equally frequent, so that balance changes nothing.
    return np.stack(images), np.array(labels), np.ones(SIZE, np.float32)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("place", batches.PLACES)
def test_every_feed_gives_the_batch_of_the_step(place, options):
    dataset, mesh = random_dataset(), devices.data_mesh(SIZE)
    batch_at = batches.feed(dataset, SIZE, SEED, mesh, place=place, **options)
    # In order, as a run that is resumed at step 40, and back.
    mirrored = 0
    for step in (0, 1, 2, 3, 40, 41, 42, 2, 3):
        found = batch_at(step)
        expected = expected_batch(dataset, step, **options)
        for array, wanted in zip(found, expected, strict=True):
            np.testing.assert_array_equal(array, wanted)
            assert array.dtype == wanted.dtype
        plain = expected_batch(dataset, step)[0]
        mirrored += not np.array_equal(plain, found.images)
    assert (mirrored > 0) == ("random_flip" in options)


def test_auto_keeps_large_sets_on_the_host(monkeypatch):
    dataset, mesh = random_dataset(), devices.data_mesh(SIZE)

    def is_resident():
        made = batches.feed(dataset, SIZE, SEED, mesh)
        return not isinstance(made, batches._HostFeed)

    assert is_resident()
    size = dataset.images.nbytes + dataset.labels.nbytes + 4 * len(dataset)
    monkeypatch.setattr(batches, "_MOST_BYTES", size)
    assert is_resident()
    monkeypatch.setattr(batches, "_MOST_BYTES", size - 1)
    assert not is_resident()


def test_of_a_resident_set_only_row_numbers_are_sent(monkeypatch):
    dataset, mesh = random_dataset(), devices.data_mesh(SIZE)
    batch_at = batches.feed(dataset, SIZE, SEED, mesh, place="always", random_flip=True)
    sent, split = [], devices.split

    def spy(tree, mesh):
        sent.append(sum(np.asarray(leaf).nbytes for leaf in tree))
        return split(tree, mesh)

    monkeypatch.setattr(devices, "split", spy)
    for step in range(3):
        batch_at(step)
    assert sent == [SIZE * (4 + 1)] * 3


def test_the_host_makes_batches_ahead(monkeypatch):
    dataset, mesh = random_dataset(), devices.data_mesh(SIZE)
    made, take = [], batches.take
    monkeypatch.setattr(batches, "take", lambda *args: made.append(None) or take(*args))
    batch_at = batches.feed(dataset, SIZE, SEED, mesh, place="never")
    batch_at(5)
    deadline = time.monotonic() + 30
    while len(made) < 1 + batches._MADE_AHEAD and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(made) >= batches._MADE_AHEAD
    batch_at(6)
    assert len(made) <= 3 + batches._MADE_AHEAD


SCRIPT = """
import sys
import jax
import numpy as np
jax.config.update("jax_num_cpu_devices", 4)
from experiments import batches
from tests.experiments.test_batches import SEED, SIZE, expected_batch, random_dataset
from wbad_jax import devices
from wbad_jax.training.accumulation import split_batch

mesh, dataset = devices.data_mesh(SIZE), random_dataset()
for place in ("always", "never"):
    batch = batches.feed(dataset, SIZE, SEED, mesh, place=place, random_flip=True)(9)
    expected = expected_batch(dataset, 9, random_flip=True)
    for array, wanted in zip(batch, expected):
        np.testing.assert_array_equal(array, wanted)
        assert array.addressable_shards[0].data.shape[0] == SIZE // 4
# Each device has an example of both parts: nothing is sent.
halves = jax.jit(lambda batch: split_batch(batch, 2)).lower(batch).compile()
text = halves.as_text()
assert "all-gather(" not in text and "collective-permute(" not in text, text
assert halves(batch)[1].images.addressable_shards[0].data.shape[0] == SIZE // 8
"""


def test_devices_take_their_own_part():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, stderr=subprocess.PIPE,
        text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
