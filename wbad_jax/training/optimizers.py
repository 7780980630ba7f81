"""Optimiser and schedules."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from wbad_jax.types import Params


def adamw(
    *,
    learning_rate: float,
    num_steps: int,
    warmup_fraction: float = 0.05,
    weight_decay: float = 1e-4,
    clip_norm: float = 1.0,
    threshold_learning_rate: float | None = None,
) -> optax.GradientTransformation:
    """AdamW with linear warm-up, cosine decay to zero and clipped gradients.

    Weights of two and more dimensions decay; biases, normalisation and learned
    thresholds do not (decay would pull a softplus threshold to ln 2 whatever the data
    say).

    Args:
        learning_rate: Peak value.
        num_steps: Length of the schedule.
        warmup_fraction: Share of `num_steps` spent rising to the peak.
        weight_decay: Decoupled weight decay.
        clip_norm: Largest global norm of a gradient.
        threshold_learning_rate: Peak value for the parameters under "denoiser"; None
            uses `learning_rate`.

    Raises:
        ValueError: If a rate is not positive and finite, or `num_steps` is below 1.

    Reference:
        Loshchilov and Hutter (2019), Decoupled weight decay regularization.

    Examples:
        >>> import jax.numpy as jnp
        >>> from wbad_jax.training import adamw
        >>> optimizer = adamw(learning_rate=1e-3, num_steps=100)
        >>> state = optimizer.init({"w": jnp.ones(3)})
    """
    rates = {"network": learning_rate, "denoiser": threshold_learning_rate}
    if threshold_learning_rate is None:
        rates["denoiser"] = learning_rate
    for name, rate in rates.items():
        if rate is None or not 0 < rate < float("inf"):  # NaN neither
            raise ValueError(
                f"learning rate of the {name} must be positive and finite, got {rate}."
            )
    if num_steps < 1:
        raise ValueError(f"num_steps must be at least 1, got {num_steps}.")

    def group(rate):
        warmup = max(int(warmup_fraction * num_steps), 1)
        schedule = optax.warmup_cosine_decay_schedule(
            0.0, rate, warmup, max(num_steps, warmup + 1)
        )
        return optax.adamw(schedule, weight_decay=weight_decay, mask=_decays)

    return optax.chain(
        optax.clip_by_global_norm(clip_norm),
        optax.partition({name: group(rate) for name, rate in rates.items()}, _group_of),
    )


def _decays(params: Params):
    # None of the denoiser's parameters: its [levels, 3] thresholds are 2-D too.
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf.ndim > 1 and _top(path) != "denoiser", params
    )


def _group_of(params: Params):
    return jax.tree_util.tree_map_with_path(
        lambda path, _: "denoiser" if _top(path) == "denoiser" else "network", params
    )


def _top(path) -> str:
    return str(getattr(path[0], "key", path[0]))


def epsilon_ramp(
    ramp_steps: int, delay_steps: int = 0
) -> Callable[[jax.Array], jax.Array]:
    """Share of the full epsilon at each step: 0, then linear, then 1.

    Adversarial training at full epsilon from the first step tends to stay at chance on
    small data sets.

    Args:
        ramp_steps: Steps over which the share grows.
        delay_steps: Steps before, on clean images.

    Examples:
        >>> from wbad_jax.training import epsilon_ramp
        >>> share = epsilon_ramp(10)
        >>> print(share(5), share(20))
        0.6 1.0
    """
    if ramp_steps <= 0 and delay_steps <= 0:
        return lambda step: jnp.ones((), jnp.float32)
    length = max(ramp_steps, 1)
    return lambda step: jnp.clip((step - delay_steps + 1) / length, 0, 1).astype(
        jnp.float32
    )
