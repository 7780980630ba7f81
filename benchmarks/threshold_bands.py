"""In which subbands lesions and perturbations lie, and what a denoiser leaves of them.

Soft thresholds act on details alone. What they can do against an attacker depends on
how much of a perturbation lies there; what they cost, on how much of a lesion does.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.cohort import examples_of
from experiments.trained_run import TrainedRun
from wbad_jax import attacks, denoise, wavelets
from wbad_jax.evaluation import Evaluator
from wbad_jax.models import Classifier
from wbad_jax.types import Params

ARM, SURROGATE = "wbad", "undefended"
_EXAMPLES, _BATCH = 100, 50
_PGD = attacks.PGD(num_steps=20)


def lesion_ratios(
    lesions: np.ndarray, epsilon: float, wavelet: str, levels: int
) -> list[dict[str, float]]:
    """How much larger lesions are than what a Linf budget can do, subband by subband.

    A perturbation of at most epsilon moves a coefficient by epsilon times the sum of
    the filter's absolute values.

    Args:
        lesions: Differences of twins, `[n, height, width, channels]`, pixel units.
        epsilon: Linf radius, pixel units.
        wavelet: PyWavelets name.
        levels: From 1 to this one.

    Returns:
        A row a level: medians over lesions of largest coefficient / largest move, of
        the approximation and of the largest of the three details.
    """
    rows = []
    for level in range(1, levels + 1):
        ratios = []
        found = wavelets.wavedec2(lesions, wavelet, "symmetric", level)
        low, high = _gains(wavelet, level)
        for band, gain in (
            (found[0], low * low),
            (found[1].horizontal, low * high),
            (found[1].vertical, low * high),
            (found[1].diagonal, high * high),
        ):
            largest = np.abs(np.asarray(band)).max(axis=(1, 2, 3))
            ratios.append(float(np.median(largest) / (epsilon * gain)))
        rows.append(
            {"level": level, "approximation": ratios[0], "details": max(ratios[1:])}
        )
    return rows


def _gains(wavelet: str, level: int) -> tuple[float, float]:
    """Sums of the absolute values of the 1D filters at a level, low- and high-pass."""
    bank = wavelets.as_wavelet(wavelet)
    low, high = np.asarray(bank.dec_lo), np.asarray(bank.dec_hi)
    smooth = np.ones(1)
    for step in range(level):
        parts = [np.zeros((len(taps) - 1) * 2**step + 1) for taps in (low, high)]
        for part, taps in zip(parts, (low, high), strict=True):
            part[:: 2**step] = taps
        smooth, last = (np.convolve(smooth, part) for part in parts)
    return float(np.abs(smooth).sum()), float(np.abs(last).sum())


def what_is_left(run: TrainedRun, graybox: np.ndarray) -> list[dict[str, Any]]:
    """Where lesions and perturbations lie, and how much the denoiser keeps of them.

    Args:
        run: With the arm `wbad`.
        graybox: Perturbations of the first test images, made on another network.

    Returns:
        A row each for lesions, graybox and adaptive perturbations: median shares of
        their energy.
    """
    arm, params = run.arm(ARM)
    test = examples_of(run.fold.test, run.fold.test_pairs)
    images, twins = test.images[:_EXAMPLES], test.twins
    assert twins is not None  # simulated patients
    sick = test.labels[:_EXAMPLES, None, None, None] == 1
    healthy = np.where(sick, twins[:_EXAMPLES], images)
    tumour = np.where(sick, images, twins[:_EXAMPLES])
    # What is changed, and by what.
    moved = {
        "lesion": (healthy, tumour - healthy),
        "graybox": (images, graybox),
        "adaptive": (images, perturbation(run, ARM)),
    }
    shares = _shares_of(arm.classifier)
    rows = []
    for name, (before, change) in moved.items():
        inside, kept = (np.asarray(s) for s in shares(params, before, change))
        rows.append(
            {
                "what": name,
                "approximation": float(np.median(inside)),
                "kept": float(np.median(kept)),
            }
        )
    return rows


def _shares_of(classifier: Classifier):
    denoiser = classifier.denoiser
    assert denoiser is not None

    def denoised(params: Params, images):
        learned = classifier.thresholds(params, images)
        return denoise.wavelet_denoise(images, denoiser, learned)

    @jax.jit
    def shares(params: Params, images, change):
        whole = jnp.sum(jnp.square(change), axis=(1, 2, 3))
        # Orthogonal: the energy of the coefficients is that of the image.
        found = wavelets.wavedec2(
            change, denoiser.wavelet, "periodization", denoiser.level
        )
        inside = jnp.sum(jnp.square(found[0]), axis=(1, 2, 3))
        left = denoised(params, images + change) - denoised(params, images)
        return inside / whole, jnp.sum(jnp.square(left), axis=(1, 2, 3)) / whole

    return shares


def perturbation(run: TrainedRun, name: str) -> np.ndarray:
    """What PGD on an arm adds to the first test images, `[n, height, width, channels]`.

    Args:
        run: With the arm.
        name: Of the arm.
    """
    arm, params = run.arm(name)
    first = examples_of(run.fold.test).subset(slice(_EXAMPLES))
    evaluator = Evaluator(arm.classifier.logits_fn, batch_size=_BATCH)
    made = evaluator.attack(
        _PGD, params, first, jax.random.key(0), run.fold.budgets["linf"]
    )
    return made.images - first.images


def thresholds_of(run: TrainedRun) -> dict[str, Any]:
    """Thresholds on clean test images, in multiples of epsilon and of the noise.

    Returns:
        `epsilons` and `sigmas`, medians over images as lists `[levels][3]`, coarsest
        level first; `sigma`, the median noise level in pixel units.
    """
    arm, params = run.arm(ARM)
    denoiser = arm.classifier.denoiser
    assert denoiser is not None
    images = run.fold.test.images[:_EXAMPLES]
    found = jax.jit(arm.classifier.pixel_thresholds)(params, images)
    of_band = np.array(
        [[float(np.median(np.asarray(each))) for each in level] for level in found]
    )
    noise = denoise.noise_sigma(images, denoiser.wavelet, denoiser.mode)
    sigma = float(np.median(np.asarray(noise)))
    return {
        "epsilons": (of_band / run.fold.budgets["linf"]).tolist(),
        "sigmas": (of_band / sigma).tolist(),
        "sigma": sigma,
    }
