"""The same wavelet jobs in each library, and the worker process that times them.

Two jobs on random images, in single precision and mode "symmetric": `forward` is
`waverec2(wavedec2(x))`; `gradient` is the value and the gradient by x and t of
`sum(waverec2(soft(wavedec2(x), t)) ** 2)`. wbad_jax gets `[batch, height, width,
channels]`, the others their best layout `[batch * channels, height, width]`. A process
imports its own library only, so the imports stand inside the functions.

    python -m benchmarks.wavelet_libraries NAME       # started by benchmarks.wavelets
"""

import argparse
import dataclasses
import functools
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.measure import count_repeats, take_sample
from benchmarks.worker import serve

JOBS = ("forward", "gradient")
MODE = "symmetric"
THRESHOLD = 0.1
# The libraries sum in single precision, in different orders.
RELATIVE_TOLERANCE = 1e-4
# Settings of a library by name, each a call to time.
Calls = dict[str, Callable[[], Any]]


@dataclasses.dataclass(frozen=True)
class Case:
    """Images `[batch, height, width, channels]`, wavelet and number of levels."""

    shape: tuple[int, ...]
    wavelet: str
    level: int

    @property
    def name(self) -> str:
        """As the table shows it: "64x64x64x1 haar 1"."""
        return f"{'x'.join(map(str, self.shape))} {self.wavelet} {self.level}"

    def images(self) -> np.ndarray:
        """Uniform noise in [0, 1), the same in every process."""
        return np.random.default_rng(0).uniform(size=self.shape).astype(np.float32)

    def folded(self) -> np.ndarray:
        """The same images, `[batch * channels, height, width]`."""
        _, height, width, _ = self.shape
        moved = np.moveaxis(self.images(), -1, 1)
        return np.ascontiguousarray(moved.reshape(-1, height, width))


def jax_call(
    job: str, decompose: Callable, reconstruct: Callable, shrink: Callable, images: Any
) -> Callable[[], Any]:
    """A job with a pair of JAX transforms, jitted, blocking until it is done."""
    import jax
    import jax.numpy as jnp

    def loss(x, t):
        approx, *details = decompose(x)
        shrunk = jax.tree.map(lambda c: shrink(c, t), details)
        return jnp.sum(reconstruct([approx, *shrunk]) ** 2)

    x, t = jnp.asarray(images), jnp.float32(THRESHOLD)
    if job == "forward":
        forward = jax.jit(lambda x: reconstruct(decompose(x)))
        return lambda: jax.block_until_ready(forward(x))
    gradient = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
    return lambda: jax.block_until_ready(gradient(x, t))


def copy_call(images: Any) -> Callable[[], Any]:
    """The copy floor: reads the images once and writes as much."""
    import jax
    import jax.numpy as jnp

    x = jnp.asarray(images)
    scale = jax.jit(lambda x: 1.5 * x)
    return lambda: jax.block_until_ready(scale(x))


def wbad_jax_call(
    case: Case, job: str, backend: Any = "polyphase"
) -> Callable[[], Any]:
    """A job with the transforms and the soft threshold of this package."""
    from wbad_jax import denoise, wavelets

    def decompose(x):
        return wavelets.wavedec2(x, case.wavelet, MODE, case.level, backend=backend)

    def reconstruct(c):
        size = case.shape[1:3]
        return wavelets.waverec2(c, case.wavelet, MODE, size, backend=backend)

    return jax_call(job, decompose, reconstruct, denoise.soft_threshold, case.images())


def wbad_jax_calls(case: Case, job: str) -> Calls:
    """This package, and the copy floor beside it."""
    return {"wbad_jax": wbad_jax_call(case, job), "copy": copy_call(case.images())}


def jaxwt_calls(case: Case, job: str) -> Calls:
    """jaxwt, jitted as this package is."""
    import jax.numpy as jnp
    import jaxwt

    def soft(c, t):
        return jnp.sign(c) * jnp.maximum(jnp.abs(c) - t, 0)

    def decompose(x):
        return jaxwt.wavedec2(x, case.wavelet, mode=MODE, level=case.level)

    def reconstruct(c):
        return jaxwt.waverec2(c, case.wavelet)

    return {"jaxwt": jax_call(job, decompose, reconstruct, soft, case.folded())}


