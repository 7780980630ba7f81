"""Averages of the parameters over training steps, used for evaluation.

An average is given by its decay at each step: `average <- decay * average + (1 - decay)
* params`, after the update of that step.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

Decay = Callable[[jax.Array], jax.Array]


def exponential(decay: float = 0.99) -> Decay:
    """Exponential moving average, shorter early on: `(1 + n) / (10 + n)` if smaller.

    Raises:
        ValueError: If the decay is not in [0, 1).
    """
    if not 0 <= decay < 1:
        raise ValueError(f"ema_decay must be at least 0 and below 1, got {decay!r}.")
    return lambda step: jnp.minimum(decay, (1 + step) / (10 + step))


def stochastic(start_step: int) -> Decay:
    """Plain mean of the parameters after each step from `start_step` on.

    Before it, the parameters themselves.

    Raises:
        ValueError: If `start_step` is negative.

    Reference:
        Izmailov et al. (2018), Averaging weights leads to wider optima and better
        generalization, algorithm 1, with an average each step.
    """
    if start_step < 0:
        raise ValueError(f"start_step must be at least 0, got {start_step}.")

    def decay(step):
        earlier = jnp.maximum(step - start_step, 0)
        return earlier / (earlier + 1)

    return decay
