"""Attacks of this package and of Foolbox on models in JAX."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.attack_budgets import Budgets, Comparison
from benchmarks.attack_problem import Problem
from wbad_jax import attacks, devices
from wbad_jax.types import Images, Labels, Logits, LogitsFn, Params

# From a seed to adversarial images, waiting until they are there.
Run = Callable[[int], Any]
# A toy: so small that the time goes into dispatch, not arithmetic.
MLP_SHAPE, _MLP_WIDTH = (16, 8, 8, 1), 32


class Target(NamedTuple):
    """A model `apply(params, images)` and the images to attack it with."""

    apply: Callable[[Params, Images], Logits]
    params: Params
    images: Images
    labels: Labels

    @property
    def logits_fn(self) -> LogitsFn:
        """From images to logits."""
        return functools.partial(self.apply, self.params)


def make_target(problem: Problem, model: str, rows: Sequence[int]) -> Target:
    """A trained model and some of the test images, or the toy called "mlp"."""
    if model == "mlp":
        return _mlp_target()
    chosen = np.asarray(rows)
    apply = problem.settings.classifier(model).apply
    images, labels = problem.images[chosen], problem.labels[chosen]
    params = jax.tree.map(jnp.asarray, problem.params[model])
    return Target(apply, params, jnp.asarray(images), jnp.asarray(labels))


def _mlp_target() -> Target:
    rng = np.random.default_rng(0)
    sizes = (int(np.prod(MLP_SHAPE[1:])), _MLP_WIDTH, 2)
    params = [
        jnp.asarray(rng.normal(size=(n, m)) / n**0.5, jnp.float32)
        for n, m in zip(sizes[:-1], sizes[1:], strict=True)
    ]
    images = jnp.asarray(rng.uniform(0.2, 0.8, MLP_SHAPE), jnp.float32)

    def apply(params, images):
        flat = images.reshape(len(images), -1) - 0.5
        return jnp.tanh(flat @ params[0]) @ params[1]

    return Target(apply, params, images, jnp.argmax(apply(params, images), axis=-1))


def on_all_devices(target: Target) -> Target:
    """The same, with the images split among the devices."""
    mesh = devices.data_mesh(len(target.images))
    params = devices.replicate(target.params, mesh)
    images, labels = devices.split((target.images, target.labels), mesh)
    return Target(target.apply, params, images, labels)


def own_attack(comparison: Comparison, budgets: Budgets) -> attacks.Attack | None:
    """The attack of this package, or None where there is no such attack yet."""
    settings = {
        "fgsm": {},
        # Without the gradient that leads to the FGSM point, which peers do not take.
        "pgd": {"num_steps": budgets.pgd_steps, "start": "random"},
        "apgd": {"num_steps": budgets.apgd_steps, "restarts": 1, "loss": "margin"},
        "square": {"num_queries": budgets.queries},
        "fab": {"num_steps": budgets.fab_steps},
        "ddn": {"num_steps": budgets.ddn_steps},
        "cw": {
            "num_searches": budgets.cw_searches,
            "num_steps": budgets.cw_steps,
            "learning_rate": budgets.cw_learning_rate,
            "initial_const": budgets.cw_const,
        },
    }[comparison.attack]
    if comparison.attack not in attacks.ATTACKS:
        return None
    if not comparison.minimal:
        settings = {"norm": comparison.norm, **settings}
    return attacks.build(comparison.attack, **settings)


def jitted_attack(target: Target, attack: attacks.Attack) -> Callable:
    """`attack(params, key, images, labels, epsilon)`, jitted, of images only."""

    @jax.jit
    def run(params, key, images, labels, epsilon):
        logits_fn = functools.partial(target.apply, params)
        result = attack(logits_fn, key, images, labels, epsilon=epsilon)
        return result.adversarial

    return run


def own_run(
    target: Target, comparison: Comparison, budgets: Budgets, epsilon: float | None
) -> Run | None:
    """This package's attack; see `own_attack`."""
    attack = own_attack(comparison, budgets)
    if attack is None:
        return None
    jitted = jitted_attack(target, attack)

    def run(seed):
        key = jax.random.key(seed)
        arguments = (target.params, key, target.images, target.labels, epsilon)
        return jax.block_until_ready(jitted(*arguments))

    return run


def foolbox_run(
    target: Target, comparison: Comparison, budgets: Budgets, epsilon: float | None
) -> Run:
    """Foolbox's attack, on the jitted model."""
    import eagerpy
    import foolbox

    reference = _foolbox_attack(foolbox.attacks, comparison, budgets)
    model = attacks.foolbox_model(target.logits_fn)

    def run(seed):
        eagerpy.JAXTensor.key = jax.random.key(seed)
        raw, clipped, _ = reference(
            model, target.images, target.labels, epsilons=epsilon
        )
        return jax.block_until_ready(raw if epsilon is None else clipped)

    return run


def _foolbox_attack(known: Any, comparison: Comparison, budgets: Budgets) -> Any:
    step = {"steps": budgets.pgd_steps, "rel_stepsize": 2.5 / budgets.pgd_steps}
    make = {
        "fgsm linf": known.LinfFastGradientAttack,
        "pgd linf": functools.partial(known.LinfPGD, **step),
        "pgd l2": functools.partial(known.L2PGD, **step),
        "ddn l2": functools.partial(known.DDNAttack, steps=budgets.ddn_steps),
        "cw l2": functools.partial(
            known.L2CarliniWagnerAttack,
            binary_search_steps=budgets.cw_searches,
            steps=budgets.cw_steps,
            stepsize=budgets.cw_learning_rate,
            initial_const=budgets.cw_const,
        ),
    }[comparison.name]
    return make()


RUNS = {"wbad_jax": own_run, "foolbox": foolbox_run}
