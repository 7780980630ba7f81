"""The training step: what it computes, how often it compiles, what it ignores."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from wbad_jax import attacks, training
from wbad_jax.types import Batch

CLASSES = 2


@dataclasses.dataclass(frozen=True)
class Noise:
    """An attack that answers with noise: all of its randomness comes from the key."""

    norm: str = "linf"

    def __call__(self, logits_fn, key, images, labels, *, epsilon, **_):
        noise = jax.random.uniform(key, images.shape, minval=-1.0, maxval=1.0)
        images = images + epsilon * noise
        margin = attacks.margin(logits_fn(images), labels)
        distance = attacks.perturbation_norm(epsilon * noise, self.norm)
        return attacks.AttackResult(images, margin < 0, margin, distance)


def logits_fn_of(params):
    return lambda x: x.reshape(x.shape[0], -1) @ params["kernel"] + params["bias"]


def initial_params():
    kernel = np.random.default_rng(0).normal(size=(4, CLASSES))
    return {"kernel": jnp.asarray(kernel, jnp.float32), "bias": jnp.zeros(CLASSES)}


def batch_at(index, size=6):
    rng = np.random.default_rng(index)
    images = rng.uniform(size=(size, 2, 2, 1)).astype(np.float32)
    labels = (images.mean(axis=(1, 2, 3)) > 0.5).astype(np.int32)
    return Batch(images, labels, np.ones(size, np.float32))


def make(objective=None, optimizer=None, **options):
    optimizer = optimizer or optax.adam(0.1)
    objective = objective or training.mixture(
        logits_fn_of, {"noise": Noise()}, {"clean": 1.0, "noise": 1.0}
    )
    state = jax.jit(lambda p: training.init_state(p, optimizer))(initial_params())
    return training.make_train_step(objective, optimizer, **options), state


def assert_equal(actual, expected):
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


@pytest.mark.fast
def test_many_steps_compile_once(key):
    traces = []
    inner = training.mixture(logits_fn_of, {"noise": Noise()}, {"noise": 1.0})

    def loss(*arguments):
        traces.append(None)
        return inner.loss(*arguments)

    objective = training.Objective(inner.craft, loss)
    step, state = make(objective, epsilon_share=training.epsilon_ramp(3))
    for index in range(5):
        budgets = {"linf": jnp.asarray(0.01 * index)}
        state, _ = step(state, batch_at(index), jax.random.fold_in(key, index), budgets)
    assert len(traces) == 1
    assert int(state.step) == 5


@dataclasses.dataclass(frozen=True)
class WholeBudget:
    """Raises every pixel by epsilon."""

    norm: str = "linf"

    def __call__(self, logits_fn, key, images, labels, *, epsilon, **_):
        moved = images + jnp.broadcast_to(epsilon, labels.shape)[:, None, None, None]
        nothing = jnp.zeros(labels.shape)
        return attacks.AttackResult(moved, nothing > 0, nothing, nothing)


def radii_met(key, step_index=0, size=600, **options):
    """Smallest, largest and median radius that a step's examples are attacked with."""
    crafted = training.mixture(logits_fn_of, {"up": WholeBudget()}, {"up": 1.0})

    def loss(params, batch, images):
        radii = jnp.mean(images["up"] - batch.images, axis=(1, 2, 3))
        found = {"min": radii.min(), "max": radii.max(), "median": jnp.median(radii)}
        return crafted.loss(params, batch, images)[0], found

    step, state = make(training.Objective(crafted.craft, loss), **options)
    state = state._replace(step=jnp.int32(step_index))
    _, metrics = step(state, batch_at(0, size), key, {"linf": jnp.float32(0.1)})
    return [float(metrics[name]) for name in ("min", "median", "max")]


@pytest.mark.fast
@pytest.mark.parametrize("parts", [1, 2])
def test_each_example_draws_a_radius_of_its_own(key, parts):
    options = {"epsilon_range": (0.25, 4.0), "accumulation_steps": parts}
    low, median, high = radii_met(key, **options)
    assert 0.025 - 1e-6 <= low < 0.027
    assert 0.37 < high <= 0.4 + 1e-6
    assert 0.08 < median < 0.125  # the middle of the logarithms: 1 times the budget
    assert radii_met(key, step_index=1, **options)[1] != median


@pytest.mark.fast
def test_one_radius_for_all_unless_asked(key):
    np.testing.assert_allclose(radii_met(key), 0.1, rtol=1e-4)
    np.testing.assert_allclose(radii_met(key, epsilon_range=(2, 2)), 0.2, rtol=1e-4)


@pytest.mark.fast
def test_a_rising_radius_scales_what_is_drawn(key):
    options = {"epsilon_share": lambda step: jnp.float32(0.5)}
    low, _, high = radii_met(key, epsilon_range=(1.0, 2.0), **options)
    assert 0.05 - 1e-6 <= low < 0.052
    assert 0.098 < high <= 0.1 + 1e-6


