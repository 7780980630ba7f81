"""What the parts of the wavelet denoiser cost, and the worker process that measures.

Run times are medians over interleaved rounds within this process, reported as ratios:
to a copy of the same array, or to the transforms of the same images. Compile times are
those of the 3-level denoiser's gradient and of the stationary transform.

    python -m benchmarks.wavelet_parts    # started by benchmarks.wavelets
"""

import argparse
import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.measure import time_calls, time_ratio
from benchmarks.wavelet_libraries import (
    MODE,
    THRESHOLD,
    Case,
    check_agreement,
    copy_call,
    fingerprint,
    wbad_jax_call,
)
from benchmarks.worker import serve
from wbad_jax import denoise, wavelets

STATIONARY_WAVELET, STATIONARY_LEVEL = "db4", 2
DENOISER_LEVEL = 3


@dataclasses.dataclass(frozen=True)
class Part:
    """One measurement: a function of the worker and its arguments."""

    function: str
    arguments: dict[str, Any]

    @property
    def name(self) -> str:
        """As the table shows it: "noise_sigma 64x64x64x1 haar"."""
        words = [
            "x".join(map(str, value)) if isinstance(value, tuple) else str(value)
            for value in self.arguments.values()
        ]
        return " ".join([self.function, *words])


def list_parts(
    shapes: Sequence[tuple[int, ...]], names: Sequence[str], modes: Sequence[str]
) -> list[Part]:
    """All measurements for images of these shapes and these wavelets.

    Compile times are taken at the first shape.
    """
    parts = []
    for shape in shapes:
        parts += [Part("noise_sigma", {"shape": shape, "wavelet": n}) for n in names]
        parts.append(Part("soft_threshold", {"shape": shape}))
        parts.append(Part("stationary", {"shape": shape}))
        parts += [
            Part("matmul", {"shape": shape, "wavelet": n, "level": 2, "job": job})
            for n in names
            for job in ("forward", "gradient")
        ]
    parts.append(Part("compile_stationary", {"shape": shapes[0]}))
    parts += [
        Part("compile_denoiser", {"shape": shapes[0], "wavelet": name, "mode": mode})
        for name in names
        for mode in modes
    ]
    return parts


def _images(shape: Sequence[int]) -> np.ndarray:
    return Case(tuple(shape), "haar", 1).images()


def _blocking(function: Callable, *arguments: Any) -> Callable[[], Any]:
    compiled = jax.jit(function)
    return lambda: jax.block_until_ready(compiled(*arguments))


def _time(calls: dict[str, Callable], rounds: int, min_seconds: float) -> dict:
    for call in calls.values():
        call()  # compiled before the clock starts
    return time_calls(calls, rounds, min_seconds)


def noise_sigma(shape: list[int], wavelet: str, **timing: Any) -> dict[str, Any]:
    """Median of the diagonal subband, against round trips of the same images."""
    images = _images(shape)
    diagonal = jax.jit(lambda x: wavelets.dwt2(x, wavelet, MODE).diagonal)(images)
    calls = {"median": _blocking(denoise.median_magnitude, diagonal)}
    for level in (1, 2, 3):
        case = Case(tuple(shape), wavelet, level)
        calls[f"round trip, level {level}"] = wbad_jax_call(case, "forward")
    times = _time(calls, **timing)
    median = times["median"]
    ratios = {
        f"of the {name}": time_ratio(median, spent)
        for name, spent in times.items()
        if name != "median"
    }
    return {"times": times, "ratios": ratios}


def soft_threshold(shape: list[int], **timing: Any) -> dict[str, Any]:
    """Value and gradient in coefficients and a scalar threshold, in copies.

    Of `sum(soft(c, t) ** 2)`, which writes one array; and value and transpose for a
    given cotangent, which reads two and writes two.
    """
    centred = jnp.asarray(_images(shape)) - 0.5
    t = jnp.float32(THRESHOLD)

    def energy(c, t):
        return jnp.sum(denoise.soft_threshold(c, t) ** 2)

    def transpose(c, t, cotangent):
        value, pull = jax.vjp(denoise.soft_threshold, c, t)
        return value, pull(cotangent)

    gradient = jax.value_and_grad(energy, argnums=(0, 1))
    calls = {
        "copy": copy_call(centred),
        "gradient": _blocking(gradient, centred, t),
        "transpose": _blocking(transpose, centred, t, centred[::-1]),
    }
    return _in_copies(_time(calls, **timing))


def _stationary_round_trip(images: jax.Array) -> jax.Array:
    coefficients = wavelets.swt2(images, STATIONARY_WAVELET, STATIONARY_LEVEL)
    return wavelets.iswt2(coefficients, STATIONARY_WAVELET)


def stationary(shape: list[int], **timing: Any) -> dict[str, Any]:
    """`iswt2(swt2(x))`, in copies."""
    images = jnp.asarray(_images(shape))
    calls = {
        "copy": copy_call(images),
        "round trip": _blocking(_stationary_round_trip, images),
    }
    return _in_copies(_time(calls, **timing))


def _in_copies(times: dict[str, dict[str, float]]) -> dict[str, Any]:
    ratios = {
        f"{name}, copies": time_ratio(spent, times["copy"])
        for name, spent in times.items()
        if name != "copy"
    }
    return {"times": times, "ratios": ratios}


def matmul(
    shape: list[int], wavelet: str, level: int, job: str, **timing: Any
) -> dict[str, Any]:
    """A job with backend "matmul", against the same with "polyphase"."""
    case = Case(tuple(shape), wavelet, level)
    backends = ("polyphase", "matmul")
    calls = {backend: wbad_jax_call(case, job, backend) for backend in backends}
    check_agreement({name: fingerprint(job, call()) for name, call in calls.items()})
    times = _time(calls, **timing)
    ratio = time_ratio(times["matmul"], times["polyphase"])
    return {"times": times, "ratios": {"of polyphase": ratio}}


def compile_seconds(function: Callable, example: Any, repeats: int) -> dict[str, Any]:
    """Median seconds to trace, lower and compile, from empty caches."""
    wall, cpu = [], []
    for _ in range(repeats):
        jax.clear_caches()
        start = time.perf_counter(), time.process_time()
        jax.jit(function).lower(example).compile()
        wall.append(time.perf_counter() - start[0])
        cpu.append(time.process_time() - start[1])
    return {
        "wall_s": statistics.median(wall),
        "cpu_s": statistics.median(cpu),
        "all_wall_s": wall,
    }


def compile_denoiser(
    shape: list[int], wavelet: str, mode: str, repeats: int
) -> dict[str, Any]:
    """Compiling the gradient of the 3-level denoiser with the universal threshold."""
    settings = denoise.DenoiserSettings(
        wavelet=wavelet, mode=mode, level=DENOISER_LEVEL, threshold_rule="universal"
    )

    def loss(images):
        return jnp.sum(denoise.wavelet_denoise(images, settings) ** 2)

    return compile_seconds(jax.grad(loss), jnp.asarray(_images(shape)), repeats)


def compile_stationary(shape: list[int], repeats: int) -> dict[str, Any]:
    """Compiling `iswt2(swt2(x))`."""
    return compile_seconds(_stationary_round_trip, jnp.asarray(_images(shape)), repeats)


FUNCTIONS: dict[str, Callable[..., dict[str, Any]]] = {
    function.__name__: function
    for function in (
        noise_sigma,
        soft_threshold,
        stationary,
        matmul,
        compile_denoiser,
        compile_stationary,
    )
}


def main() -> None:
    """Serve the measurements."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    serve(FUNCTIONS)


if __name__ == "__main__":
    main()
