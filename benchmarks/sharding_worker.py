"""A process that times training steps on its devices, perhaps beside others.

    python -m benchmarks.sharding_worker 8                      # eight devices
    python -m benchmarks.sharding_worker 1 127.0.0.1:1234 2 0   # the first of two

Started by benchmarks.sharding, which asks all processes of a group at the same time.
"""

import argparse
from collections.abc import Callable

import jax
import numpy as np
import optax

from benchmarks.measure import take_sample
from benchmarks.worker import serve
from wbad_jax import attacks, denoise, devices, models, training
from wbad_jax.types import Batch

EPSILON = 2 / 255
PGD = attacks.PGD(num_steps=5)
# Weights of the images in the loss.
JOBS = {"clean": {"clean": 1.0}, "pgd": {"pgd": 1.0}}

_steps: dict[str, Callable[[], jax.Array]] = {}


def prepare(job: str, batch_size: int, size: int) -> float:
    """Compiles a training step and makes it once.

    Args:
        job: One of `JOBS`.
        batch_size: Images a step, over all processes.
        size: Pixels of an image in each direction.

    Returns:
        The loss of that step, the same on any devices up to rounding.
    """
    mesh = devices.data_mesh(batch_size)
    classifier = models.Classifier(
        models.ModelSettings(image_shape=(size, size, 1)),
        denoise.DenoiserSettings(wavelet="haar"),
    )
    optimizer = optax.sgd(1e-3)
    objective = training.mixture(classifier.logits_fn, {"pgd": PGD}, JOBS[job])
    train_step = training.make_train_step(objective, optimizer)
    state = training.init_state(jax.jit(classifier.init)(jax.random.key(0)), optimizer)
    state = devices.replicate(state, mesh)
    rng = np.random.default_rng(0)
    images = rng.uniform(0.3, 0.7, (batch_size, size, size, 1)).astype(np.float32)
    labels = (np.arange(batch_size) % 2).astype(np.int32)
    whole = Batch(images, labels, np.ones(batch_size, np.float32))
    key = jax.random.key(1)

    def step() -> jax.Array:
        nonlocal state
        batch = devices.split(whole, mesh)
        state, metrics = train_step(state, batch, key, {"linf": EPSILON})
        return metrics["loss"]

    loss = float(step())
    float(step())  # whose state comes from a step: compiled for good
    _steps[job] = step
    return loss


def time_steps(job: str, num_steps: int) -> dict[str, float]:
    """Wall and CPU milliseconds of a step, the mean over some."""

    def steps() -> None:
        for _ in range(num_steps):
            loss = _steps[job]()
        float(loss)

    sample = take_sample(steps, 1)
    return {clock: spent / num_steps for clock, spent in sample.items()}


def main() -> None:
    """Joins the other processes, if any, and answers requests."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("num_devices", type=int)
    parser.add_argument("address", nargs="?")
    parser.add_argument("num_processes", nargs="?", type=int, default=1)
    parser.add_argument("process_id", nargs="?", type=int, default=0)
    options = parser.parse_args()
    jax.config.update("jax_num_cpu_devices", options.num_devices)
    if options.address:
        jax.distributed.initialize(
            options.address, options.num_processes, options.process_id
        )
    serve({"prepare": prepare, "time": time_steps})


if __name__ == "__main__":
    main()
