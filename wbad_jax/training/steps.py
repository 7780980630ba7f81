"""The jit boundary of training: one update of the parameters, attack included."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from wbad_jax import stages
from wbad_jax.attacks import Attack
from wbad_jax.training import averaging
from wbad_jax.training.accumulation import accumulate, shares_of, split_batch
from wbad_jax.training.objectives import ApplyFn, Budgets, Objective
from wbad_jax.training.weight_perturbation import WeightPerturbation
from wbad_jax.types import Batch, Images, Key, Params, PerExample

# Folded into the key of a step for augmentation; objectives fold in small numbers.
_AUGMENTATION = 2**31 - 1
_PARTS = 2**31 - 2  # likewise for the parts of a batch
_RADII = 2**31 - 3  # and for the radius of each example


class TrainState(NamedTuple):
    """All that changes during training, and all that a checkpoint holds.

    Examples:
        >>> import jax.numpy as jnp
        >>> import optax
        >>> from wbad_jax.training import init_state
        >>> state = init_state({"w": jnp.ones((1, 2))}, optax.sgd(0.1))
        >>> int(state.step), bool(state.stopped)
        (0, False)
    """

    step: jax.Array  # int32[], updates done
    params: Params
    ema_params: Params  # average over the steps, used for evaluation
    opt_state: Any
    best_params: Params  # averaged parameters of the best validation so far
    best_score: jax.Array  # float32[], its robust validation accuracy; -1 before any
    best_step: jax.Array  # int32[]
    stopped: jax.Array  # bool[], whether training ended before its last step


def init_state(params: Params, optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first step. Pure; jit it.

    Examples:
        >>> import jax.numpy as jnp
        >>> import optax
        >>> from wbad_jax.training import init_state
        >>> state = init_state({"w": jnp.ones((1, 2))}, optax.sgd(0.1))
        >>> print(state.params["w"])
        [[1. 1.]]
    """
    # Copies: the step donates its input, and a buffer can be donated only once.
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        ema_params=jax.tree.map(jnp.copy, params),
        opt_state=optimizer.init(params),
        best_params=jax.tree.map(jnp.copy, params),
        best_score=-jnp.ones((), jnp.float32),
        best_step=jnp.zeros((), jnp.int32),
        stopped=jnp.zeros((), bool),
    )


def make_train_step(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    *,
    average: averaging.Decay | None = None,
    epsilon_share: Callable[[jax.Array], jax.Array] | None = None,
    epsilon_range: tuple[float, float] = (1.0, 1.0),
    weight_perturbation: WeightPerturbation | None = None,
    augment: Callable[[Key, Images], Images] | None = None,
    accumulation_steps: int = 1,
):
    """Return a jitted `train_step(state, batch, key, budgets) -> (state, metrics)`.

    What varies between calls is an argument; what is fixed for the run is closed over.
    The step compiles once per batch shape. `state` is donated: do not use it again.

    Args:
        objective: What to minimise.
        optimizer: Any optax transformation.
        average: Decay of the averaged parameters; `averaging.exponential()` if None.
        epsilon_share: From the step to the share of the budgets in force; all of them
            at all times if None.
        epsilon_range: Multiples of the budgets, between which each example of a step
            draws its own, uniform in the logarithm. One network for many radii: with
            two equal numbers it is trained for one.
        weight_perturbation: Where to take the optimiser's gradient; at the parameters
            themselves if None. Costs one more gradient.
        augment: Changes the images before anything else sees them; its draws do not
            touch those of the objective.
        accumulation_steps: Parts of the batch that are crafted and differentiated one
            after the other, for less memory; divides the batch. The loss and metrics of
            the objective must be means by the weights of the examples, as all here are:
            what comes out is then the mean of the whole batch. Each part has random
            draws of its own. Compiling takes longer by about this factor.

    Returns:
        The compiled step. `metrics` are scalars still on the device: fetch them only
        when they are logged, so that the host does not wait on every step.

    Raises:
        ValueError: If `epsilon_range` is not two positive numbers in order.

    Examples:
        >>> import jax, jax.numpy as jnp, optax
        >>> from wbad_jax import training
        >>> from wbad_jax.types import Batch
        >>> logits_fn_of = lambda p: lambda images: images.mean((1, 2)) @ p["w"]
        >>> objective = training.mixture(logits_fn_of, {}, {"clean": 1.0})
        >>> step = training.make_train_step(objective, optax.sgd(0.1))
        >>> state = training.init_state({"w": jnp.zeros((1, 2))}, optax.sgd(0.1))
        >>> batch = Batch(jnp.ones((2, 4, 4, 1)), jnp.array([1, 1]), jnp.ones(2))
        >>> state, metrics = step(state, batch, jax.random.key(0), {"linf": 0.1})
        >>> int(state.step), round(float(metrics["loss"]), 3)
        (1, 0.693)
    """
    average = average or averaging.exponential()
    multiples_of = _drawn_from(epsilon_range)

    def train_step(state: TrainState, batch: Batch, key: Key, budgets: Budgets):
        # Folding in the step, not splitting a carried key: a run resumed from a
        # checkpoint sees the keys it would have seen without the interruption.
        key = jax.random.fold_in(key, state.step)
        ramp = epsilon_share(state.step) if epsilon_share else jnp.ones(())
        budgets = jax.tree.map(lambda budget: budget * ramp, budgets)
        if augment is not None:
            images = augment(jax.random.fold_in(key, _AUGMENTATION), batch.images)
            batch = batch._replace(images=images)
        (loss, metrics), grads = _differentiate(
            objective, state, key, budgets, multiples_of, weight_perturbation,
            split_batch(batch, accumulation_steps),
        )  # fmt: skip
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        share = 1 - average(state.step)
        ema_params = optax.incremental_update(params, state.ema_params, share)
        metrics = metrics | {
            "loss": loss,
            "gradient_norm": optax.tree.norm(grads),
            "epsilon_share": ramp,
        }
        state = state._replace(
            step=state.step + 1,
            params=params,
            ema_params=ema_params,
            opt_state=opt_state,
        )
        return state, metrics

    return jax.jit(train_step, donate_argnums=0)


