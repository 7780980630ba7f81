"""Trained thresholds over time: what the metric log gets of them, and their picture."""

import pathlib
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from experiments.settings import Arm
from experiments.threshold_plot import draw
from wbad_jax import denoise, devices, training
from wbad_jax.data import Dataset
from wbad_jax.types import Images, Params

Observe = Callable[[Params], Mapping[str, jax.Array]]


def threshold_observer(arm: Arm, validation: Dataset) -> Observe:
    """From parameters to thresholds by name, see `denoise.summarise_thresholds`.

    Args:
        arm: Without trained thresholds there is nothing to observe.
        validation: Its images are those that predicted thresholds depend on.

    Returns:
        A function that computes on the devices and does not wait for them.
    """
    settings = trained_thresholds(arm)
    if settings is None:
        return lambda params: {}
    start = settings.initial_scale * universal_multiple(arm)

    @jax.jit
    def summarise(params: Params, images: Images):
        found = jnp.asarray(arm.classifier.thresholds(params, images))
        if settings.threshold_rule == "learned":
            # Shared ones stand for all that share them.
            found = found if found.ndim == 3 else found[..., None]
            found = jnp.broadcast_to(found, (settings.level, 3, found.shape[-1]))
        return denoise.summarise_thresholds(found, start)

    # Whole on every device: they need not divide the images, and exchange nothing.
    mesh = devices.data_mesh()
    images = devices.replicate(validation.images, mesh)
    return lambda params: summarise(devices.replicate(params, mesh), images)


def draw_thresholds(arm: Arm, workdir: pathlib.Path, run: str) -> None:
    """Draw `workdir/<run>/thresholds.png` from the log and say where, unless it exists.

    Nothing is drawn for an arm without trained thresholds, or without matplotlib.
    """
    path = workdir / run / "thresholds.png"
    if trained_thresholds(arm) is None or path.exists():
        return
    lines = training.read_metrics(workdir / "metrics.jsonl")
    own = [line for line in lines if line["run"] == run]
    if draw(own, path, universal=universal_multiple(arm)):
        print(f"{run}: thresholds over time in {path}.")


def trained_thresholds(arm: Arm) -> denoise.DenoiserSettings | None:
    """The denoiser of an arm that trains thresholds; None of any other."""
    denoiser = arm.classifier.denoiser
    if arm.loop is None or denoiser is None:
        return None
    return denoiser if denoiser.threshold_rule in denoise.TRAINED_RULES else None


def universal_multiple(arm: Arm) -> float:
    """The universal threshold as a multiple of sigma."""
    height, width, _ = arm.classifier.settings.image_shape
    return float(denoise.universal_threshold(jnp.ones(()), height * width))
