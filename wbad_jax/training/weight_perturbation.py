"""Adversarial weight perturbation: the loss at the worst weights nearby.

A flat loss over weights goes with a small gap between robust accuracy on training and
on new images. Wu, Xia and Wang (2020), Adversarial weight perturbation helps robust
generalization, section 4 and algorithm 1.
"""

import dataclasses

import jax
import jax.numpy as jnp

from wbad_jax.types import Params


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeightPerturbation:
    """How far weights move against the optimiser before its gradient is taken.

    Attributes:
        gamma: Length of the move of each weight tensor, relative to its norm: 0.01 for
            adversarial training and 0.005 for TRADES in the paper's code; 0 for none.
        start_step: First step with a perturbation.

    Examples:
        >>> from wbad_jax.training import WeightPerturbation
        >>> WeightPerturbation(gamma=0.005, start_step=100)
        WeightPerturbation(gamma=0.005, start_step=100)
    """

    gamma: float = 0.01
    start_step: int = 0

    def __post_init__(self):
        if not 0 <= self.gamma < 1:
            raise ValueError(
                f"gamma must be at least 0 and below 1, got {self.gamma!r}."
            )
        if self.start_step < 0:
            raise ValueError(f"start_step must be at least 0, got {self.start_step}.")

    def __call__(self, params: Params, gradient: Params, step: jax.Array) -> Params:
        """Parameters moved along the gradient of the loss.

        Tensors of one axis, such as biases and scales, and all parameters of the
        denoiser stay as they are.

        Args:
            params: Of the model.
            gradient: Of the adversarial loss by them, at `params`.
            step: Of the training, `int32[]`.
        """
        gamma = jnp.where(step >= self.start_step, self.gamma, 0.0)

        def move(path, weights, slope):
            if weights.ndim < 2 or getattr(path[0], "key", None) == "denoiser":
                return weights
            length = jnp.linalg.norm(jnp.ravel(weights))
            steepness = jnp.linalg.norm(jnp.ravel(slope))
            scale = gamma * length / jnp.where(steepness > 0, steepness, 1)
            return weights + scale * slope

        return jax.tree_util.tree_map_with_path(move, params, gradient)
