"""A batch in parts gives the update of the whole batch, in less memory."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from wbad_jax import attacks, models, training
from wbad_jax.training.accumulation import split_batch
from wbad_jax.types import Batch

SIZE = 12


def logits_fn_of(params):
    def logits_fn(images):
        hidden = jnp.tanh(images.reshape(len(images), -1) @ params["inner"])
        return hidden @ params["outer"]

    return logits_fn


def make_batch():
    """Classes that count alike, and padding, unevenly spread over the parts."""
    rng = np.random.default_rng(0)
    images = rng.uniform(0.2, 0.8, (SIZE, 3, 2, 1)).astype(np.float32)
    labels = (np.arange(SIZE) % 5 == 0).astype(np.int32)
    weights = np.where(labels == 1, 2.0, 0.7).astype(np.float32)
    weights[[2, 8, 11]] = 0  # with 6 parts one, of rows 2 and 8, has no weight
    return Batch(images, labels, weights)


def update(count, mix, weight_perturbation=None):
    rng = np.random.default_rng(1)
    shapes = {"inner": (6, 5), "outer": (5, 2)}
    params = {
        name: jnp.asarray(rng.normal(size=shape), jnp.float32)
        for name, shape in shapes.items()
    }
    # From the clean image: an attack without random draws.
    pgd = attacks.PGD(num_steps=2, start="clean", loss="cross_entropy")
    objective = training.mixture(logits_fn_of, {"pgd": pgd}, mix)
    optimizer = optax.sgd(0.3, momentum=0.9)
    step = training.make_train_step(
        objective, optimizer, weight_perturbation=weight_perturbation,
        accumulation_steps=count,
    )  # fmt: skip
    state = training.init_state(params, optimizer)
    for _ in range(3):
        state, metrics = step(state, make_batch(), jax.random.key(0), {"linf": 0.05})
    assert step._cache_size() == 1
    return state, metrics


class Noise:
    """An attack that answers with noise."""

    norm = "linf"

    def __call__(self, logits_fn, key, images, labels, *, epsilon, **_):
        noise = jax.random.uniform(key, (images.size,), minval=-1.0, maxval=1.0)
        images = images + epsilon * noise.reshape(images.shape)
        margin = attacks.margin(logits_fn(images), labels)
        return attacks.AttackResult(images, margin < 0, margin, margin * 0)


CASES = {
    "standard": ({"clean": 1.0}, None),
    "attacked": (
        {"clean": 1.0, "pgd": 2.0},
        training.WeightPerturbation(gamma=0.05),
    ),
}


@functools.cache
def whole(case):
    return update(1, *CASES[case])


@pytest.mark.fast
@pytest.mark.parametrize(
    ("case", "count"), [("standard", 3), ("standard", 6), ("attacked", 3)]
)
def test_parts_give_the_update_of_the_whole(case, count):
    parts = update(count, *CASES[case])
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6),
        parts, whole(case),
    )  # fmt: skip


@pytest.mark.fast
def test_parts_have_draws_of_their_own(key):
    """Of one noise for all parts, two copies of a part would have equal images."""
    seen = []

    def loss(params, batch, versions):
        jax.debug.callback(lambda images: seen.append(np.array(images)), versions)
        return jnp.sum(params["w"]) * 0, {}

    def craft(params, key, batch, budgets):
        found = Noise()(lambda x: x[:, 0, 0], key, batch.images, batch.labels,
                        epsilon=0.1)  # fmt: skip
        return found.adversarial

    optimizer = optax.sgd(0.1)
    step = training.make_train_step(
        training.Objective(craft, loss), optimizer, accumulation_steps=2
    )
    state = training.init_state({"w": jnp.ones(2)}, optimizer)
    batch = Batch(np.full((4, 2, 2, 2), 0.5, np.float32), np.zeros(4, int), np.ones(4))
    jax.block_until_ready(step(state, batch, key, {}))
    jax.effects_barrier()
    first, second = seen
    assert first.shape == second.shape == (2, 2, 2, 2)
    assert np.max(np.abs(first - second)) > 0.05


@pytest.mark.fast
def test_parts_hold_every_third_example():
    batch = make_batch()
    for index, part in enumerate(split_batch(batch, 3)):
        for array, whole in zip(part, batch, strict=True):
            np.testing.assert_array_equal(array, whole[index::3])


@pytest.mark.fast
@pytest.mark.parametrize("count", [0, -2, 5, 24])
def test_parts_must_divide_the_batch(count):
    message = f"accumulation_steps must .* divide the batch of 12 .*, got {count}"
    with pytest.raises(ValueError, match=message):
        update(count, {"clean": 1.0})


@pytest.mark.slow
def test_parts_take_less_memory():
    settings = models.ModelSettings(image_shape=(16, 16, 1), widths=(8, 16), level=1)
    classifier = models.Classifier(settings)
    optimizer = training.adamw(learning_rate=1e-3, num_steps=10)
    objective = training.mixture(classifier.logits_fn, {}, {"clean": 1.0})

    def init():
        return training.init_state(classifier.init(jax.random.key(0)), optimizer)

    def temporary_bytes(count):
        batch = Batch(
            jax.ShapeDtypeStruct((64, 16, 16, 1), jnp.float32),
            jax.ShapeDtypeStruct((64,), jnp.int32),
            jax.ShapeDtypeStruct((64,), jnp.float32),
        )
        step = training.make_train_step(objective, optimizer, accumulation_steps=count)
        key = jax.eval_shape(lambda: jax.random.key(0))
        lowered = step.lower(jax.eval_shape(init), batch, key, {})
        return lowered.compile().memory_analysis().temp_size_in_bytes

    assert temporary_bytes(4) < 0.6 * temporary_bytes(1)
