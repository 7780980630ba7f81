"""The network that classifies by the lesion it predicts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wbad_jax import denoise, models

SETTINGS = models.ModelSettings(
    name="lesion_map", image_shape=(16, 24, 1), widths=(8, 8), level=1
)


@pytest.fixture(scope="module")
def classifier():
    return models.Classifier(SETTINGS, denoise.DenoiserSettings())


@pytest.fixture(scope="module")
def params(classifier):
    return jax.jit(classifier.init)(jax.random.key(0))


@pytest.fixture(scope="module")
def images():
    draws = np.random.default_rng(0).normal(0.5, 0.1, (3, 16, 24, 1))
    return draws.astype(np.float32)


def test_logits_are_those_of_the_largest_cell(classifier, params, images):
    logits, maps = jax.jit(classifier.lesion_map)(params, images)
    assert maps.shape == (3, 4, 6)  # one level and one stride
    network = params["network"]
    largest = np.asarray(maps).reshape(3, -1).max(axis=1)
    evidence = network["scale"] * (largest - network["bias"])
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], evidence, rtol=1e-5)
    np.testing.assert_allclose(logits.sum(axis=1), 0, atol=1e-6)
    alone = jax.jit(classifier.apply)(params, images)
    np.testing.assert_allclose(alone, logits, rtol=1e-5, atol=1e-6)


def test_the_map_is_made_behind_the_denoiser(classifier, params, images):
    denoised = jax.jit(classifier.denoise)(params, images)
    bare = models.Classifier(SETTINGS)
    _, expected = jax.jit(bare.lesion_map)({"network": params["network"]}, denoised)
    _, maps = jax.jit(classifier.lesion_map)(params, images)
    np.testing.assert_allclose(maps, expected, atol=1e-5)
    _, without = jax.jit(bare.lesion_map)({"network": params["network"]}, images)
    assert not np.allclose(maps, without, atol=1e-3)


@pytest.mark.fast
def test_two_classes_alone():
    settings = models.ModelSettings(
        name="lesion_map", image_shape=(16, 16, 1), num_classes=3
    )
    with pytest.raises(ValueError, match="two classes apart, got 3"):
        models.Classifier(settings).init(jax.random.key(0))


@pytest.mark.fast
def test_other_networks_have_no_map():
    classifier = models.Classifier(models.ModelSettings(image_shape=(16, 16, 1)))
    assert not classifier.has_lesion_map
    with pytest.raises(ValueError, match=r"'cnn' needs a method 'lesion_map'"):
        classifier.lesion_map({}, jnp.zeros((1, 16, 16, 1)))
