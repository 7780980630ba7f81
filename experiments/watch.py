"""What watches the images of a classifier: a denoiser, and scores from it."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from configs.default import Config
from experiments.config_errors import build
from experiments.settings import Arm
from wbad_jax import denoise, evaluation
from wbad_jax.denoise import DenoiserSettings
from wbad_jax.models import Classifier
from wbad_jax.types import Images, Params

TOTAL, SUBBANDS, CHANGE = (
    "removed_energy",
    "removed_energy_subbands",
    "prediction_change",
)
SCORES = (TOTAL, SUBBANDS, CHANGE)


class Watch:
    """The scores of an arm's images, as functions of parameters and images.

    The denoiser is the arm's own; beside an arm without one stands that of the config,
    with thresholds as training would start with them.
    """

    def __init__(self, arm: Arm, config: Config, params: Params):
        own = arm.evaluated.denoiser
        settings = own or build(DenoiserSettings, "denoiser", config.denoiser)
        # Through a median all gradient goes to one or two coefficients: an attacker
        # who follows it is misled.
        settings = dataclasses.replace(settings, sigma_gradient=False)
        self.settings = settings
        self._deployed: Classifier = arm.evaluated
        self._watching = dataclasses.replace(arm.evaluated, denoiser=settings)
        self._raw = dataclasses.replace(arm.evaluated, denoiser=None)
        watching = params
        if own is None:
            start = jax.jit(self._watching.init)(jax.random.key(0))
            watching = {**start, "network": params["network"]}
        self.params = {"deployed": params, "watching": watching}

    @property
    def families(self) -> dict[str, tuple[Callable, tuple[str, ...]]]:
        """Functions to scores `[batch, k]`, with the names of the k."""
        bands = denoise.subband_names(self.settings.level)
        names = (TOTAL, *(f"{TOTAL}_{band}" for band in bands))
        return {TOTAL: (self._energies, names), CHANGE: (self._change, (CHANGE,))}

    def everything(self, params: Params, images: Images) -> jax.Array:
        """Logits and all scores, `[batch, classes + scores]`."""
        parts = [self._deployed.apply(params["deployed"], images)]
        parts += [family(params, images) for family, _ in self.families.values()]
        return jnp.concatenate(parts, axis=-1)

    def guarded(self, family: str, params: Params, **backward: str):
        """What `Evasion` attacks: images to logits and a score's excess.

        Args:
            family: Key of `families`.
            params: Those of `self.params`, and `chosen` `[k]`, 1 at the score that
                guards and 0 elsewhere, and its `limit`.
            **backward: Backward pass of the arm's denoiser.
        """

        def outputs(images: Images) -> jax.Array:
            logits = self._deployed.apply(params["deployed"], images, **backward)
            score = self.families[family][0](params, images) @ params["chosen"]
            excess = score[:, None] - params["limit"]
            return jnp.concatenate([logits, excess], axis=-1)

        return outputs

    def _energies(self, params: Params, images: Images) -> jax.Array:
        denoised = self._watching.denoise(params["watching"], images)
        energies = denoise.removed_energy(images, denoised, self.settings)
        return jnp.concatenate([energies.sum(-1, keepdims=True), energies], axis=-1)

    def _change(self, params: Params, images: Images) -> jax.Array:
        network = {"network": params["watching"]["network"]}
        denoised = self._watching.apply(params["watching"], images)
        raw = self._raw.apply(network, images)
        return evaluation.prediction_change(raw, denoised)[:, None]
