"""Times PGD-10 inside one `lax` loop against ten gradient calls from Python.

    python benchmarks/attacks.py --rounds=10

XLA:CPU runs the gradients of convolutions in loops 10 to 50 times slower than outside
(jax issue 12868), unless their backward pass is written as forward convolutions. The
same network is timed three ways, in turn, round after round: PGD in a loop with the
convolutions of `wbad_jax.models.layers`, the same with Flax's own, and ten separate
calls of the compiled gradient. CPU time over all threads and wall time; medians.
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence
from unittest import mock

import jax
import jax.numpy as jnp

from benchmarks.measure import refuse_unoptimised, time_calls, write_report
from wbad_jax import attacks, denoise, models
from wbad_jax.models import layers

RESULTS = pathlib.Path(__file__).parent / "results" / "attacks.json"
BATCH, SIZE, STEPS, EPSILON = 64, 64, 10, 4 / 255


def make_jobs(classifier: models.Classifier, key: jax.Array):
    """`loop(x)` and `separate(x)` for one classifier, compiled."""
    params = jax.jit(classifier.init)(key)
    labels = jnp.arange(BATCH) % 2
    attack = attacks.PGD(num_steps=STEPS, start="random")

    @jax.jit
    def loop(params, images):
        logits_fn = classifier.logits_fn(params)
        return attack(logits_fn, key, images, labels, epsilon=EPSILON).adversarial

    @jax.jit
    def gradient(params, images):
        def loss(images):
            logits = classifier.apply(params, images)
            return jnp.sum(attacks.margin_loss(logits, labels))

        return jax.grad(loss)(images)

    def separate(params, images):
        for _ in range(STEPS):
            images = images + 1e-3 * jnp.sign(gradient(params, images))
        return images

    return params, {"loop": loop, "separate": separate}


def make_stock_jobs(settings, denoiser, key: jax.Array, images: jax.Array):
    """The same jobs with Flax's own convolution gradients."""
    stock = mock.patch.object(
        layers, "conv_general_dilated", jax.lax.conv_general_dilated
    )
    with stock:
        params, jobs = make_jobs(models.Classifier(settings, denoiser), key)
        jax.block_until_ready(jobs["loop"](params, images))  # compiled while patched
    return jobs


def _blocking(function, *arguments):
    return lambda: jax.block_until_ready(function(*arguments))


def time_model(name: str, denoiser, key, images, rounds: int) -> dict:
    """Times and ratios of one classifier, printed as they come."""
    settings = models.ModelSettings(image_shape=(SIZE, SIZE, 1))
    params, jobs = make_jobs(models.Classifier(settings, denoiser), key)
    stock = make_stock_jobs(settings, denoiser, key, images)
    timed_jobs = {
        "loop": jobs["loop"],
        "separate": jobs["separate"],
        "stock loop": stock["loop"],
    }
    calls = {job: _blocking(f, params, images) for job, f in timed_jobs.items()}
    for call in calls.values():
        call()  # compiled before the clock starts
    timed = time_calls(calls, rounds)
    ratio = {
        unit: timed["loop"][unit] / timed["separate"][unit]
        for unit in ("wall_ms", "cpu_ms")
    }
    print(f"{name}: PGD-{STEPS}, batch {BATCH} of {SIZE} x {SIZE}")
    for job, spent in timed.items():
        wall, cpu = spent["wall_ms"], spent["cpu_ms"]
        print(f"  {job:<11} wall {wall:8.1f} ms  cpu {cpu:8.1f} ms")
    wall, cpu = ratio["wall_ms"], ratio["cpu_ms"]
    print(f"  loop / separate: wall {wall:.2f}, cpu {cpu:.2f}", flush=True)
    return {"model": name, "times": timed, "loop_over_separate": ratio}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark, print a table and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--output", type=pathlib.Path, default=RESULTS)
    options = parser.parse_args(argv)
    if refuse_unoptimised():
        return 2
    key = jax.random.key(0)
    pixels = jax.random.uniform(key, (BATCH * SIZE * SIZE,))
    images = pixels.reshape(BATCH, SIZE, SIZE, 1)
    haar = denoise.DenoiserSettings(wavelet="haar")
    rows = [
        time_model(name, denoiser, key, images, options.rounds)
        for name, denoiser in (("network", None), ("denoiser and network", haar))
    ]
    write_report({"rounds": options.rounds, "rows": rows}, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
