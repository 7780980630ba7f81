"""Exported classifiers give the numbers of those they were made of."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from wbad_jax import denoise, models

pytest.importorskip("flatbuffers", reason="flatbuffers is missing")
SHAPE = (16, 20, 1)
WINDOW = (22.0, 38.0)
CLASSIFIERS = {
    "undefended": ({}, None),
    "universal": ({}, {}),
    "learned": ({}, {"threshold_rule": "learned", "wavelet": "db2", "level": 1}),
    "predicted": ({}, {"threshold_rule": "predicted"}),
    "sure": ({}, {"threshold_rule": "sure", "shrinkage": "garrote"}),
    "bayes": ({"downsampling": "dwt"}, {"threshold_rule": "bayes"}),
    "stationary": ({}, {"stationary": True}),
    "shifts": ({}, {"max_shifts": 1}),
    "matmul": ({"name": "resnet"}, {"backend": "matmul"}),
    "bfloat16": ({"compute_dtype": "bfloat16"}, {}),
}
# The test of experiments.export compares numbers of one such program, too.
OTHERS = [
    pytest.param(name, marks=pytest.mark.slow)
    for name in CLASSIFIERS
    if name != "universal"
]


@functools.cache
def make(name):
    network, denoiser = CLASSIFIERS[name]
    settings = models.ModelSettings(image_shape=SHAPE, widths=(8, 8), **network)
    denoiser = None if denoiser is None else denoise.DenoiserSettings(**denoiser)
    classifier = models.Classifier(settings, denoiser)
    return classifier, jax.jit(classifier.init)(jax.random.key(0))


def draw(n):
    rng = np.random.default_rng(n)
    # Some pixels are out of the window.
    return rng.normal(30, 4, (n, *SHAPE)).astype(np.float32)


def with_gradient(logits_fn):
    def total(images):
        logits = logits_fn(images)
        return jnp.sum(logits * jnp.asarray([1.0, -1.0])), logits

    return jax.jit(jax.grad(total, has_aux=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_logits_and_gradients_are_those_of_the_classifier(name):
    classifier, params = make(name)
    fn = models.celsius_logits_fn(classifier, params, WINDOW)
    loaded = export.deserialize(bytearray(models.export_logits(fn, SHAPE)))
    low, high = WINDOW
    own = with_gradient(classifier.logits_fn(params))
    other = with_gradient(loaded.call)
    for n in (1, 3):
        celsius = draw(n)
        pixels = (celsius - low) / (high - low)
        inside = (pixels > 0) & (pixels < 1)
        assert not inside.all()
        gradient, logits = own(np.clip(pixels, 0, 1))
        expected = np.where(inside, gradient, 0) / (high - low)
        gradient, exported = other(celsius)
        assert np.abs(gradient).max() > 0
        np.testing.assert_allclose(exported, logits, rtol=1e-4, atol=1e-4)
        # A coefficient at its threshold may fall on either side of it.
        error = np.linalg.norm(gradient - expected) / np.linalg.norm(expected)
        assert error < 1e-3


@pytest.mark.parametrize("name", ["universal", *OTHERS])
def test_every_classifier_can_be_exported_for_every_platform(name):
    classifier, params = make(name)
    fn = models.celsius_logits_fn(classifier, params, WINDOW)
    data = models.export_logits(
        fn, SHAPE, platforms=("cpu", "cuda", "tpu"), vjp_order=0
    )
    loaded = export.deserialize(bytearray(data))
    assert loaded.platforms == ("cpu", "cuda", "tpu")
    assert not loaded.disabled_safety_checks
    assert str(loaded.in_avals[0].shape) == "(batch, 16, 20, 1)"
    # The folders of the machine that made it are nobody's business.
    assert b"/wbad_jax/" not in data


@pytest.mark.fast
def test_mistakes_are_refused():
    classifier, params = make("undefended")
    fn = classifier.logits_fn(params)
    with pytest.raises(ValueError, match="platforms must be .*'gpu'"):
        models.export_logits(fn, SHAPE, platforms=("gpu",))
    with pytest.raises(ValueError, match="platforms"):
        models.export_logits(fn, SHAPE, platforms=())
    with pytest.raises(ValueError, match="vjp_order must be at least 0, got -1"):
        models.export_logits(fn, SHAPE, vjp_order=-1)
    with pytest.raises(ValueError, match="window needs low < high"):
        models.celsius_logits_fn(classifier, params, (30.0, 30.0))
