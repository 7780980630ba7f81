import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wbad_jax import models
from wbad_jax.models import batch_parts


@pytest.fixture
def classifier():
    settings = models.ModelSettings(image_shape=(16, 16, 1), level=1, widths=(4,))
    return models.Classifier(settings)


def test_parts_together_are_the_whole(classifier, key, monkeypatch):
    params = classifier.init(key)
    images = jax.random.uniform(key, (13, 16, 16, 1))  # Not a multiple of the parts.
    labels = jnp.arange(13) % 2

    def outputs(count):
        monkeypatch.setattr(batch_parts, "num_parts", lambda batch: count)

        def loss(params, images):
            logits = classifier.apply(params, images)
            return jnp.sum(logits[jnp.arange(13), labels] ** 2), logits

        (_, logits), gradients = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(
            params, images
        )
        return jax.tree.leaves((logits, gradients))

    for whole, parts in zip(outputs(1), outputs(3), strict=True):
        np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-5)


@pytest.mark.fast
def test_each_core_of_one_cpu_has_a_part_but_no_part_is_tiny(monkeypatch):
    monkeypatch.setattr(batch_parts.os, "cpu_count", lambda: 4)
    sizes = (1, 16, 31, 32, 63, 64, 1000)
    assert [batch_parts.num_parts(size) for size in sizes] == [1, 1, 1, 2, 3, 4, 4]
    monkeypatch.setattr(batch_parts.os, "cpu_count", lambda: 96)
    assert batch_parts.num_parts(1000) == 8
    monkeypatch.setattr(jax, "device_count", lambda: 2)
    assert batch_parts.num_parts(1000) == 1
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert batch_parts.num_parts(1000) == 1