def ptwt_calls(case: Case, job: str) -> Calls:
    """ptwt, on one thread and on all: either may be the faster."""
    import ptwt
    import torch

    x, t = torch.from_numpy(case.folded()), torch.tensor(THRESHOLD)

    def decompose():
        return ptwt.wavedec2(x, case.wavelet, mode=MODE, level=case.level)

    def forward():
        with torch.inference_mode():
            return ptwt.waverec2(decompose(), case.wavelet)

    def gradient():
        approx, *details = decompose()
        shrunk = [
            type(bands)(*(torch.sign(c) * torch.relu(torch.abs(c) - t) for c in bands))
            for bands in details
        ]
        loss = torch.sum(ptwt.waverec2((approx, *shrunk), case.wavelet) ** 2)
        return loss.detach(), torch.autograd.grad(loss, (x, t))

    if job == "gradient":
        x.requires_grad_()
        t.requires_grad_()
    run = {"forward": forward, "gradient": gradient}[job]

    def on_threads(number):
        torch.set_num_threads(number)
        return run()

    return {
        f"ptwt, threads {number}": functools.partial(on_threads, number)
        for number in sorted({1, os.cpu_count() or 1})
    }


def pywavelets_calls(case: Case, job: str) -> Calls:
    """PyWavelets, compiled C on one thread; it has no gradient."""
    import pywt

    if job != "forward":
        return {}
    images = case.folded()
    return {
        "pywavelets": lambda: pywt.waverec2(
            pywt.wavedec2(images, case.wavelet, MODE, case.level), case.wavelet, MODE
        )
    }


LIBRARIES: dict[str, Callable[[Case, str], Calls]] = {
    "wbad_jax": wbad_jax_calls,
    "jaxwt": jaxwt_calls,
    "ptwt": ptwt_calls,
    "pywavelets": pywavelets_calls,
}


def fingerprint(job: str, output: Any) -> dict[str, float]:
    """Numbers by which the results of two libraries are compared."""
    if job == "forward":
        images = np.asarray(output, np.float64)
        return {"sum": float(images.sum()), "max": float(images.max())}
    loss, (dx, dt) = output
    magnitude = np.abs(np.asarray(dx, np.float64))
    return {"loss": float(loss), "sum |dx|": float(magnitude.sum()), "dt": float(dt)}


def check_agreement(fingerprints: Mapping[str, dict[str, float]]) -> None:
    """Raises AssertionError unless all settings computed the same as the first."""
    (first, expected), *others = fingerprints.items()
    for setting, found in others:
        for name, value in found.items():
            same = np.isclose(value, expected[name], rtol=RELATIVE_TOLERANCE, atol=0)
            assert same, f"{name}: {value} of {setting}, {expected[name]} of {first}"


class LibraryTimer:
    """The requests a worker answers about its library."""

    def __init__(self, library: str):
        self._make_calls = LIBRARIES[library]
        self._calls: Calls = {}
        self._repeats: dict[str, int] = {}

    def prepare(
        self, shape: list[int], wavelet: str, level: int, job: str, min_seconds: float
    ) -> dict[str, dict[str, float]]:
        """Compiles a job, in place of the last one; the fingerprint of each setting."""
        case = Case(tuple(shape), wavelet, level)
        self._calls = self._make_calls(case, job)
        outputs = {setting: call() for setting, call in self._calls.items()}
        self._repeats = {
            setting: count_repeats(call, min_seconds)
            for setting, call in self._calls.items()
        }
        return {
            setting: {} if setting == "copy" else fingerprint(job, output)
            for setting, output in outputs.items()
        }

    def time(self, setting: str) -> dict[str, float]:
        """One sample."""
        return take_sample(self._calls[setting], self._repeats[setting])


def main() -> None:
    """Serve one library."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=LIBRARIES)
    timer = LibraryTimer(parser.parse_args().name)
    serve({"prepare": timer.prepare, "time": timer.time})


if __name__ == "__main__":
    main()