def _drawn_from(
    epsilon_range: tuple[float, float],
) -> Callable[[Key, Batch], jax.Array]:
    """From a key and examples to the multiple of the budgets that each is to meet."""
    low, high = epsilon_range
    if not 0 < low <= high < math.inf:
        raise ValueError(
            "epsilon_range must be two positive numbers, the smaller first, got "
            f"{tuple(epsilon_range)}."
        )
    if low == high:
        return lambda key, batch: jnp.float32(low)

    def multiples(key: Key, batch: Batch) -> jax.Array:
        return jnp.exp(
            jax.random.uniform(
                key, batch.labels.shape, minval=math.log(low), maxval=math.log(high)
            )
        )

    return multiples


def _differentiate(
    objective, state, key, budgets, multiples_of, weight_perturbation, parts
):
    """Loss, metrics and the gradient for the optimiser, of parts of a batch."""
    grad_fn = jax.value_and_grad(objective.loss, has_aux=True)
    keys = [key]
    if len(parts) > 1:
        keys = jax.random.split(jax.random.fold_in(key, _PARTS), len(parts))

    def attacked(keyed_part):
        part_key, part = keyed_part
        multiples = multiples_of(jax.random.fold_in(part_key, _RADII), part)
        radii = jax.tree.map(lambda budget: budget * multiples, budgets)
        versions = objective.craft(state.params, part_key, part, radii)
        # What the attacks exchange between devices comes before what the loss does.
        versions, part = stages.in_order(versions, part)
        return grad_fn(state.params, part, versions), (part, versions)

    def moved_gradient(crafted):
        return grad_fn(moved, *crafted)[1], None

    shares = shares_of(parts)
    (outcome, grads), crafted = accumulate(
        attacked, list(zip(keys, parts, strict=True)), shares
    )
    if weight_perturbation is not None:
        moved = weight_perturbation(state.params, grads, state.step)
        grads, _ = accumulate(moved_gradient, crafted, shares)
    return outcome, grads


def make_robust_eval_step(logits_fn_of: ApplyFn, attack: Attack):
    """Return a jitted `eval_step(params, batch, key, epsilon) -> correct flags`.

    Returns:
        Two float arrays `[batch]`: correct on clean, and correct on clean and attacked
        images; padding counts 0 in both.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from wbad_jax.attacks import FGSM
        >>> from wbad_jax.training import make_robust_eval_step
        >>> from wbad_jax.types import Batch
        >>> logits_fn_of = lambda p: lambda images: images.mean((1, 2)) @ p["w"]
        >>> step = make_robust_eval_step(logits_fn_of, FGSM())
        >>> images = jnp.full((2, 4, 4, 1), 0.05)
        >>> batch = Batch(images, jnp.array([0, 1]), jnp.ones(2))
        >>> params = {"w": jnp.array([[-1.0, 1.0]])}
        >>> clean, robust = step(params, batch, jax.random.key(0), 0.1)
        >>> print(clean, robust)
        [0. 1.] [0. 0.]
    """

    def eval_step(
        params: Params, batch: Batch, key: Key, epsilon
    ) -> tuple[PerExample, PerExample]:
        logits_fn = logits_fn_of(params)
        clean = jnp.argmax(logits_fn(batch.images), axis=-1) == batch.labels
        result = attack(logits_fn, key, batch.images, batch.labels, epsilon=epsilon)
        robust = clean & ~result.success
        return clean * batch.weights, robust * batch.weights

    return jax.jit(eval_step)
