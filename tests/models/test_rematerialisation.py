"""Blocks that are computed again for the gradient: the same numbers, less memory."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wbad_jax import models, training
from wbad_jax.types import Batch

SHAPE = (16, 16, 1)


def make(remat, name="resnet", **options):
    settings = models.ModelSettings(
        name=name, image_shape=SHAPE, level=1, remat=remat, **options
    )
    return models.Classifier(settings)


@pytest.mark.parametrize(
    "name", [pytest.param("cnn", marks=pytest.mark.slow), "resnet"]
)
def test_values_and_gradients_are_the_same(name):
    images = np.random.default_rng(0).normal(0.5, 0.1, (3, *SHAPE))
    images = jnp.asarray(images, jnp.float32)

    def run(remat):
        classifier = make(remat, name, widths=(8, 8))
        params = jax.jit(classifier.init)(jax.random.key(0))

        @jax.jit
        @functools.partial(jax.value_and_grad, argnums=(0, 1))
        def value_and_gradients(params, images):
            return jnp.sum(jnp.sin(classifier.apply(params, images)))

        return value_and_gradients(params, images)

    kept, again = run(False), run(True)
    assert jax.tree.structure(kept) == jax.tree.structure(again)
    for (path, expected), found in zip(
        jax.tree_util.tree_leaves_with_path(kept), jax.tree.leaves(again), strict=True
    ):
        scale = np.max(np.abs(expected))
        assert scale > 0
        np.testing.assert_allclose(
            found, expected, rtol=0, atol=1e-5 * scale,
            err_msg=jax.tree_util.keystr(path),
        )  # fmt: skip


@pytest.mark.slow
def test_a_training_step_takes_less_memory():
    optimizer = training.adamw(learning_rate=1e-3, num_steps=10)

    def temporary_bytes(remat):
        classifier = make(remat, widths=(8,), blocks=8)
        objective = training.mixture(classifier.logits_fn, {}, {"clean": 1.0})

        def init():
            params = classifier.init(jax.random.key(0))
            return training.init_state(params, optimizer)

        batch = Batch(
            jax.ShapeDtypeStruct((16, *SHAPE), jnp.float32),
            jax.ShapeDtypeStruct((16,), jnp.int32),
            jax.ShapeDtypeStruct((16,), jnp.float32),
        )
        step = training.make_train_step(objective, optimizer)
        key = jax.eval_shape(lambda: jax.random.key(0))
        lowered = step.lower(jax.eval_shape(init), batch, key, {})
        return lowered.compile().memory_analysis().temp_size_in_bytes

    assert temporary_bytes(True) < 0.75 * temporary_bytes(False)
