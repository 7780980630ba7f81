"""Networks named by their import path."""

import jax
import numpy as np
import pytest

from wbad_jax import models

PATH = "tests.models.user_networks"
SHAPE = (16, 12, 1)


def settings_of(name, **options):
    return models.ModelSettings(
        name=f"{PATH}:{name}", image_shape=SHAPE, num_classes=3, options=options
    )


@pytest.mark.fast
def test_it_is_the_network_of_the_classifier():
    settings = settings_of("Perceptron", hidden=[5])
    classifier = models.Classifier(settings)
    params = jax.jit(classifier.init)(jax.random.key(0))
    images = np.random.default_rng(0).uniform(size=(4, *SHAPE)).astype(np.float32)
    features = np.asarray(settings.features_of(images))
    inner, outer = params["network"]["inner"], params["network"]["outer"]
    assert inner["kernel"].shape == (32, 5)  # 2 x 16 channels of features
    hidden = np.maximum(features @ inner["kernel"] + inner["bias"], 0)
    expected = hidden.mean(axis=(1, 2)) @ outer["kernel"] + outer["bias"]
    actual = jax.jit(classifier.apply)(params, images)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5)


@pytest.mark.fast
def test_settings_with_options_are_hashable_values():
    first = settings_of("Perceptron", hidden=[5])
    assert first == settings_of("Perceptron", hidden=(5,))
    assert hash(first) == hash(settings_of("Perceptron", hidden=(5,)))
    assert first != settings_of("Perceptron", hidden=(6,))


@pytest.mark.fast
@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (f"{PATH}:Missing", {}, "has no 'Missing'"),
        ("no_such_package.networks:Net", {}, "cannot be imported: ModuleNotFound"),
        (":Net", {}, "cannot be imported: ValueError"),
        (f"{PATH}:NotAModule", {}, "must name a subclass of flax.nnx.Module"),
        (f"{PATH}:FUNCTION", {}, "must name a subclass of flax.nnx.Module"),
        (f"{PATH}:WithoutRngs", {}, r"callable as Class\(inputs.*rngs"),
        (f"{PATH}:Perceptron", {"depth": 2}, "callable as .*'depth'"),
        (f"{PATH}:WithoutPooling", {}, r"logits \[batch, 3\], got \(2, 4, 3, 3"),
        (f"{PATH}:WithBatchNorm", {}, r"nnx.Param only, got \['BatchStat'\]"),
        (f"{PATH}:Broken", {}, "fails on features .*RuntimeError: out of order"),
    ],
)
def test_errors_name_path_and_reason(name, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        models.ModelSettings(
            name=name, image_shape=SHAPE, num_classes=3, options=options
        )
    assert repr(name) in str(caught.value)
