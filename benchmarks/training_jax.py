"""Training steps of this package, and what they are made of."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from benchmarks.training_problem import StepSettings
from wbad_jax import attacks, denoise, devices, models, training
from wbad_jax.models import cnn, layers
from wbad_jax.types import Batch, Params

Call = Callable[[], Any]
# Of the product of matrices that stands for the peak of the machine.
_MATRIX = 2048
_STEPS = 10_000  # of the learning-rate schedule; none of them is reached


def make_step(settings: StepSettings, classifier: models.Classifier | None = None):
    """The jitted step, its first state, and a batch on the devices."""
    classifier = classifier or settings.classifier
    attack = attacks.PGD(
        num_steps=settings.attack_steps,
        step_size=settings.step_size,
        loss="cross_entropy",
        start="random",
        keep="last",
    )
    weights = {"clean" if settings.objective == "standard" else "pgd": 1.0}
    objective = training.mixture(classifier.logits_fn, {"pgd": attack}, weights)
    optimizer = training.adamw(
        learning_rate=settings.learning_rate,
        num_steps=_STEPS,
        weight_decay=settings.weight_decay,
        clip_norm=settings.clip_norm,
    )
    average = training.averaging.exponential(settings.ema_decay)
    step = training.make_train_step(objective, optimizer, average=average)
    params = jax.jit(classifier.init)(jax.random.key(0))
    state = jax.jit(functools.partial(training.init_state, optimizer=optimizer))(params)
    mesh = devices.data_mesh(settings.batch)
    batch = devices.split(settings.draw_batch(), mesh)
    return step, devices.replicate(state, mesh), batch


def step_call(settings: StepSettings, classifier=None) -> Call:
    """One training step a call, on from the last."""
    step, state, batch = make_step(settings, classifier)
    states = [state]
    key, budgets = jax.random.key(1), {"linf": jnp.float32(settings.epsilon)}

    def call():
        states[0], metrics = step(states[0], batch, key, budgets)
        jax.block_until_ready((states[0], metrics))

    return call


@contextlib.contextmanager
def plain_flax() -> Iterator[None]:
    """Networks of Flax's own convolutions and normalisation, as most people write."""
    ours = cnn.group_norm

    def group_norm(channels: int) -> nnx.Module:
        size = ours(channels).group_size
        return nnx.GroupNorm(
            channels, num_groups=None, group_size=size, rngs=nnx.Rngs(0)
        )

    stock = jax.lax.conv_general_dilated
    with (
        mock.patch.object(layers, "conv_general_dilated", stock),
        mock.patch.object(cnn, "group_norm", group_norm),
    ):
        yield


def plain_flax_call(settings: StepSettings) -> Call:
    """The same step of such a network, compiled."""
    with plain_flax():
        call = step_call(settings)
        call()
    return call


def component_calls(settings: StepSettings) -> dict[str, Call]:
    """The parts of a step, each jitted alone; and a large product of matrices."""
    classifier = settings.classifier
    _, state, batch = make_step(settings)
    functions: dict[str, tuple[Callable, tuple]] = {
        name: (function, (state.params, batch))
        for name, function in _network_functions(classifier).items()
    }
    if classifier.denoiser is not None:
        functions["denoiser"] = (_denoise(classifier.denoiser), (batch.images,))
        functions["denoiser and gradient"] = (
            _denoise_gradient(classifier.denoiser),
            (batch.images,),
        )
    functions["optimiser"] = (_update(settings), (state.params, state.opt_state))
    matrix = jax.random.normal(jax.random.key(0), (_MATRIX, _MATRIX))
    functions["matrix product"] = (jnp.matmul, (matrix, matrix))
    calls: dict[str, Call] = {}
    for name, (function, arguments) in functions.items():
        calls[name] = _blocking(jax.jit(function), *arguments)
    host, mesh = settings.draw_batch(), devices.data_mesh(settings.batch)
    calls["data"] = lambda: jax.block_until_ready(devices.split(host, mesh))
    return calls


def count_operations(settings: StepSettings) -> dict[str, float]:
    """Floating point operations of parts, of convolutions as a textbook counts them.

    The gradients by images and by kernels each take as many as the forward pass; what
    a particular way of computing them multiplies by zero does not count.
    """
    shape = jax.eval_shape(settings.classifier.init, jax.random.key(0))
    images = jax.ShapeDtypeStruct(
        (settings.batch, settings.size, settings.size, 1), jnp.float32
    )
    bare = models.Classifier(settings.classifier.settings)
    network = {"network": shape["network"]}
    with plain_flax():
        lowered = jax.jit(bare.apply).lower(network, images)
        forward = lowered.cost_analysis()["flops"]
    return {
        "forward": forward,
        "gradient by images": 2 * forward,
        "gradient by weights": 3 * forward,
        "matrix product": 2.0 * _MATRIX**3,
    }


def peak_memory(settings: StepSettings) -> dict[str, int]:
    """Bytes that the compiled step needs on one device, by XLA's account."""
    step, state, batch = make_step(settings)
    budgets = {"linf": jnp.float32(settings.epsilon)}
    compiled = step.lower(state, batch, jax.random.key(1), budgets).compile()
    account = compiled.memory_analysis()
    return {
        "arguments": account.argument_size_in_bytes,
        "temporary": account.temp_size_in_bytes,
    }


def _network_functions(classifier: models.Classifier) -> dict[str, Callable]:
    def loss(params: Params, batch: Batch, images):
        logits = classifier.apply(params, images)
        return jnp.mean(attacks.cross_entropy(logits, batch.labels))

    def by_images(params, batch):
        return jax.grad(loss, argnums=2)(params, batch, batch.images)

    def by_weights(params, batch):
        return jax.grad(loss)(params, batch, batch.images)

    return {
        "forward": lambda params, batch: classifier.apply(params, batch.images),
        "gradient by images": by_images,
        "gradient by weights": by_weights,
    }


def _denoise(settings: denoise.DenoiserSettings) -> Callable:
    return lambda images: denoise.wavelet_denoise(images, settings)


def _denoise_gradient(settings: denoise.DenoiserSettings) -> Callable:
    def run(images):
        value, transpose = jax.vjp(_denoise(settings), images)
        return transpose(value)

    return run


def _update(settings: StepSettings) -> Callable:
    optimizer = training.adamw(learning_rate=settings.learning_rate, num_steps=_STEPS)

    def update(params, opt_state):
        # Any gradient costs the same.
        changes, opt_state = optimizer.update(params, opt_state, params)
        return optax.apply_updates(params, changes), opt_state

    return update


def _blocking(function: Callable, *arguments) -> Call:
    return lambda: jax.block_until_ready(function(*arguments))