@pytest.mark.fast
@pytest.mark.parametrize("wrong", [(0.0, 1.0), (2.0, 1.0), (1.0, float("inf"))])
def test_impossible_ranges_are_refused(wrong):
    with pytest.raises(ValueError, match="epsilon_range must be two positive"):
        make(epsilon_range=wrong)


@pytest.mark.fast
def test_one_step_of_gradient_descent_in_closed_form(key):
    objective = training.mixture(logits_fn_of, {}, {"clean": 1.0})
    step, state = make(objective, optax.sgd(0.5))
    params, batch = initial_params(), batch_at(0)
    state, metrics = step(state, batch, key, {})
    inputs = batch.images.reshape(6, 4)
    probabilities = jax.nn.softmax(logits_fn_of(params)(batch.images))
    residual = np.asarray(probabilities - np.eye(CLASSES)[batch.labels]) / 6
    gradients = {"kernel": inputs.T @ residual, "bias": residual.sum(0)}
    for name, gradient in gradients.items():
        expected = params[name] - 0.5 * gradient
        np.testing.assert_allclose(state.params[name], expected, atol=1e-6)
    norm = np.sqrt(sum(np.sum(g**2) for g in gradients.values()))
    np.testing.assert_allclose(metrics["gradient_norm"], norm, rtol=1e-5)
    np.testing.assert_allclose(
        metrics["loss"], -np.log(probabilities[np.arange(6), batch.labels]).mean(),
        rtol=1e-5,
    )  # fmt: skip


@pytest.mark.fast
def test_padding_changes_nothing(key):
    def run(padding_image, padding_label):
        batch = batch_at(0)
        batch.images[4:], batch.labels[4:] = padding_image, padding_label
        batch.weights[4:] = 0
        step, state = make()
        return step(state, batch, key, {"linf": 0.1})

    expected, other = run(0.0, 0), run(0.9, 1)
    assert_equal(other, expected)

    # And as if the padding were not there, where no attack draws per batch shape.
    objective = training.mixture(logits_fn_of, {}, {"clean": 1.0})
    padded = batch_at(0)
    padded.weights[4:] = 0
    results = []
    for batch in (padded, Batch(*(array[:4] for array in padded))):
        step, state = make(objective)
        results.append(step(state, batch, key, {})[1])
    np.testing.assert_allclose(results[0]["loss"], results[1]["loss"], rtol=1e-6)


@pytest.mark.fast
def test_steps_are_deterministic_and_draw_anew(key):
    def run():
        step, state = make()
        losses = []
        for _ in range(3):
            state, metrics = step(state, batch_at(0), key, {"linf": 0.3})
            losses.append(float(metrics["loss"]))
        return state, losses

    (state, losses), (again, losses_again) = run(), run()
    assert_equal(state, again)
    assert losses == losses_again

    # With frozen parameters only the draws differ between steps.
    step, state = make(optimizer=optax.sgd(0.0))
    losses = []
    for _ in range(3):
        state, metrics = step(state, batch_at(0), key, {"linf": 0.3})
        losses.append(float(metrics["loss"]))
    assert len(set(losses)) == 3


@pytest.mark.fast
@pytest.mark.parametrize("decay", [0.3, 0.99])
def test_averaged_parameters_in_closed_form(decay, key):
    step, state = make(average=training.averaging.exponential(decay))
    expected = np.asarray(state.params["kernel"], np.float64)
    for n in range(6):
        state, _ = step(state, batch_at(n), key, {"linf": 0.1})
        keep = min(decay, (1 + n) / (10 + n))
        expected = keep * expected + (1 - keep) * np.asarray(state.params["kernel"])
        np.testing.assert_allclose(state.ema_params["kernel"], expected, rtol=1e-5)
    assert np.max(np.abs(expected - state.params["kernel"])) > 1e-3


@pytest.mark.fast
def test_stochastic_average_is_the_mean_of_the_last_steps(key):
    step, state = make(average=training.averaging.stochastic(2))
    kernels = []
    for n in range(6):
        state, _ = step(state, batch_at(n), key, {"linf": 0.1})
        kernels.append(np.asarray(state.params["kernel"], np.float64))
        expected = np.mean(kernels[2:], axis=0) if n >= 2 else kernels[-1]
        np.testing.assert_allclose(state.ema_params["kernel"], expected, rtol=1e-5)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("make_average", "value"),
    [(training.averaging.exponential, 1.0), (training.averaging.stochastic, -1)],
)
def test_averages_refuse(make_average, value):
    with pytest.raises(ValueError, match=f"got {value}"):
        make_average(value)


