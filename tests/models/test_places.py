"""What networks learn of single places."""

import jax
import numpy as np
import pytest

from wbad_jax import models

SHAPE = (16, 24, 1)


def make(name, places=True, **options):
    settings = models.ModelSettings(
        name=name, image_shape=SHAPE, widths=(8, 8), level=1, places=places, **options
    )
    return models.Classifier(settings)


@pytest.fixture(scope="module")
def images():
    draws = np.random.default_rng(0).normal(0.5, 0.1, (3, *SHAPE))
    return draws.astype(np.float32)


@pytest.mark.parametrize("name", sorted(models.MODELS))
def test_untrained_offsets_change_nothing(name, images):
    placed, plain = make(name), make(name, places=False)
    params = jax.jit(placed.init)(jax.random.key(0))
    without = jax.jit(plain.init)(jax.random.key(0))
    found = set(params["network"]) - set(without["network"])
    assert found == ({"places", "usual"} if name == "lesion_map" else {"places"})
    assert params["network"]["places"]["offset"].shape == (8, 12, 8)
    logits = jax.jit(placed.apply)(params, images)
    np.testing.assert_allclose(
        logits, jax.jit(plain.apply)(without, images), rtol=1e-5, atol=1e-6
    )
    # All of them have a gradient: none is left out of the logits.
    gradient = jax.jit(jax.grad(lambda p: placed.apply(p, images)[:, 1].sum()))(params)
    for leaf in jax.tree.leaves(gradient["network"]["places"]):
        assert np.abs(leaf).max() > 0


def test_the_map_is_standardised_cell_by_cell(images):
    classifier = make("lesion_map", mirrored=False)
    params = jax.jit(classifier.init)(jax.random.key(0))
    read = jax.jit(classifier.lesion_map)
    _, before = read(params, images)
    assert before.shape == (3, 4, 6)
    usual = params["network"]["usual"]
    usual["log_gain"] = usual["log_gain"].at[1, 2].set(np.log(3.0))
    usual["offset"] = usual["offset"].at[1, 2].set(0.5)
    _, after = read(params, images)
    expected = np.array(before)
    expected[:, 1, 2] = 3 * expected[:, 1, 2] + 0.5
    np.testing.assert_allclose(after, expected, rtol=1e-5, atol=1e-6)
