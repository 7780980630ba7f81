"""Numbers of the guide that have no figure."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from docs.figures.rules import score
from docs.figures.thermograms import (
    CELSIUS,
    DEGREES,
    NUM_PATIENTS,
    SHOWN,
    SIGMA,
    Record,
    add_noise,
    denoiser_settings,
    noise_sigma,
    simulate,
)
from wbad_jax import denoise, wavelets


def noise_in_subbands() -> Record:
    """Standard deviation of unit white noise in subbands, by kind of transform."""
    noise = np.random.default_rng(3).normal(size=(4, 256, 256, 1)).astype(np.float32)

    def deviations(details):
        return [[float(jnp.std(band)) for band in bands] for bands in details]

    record = {
        f"{wavelet}, {mode}": deviations(
            wavelets.wavedec2(noise, wavelet, mode, level=2)[1:]
        )
        for wavelet, mode in (
            ("db2", "periodization"),
            ("db2", "symmetric"),
            ("bior4.4", "periodization"),
            ("bior2.2", "periodization"),
        )
    }
    for norm in (False, True):
        bands = wavelets.swt2(noise, "db2", 2, trim_approx=True, norm=norm)[1:]
        record[f"db2, swt2, norm={norm}"] = deviations(bands)
    return record


def noise_estimates() -> Record:
    """What `noise_sigma` finds, with and without a masked background."""
    data = simulate(SHOWN, NUM_PATIENTS, 64)
    noisy = add_noise(data.healthy, 0)
    masked = np.where(data.body, noisy, 0)
    record: Record = {
        "added_celsius": CELSIUS,
        "mean_share_of_body": float(np.mean(data.body)),
    }
    for name, images in (("clean", data.healthy), ("noisy", noisy), ("masked", masked)):
        estimates = DEGREES * noise_sigma(images, "db2")
        record[f"mean_{name}_celsius"] = float(jnp.mean(estimates))

    def total(diagonal):
        return jnp.sum(denoise.median_magnitude(diagonal))

    for count in (31, 32):
        diagonal = wavelets.dwt2(noisy[:1, : 2 * count, : 2 * count]).diagonal
        reached = np.count_nonzero(jax.jit(jax.grad(total))(diagonal))
        record[f"gradient_reaches_of_{count**2}"] = int(reached)
    return record


@jax.jit
def round_trip(images: jax.Array) -> jax.Array:
    """Synthesis after analysis."""
    return wavelets.waverec2(wavelets.wavedec2(images, "db2", level=2), "db2")


def precision() -> Record:
    """Error of analysis and synthesis by dtype, and distance of the backends."""
    images = simulate(SHOWN, 4, 64).healthy
    record: Record = {}
    for dtype in (jnp.float32, jnp.float16, jnp.bfloat16):
        x = jnp.asarray(images, dtype)
        back = round_trip(x)
        error = jnp.abs(back.astype(jnp.float32) - images).max()
        stored = jnp.abs(x.astype(jnp.float32) - images).max()
        record[jnp.dtype(dtype).name] = {
            "reconstruction_celsius": DEGREES * float(error),
            "storage_celsius": DEGREES * float(stored),
        }
    reference = wavelets.wavedec2(images, "db2", level=2, backend="polyphase")
    for backend in ("matmul", "jaxwt"):
        decompose = functools.partial(
            wavelets.wavedec2, wavelet="db2", level=2, backend=backend
        )
        other = jax.jit(decompose)(images)
        distances = jax.tree.map(lambda a, b: jnp.abs(a - b).max(), reference, other)
        record[f"{backend} against polyphase, celsius"] = DEGREES * float(
            max(jax.tree.leaves(distances))
        )
    return record


def boundary_modes() -> Record:
    """Error in °C of a fixed threshold of one sigma, in each boundary mode."""
    data = simulate(SHOWN, NUM_PATIENTS, 64)
    noisy = add_noise(data.healthy, 0)
    record = {}
    for mode in wavelets.MODES:
        settings = denoiser_settings(mode=mode, threshold_rule="fixed", threshold=SIGMA)
        run = jax.jit(functools.partial(denoise.wavelet_denoise, settings=settings))
        record[mode] = score(np.asarray(run(noisy)), data)["rms_error_celsius"]
    return record