@pytest.mark.fast
def test_budgets_grow_along_the_ramp(key):
    def loss(params, batch, budgets):
        value = jnp.sum(params["bias"] ** 2)
        return value, {f"budget_{name}": size for name, size in budgets.items()}

    objective = training.Objective(lambda *arguments: arguments[-1], loss)
    step, state = make(objective, epsilon_share=training.epsilon_ramp(4))
    budgets = {"linf": 0.2, "l2": 2.0}
    for share in (0.25, 0.5, 0.75, 1.0, 1.0):
        state, metrics = step(state, batch_at(0), key, budgets)
        assert float(metrics["epsilon_share"]) == share
        for name, budget in budgets.items():
            np.testing.assert_allclose(metrics[f"budget_{name}"], share * budget)


@pytest.mark.fast
def test_robust_eval_step_counts_wrong_in_either(key):
    """A linear rule on the mean: attacked points within epsilon of 0.5 fall."""
    params = {
        "kernel": jnp.asarray([[0.0, 0.25]] * 4),
        "bias": jnp.asarray([0.0, -0.5]),
    }
    means = np.array([0.2, 0.45, 0.55, 0.8, 0.8, 0.2], np.float32)
    labels = np.array([0, 0, 1, 1, 0, 0], np.int32)
    weights = np.array([1, 1, 1, 1, 1, 0], np.float32)
    images = np.broadcast_to(means[:, None, None, None], (6, 2, 2, 1))
    step = training.make_robust_eval_step(logits_fn_of, attacks.PGD(num_steps=3))
    clean, robust = step(params, Batch(images, labels, weights), key, 0.1)
    np.testing.assert_array_equal(clean, [1, 1, 1, 1, 0, 0])
    np.testing.assert_array_equal(robust, [1, 0, 0, 1, 0, 0])


@pytest.mark.fast
def test_robust_eval_step_does_not_trust_the_attack_on_wrong_images(key):
    """An attack without success leaves the clean verdict."""

    @dataclasses.dataclass(frozen=True)
    class Timid:
        norm: str = "linf"

        def __call__(self, logits_fn, key, images, labels, *, epsilon, **_):
            zeros = jnp.zeros(labels.shape)
            return attacks.AttackResult(images, zeros > 0, zeros, zeros)

    step = training.make_robust_eval_step(logits_fn_of, Timid())
    batch = batch_at(0)._replace(labels=np.array([0, 1, 0, 1, 0, 1], np.int32))
    clean, robust = step(initial_params(), batch, key, 0.1)
    assert 0 < np.sum(clean) < 6
    np.testing.assert_array_equal(robust, clean)


ROBUST_ACCURACY, EPSILON = 0.85, 0.1


def features(n, seed):
    """A robust feature that is right in 85 % of cases; a fragile one, always right.

    The first lies 0.3 from the middle, the second 0.05: an attack of radius 0.1 turns
    the second into its opposite and cannot turn the first.
    """
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n).astype(np.int32)
    sign = 2 * labels - 1
    right = np.where(np.arange(n) < ROBUST_ACCURACY * n, 1, -1)
    images = 0.5 + np.stack([0.3 * sign * right, 0.05 * sign], axis=-1)
    images += rng.normal(0, 0.005, images.shape)
    images = images.astype(np.float32).reshape(n, 1, 2, 1)
    return Batch(images, labels, np.ones(n, np.float32))


@pytest.mark.parametrize(
    "perturbed", [False, pytest.param(True, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("name", training.OBJECTIVES)
def test_adversarial_training_prefers_the_robust_feature(name, perturbed, key):
    def logits_of(params):
        def logits_fn(images):
            score = 10 * (images.reshape(-1, 2) - 0.5) @ params["weights"][0]
            return jnp.stack([-score, score], axis=-1)

        return logits_fn

    pgd = attacks.PGD(num_steps=3, loss="cross_entropy")
    objective = training.make_objective(
        name,
        logits_of,
        {
            "pgd": pgd,
            "mart": pgd,
            "trades": attacks.PGD(num_steps=3),
            "fast": attacks.RandomStartFGSM(),
        },
        mix={"clean": 0.1, "pgd": 0.9},
        lesion_map_weight=0.0,  # there are no twins here
        maps=(lambda params, x: (logits_of(params)(x), x[..., 0]), 1.0),
    )
    optimizer = training.adamw(learning_rate=0.3, num_steps=200, weight_decay=0.0)
    state = training.init_state({"weights": jnp.full((1, 2), 0.1)}, optimizer)
    perturbation = training.WeightPerturbation(gamma=0.01) if perturbed else None
    step = training.make_train_step(
        objective, optimizer, weight_perturbation=perturbation
    )
    batch = features(200, seed=0)
    for _ in range(200):
        state, _ = step(state, batch, key, {"linf": EPSILON})
    evaluate = training.make_robust_eval_step(logits_of, attacks.PGD(num_steps=10))
    flags = evaluate(state.params, features(400, seed=1), key, EPSILON)
    clean, robust = (float(np.mean(flag)) for flag in flags)
    if name == "standard":
        assert clean > 0.99
        assert robust < 0.05
    else:
        assert clean == pytest.approx(ROBUST_ACCURACY, abs=0.01)
        assert robust == pytest.approx(ROBUST_ACCURACY, abs=0.01)
