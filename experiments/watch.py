"""What watches the images of a classifier: a denoiser, and scores from it."""

import dataclasses
from collections.abc import Collection

import jax
import jax.numpy as jnp
import numpy as np

from configs.default import Config
from experiments.config_errors import build
from experiments.settings import Arm
from wbad_jax import denoise, evaluation
from wbad_jax.denoise import Backward, DenoiserSettings
from wbad_jax.models import Classifier
from wbad_jax.types import Images, Params

TOTAL, SUBBANDS, CHANGE = (
    "removed_energy",
    "removed_energy_subbands",
    "prediction_change",
)
SCORES = (TOTAL, SUBBANDS, CHANGE)
FAMILIES = (TOTAL, CHANGE)  # scores that share their computation


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
    def names(self) -> tuple[str, ...]:
        """Of all scores, in the order of the columns of `everything`."""
        bands = denoise.subband_names(self.settings.level)
        return (TOTAL, *(f"{TOTAL}_{band}" for band in bands), CHANGE)

    def wanted(self, scores: Collection[str]) -> list[str]:
        """Names of scores that a config asks for, `SUBBANDS` standing for several."""
        alone = {TOTAL, CHANGE} & set(scores)
        return [
            name
            for name in self.names
            if name in alone or (SUBBANDS in scores and name not in SCORES)
        ]

    def everything(self, params: Params, images: Images) -> jax.Array:
        """Logits and all scores, `[batch, classes + scores]`."""
        logits = self._deployed.apply(params["deployed"], images)
        scores = self._energies(params, images), self._change(params, images)
        return jnp.concatenate([logits, *scores], axis=-1)

    def choose(self, name: str) -> tuple[str, np.ndarray]:
        """What `guarded` needs to know of a score: its family, and which it is there.

        All energies are of one family, and so of one compiled attack.
        """
        if name == CHANGE:
            return CHANGE, np.ones(1, np.float32)
        chosen = np.eye(len(self.names) - 1, dtype=np.float32)
        return TOTAL, chosen[self.names.index(name)]

    def guarded(self, family: str, params: Params, backward: Backward = "exact"):
        """What `Evasion` attacks: images to logits and a score's excess.

        Args:
            family: Of `choose`.
            params: Those of `self.params`, `chosen` of `choose`, and the `limit`.
            backward: Backward pass of the arm's denoiser.
        """

        def outputs(images: Images) -> jax.Array:
            logits = self._deployed.apply(params["deployed"], images, backward=backward)
            scores = self._change if family == CHANGE else self._energies
            score = scores(params, images) @ params["chosen"]
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
