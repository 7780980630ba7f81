"""The defended classifier as a pure function of parameters and images."""

import dataclasses
import functools
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from wbad_jax import denoise, models

SMALL = models.ModelSettings(image_shape=(16, 20, 1), widths=(8, 8))
DENOISERS = {
    "none": None,
    "universal": denoise.DenoiserSettings(),
    # Low enough for some coefficients of white noise to survive and carry gradients.
    "learned": denoise.DenoiserSettings(threshold_rule="learned", initial_scale=0.3),
}
# Float32 programs of different batch sizes round differently.
ATOL = 1e-5
each_denoiser = pytest.mark.parametrize("denoiser", DENOISERS.values(), ids=DENOISERS)


@functools.cache
def initial(classifier, seed=0):
    return jax.jit(classifier.init)(jax.random.key(seed))


@functools.partial(jax.jit, static_argnames=("classifier", "backward"))
def logits_of(classifier, params, images, backward="exact"):
    return classifier.apply(params, images, backward=backward)


@functools.partial(jax.jit, static_argnames=("classifier", "backward"))
def gradient_of(classifier, params, images, backward="exact"):
    logits_fn = classifier.logits_fn(params, backward=backward)
    return jax.grad(lambda x: jnp.sum(logits_fn(x) * jnp.asarray([1.0, -1.0])))(images)


def draw(shape, n=3, seed=0):
    images = np.random.default_rng(seed).normal(0.5, 0.1, (n, *shape))
    return images.astype(np.float32)


@pytest.mark.fast
def test_init_is_a_function_of_the_key():
    classifier = models.Classifier(SMALL, DENOISERS["learned"])
    first = initial(classifier)
    again = models.Classifier(SMALL, DENOISERS["learned"]).init(jax.random.key(0))
    jax.tree.map(
        # Eager and compiled code may round the scaling of a draw differently.
        functools.partial(np.testing.assert_allclose, rtol=1e-6), first, again
    )  # fmt: skip
    other = initial(classifier, seed=1)
    kernels = [params["network"]["stem"]["kernel"] for params in (first, other)]
    assert np.max(np.abs(kernels[0] - kernels[1])) > 0.1
    assert first["denoiser"]["raw_thresholds"].shape == (2, 3)


@pytest.mark.fast
def test_default_network_has_at_least_50_000_parameters():
    classifier = models.Classifier(models.ModelSettings())
    params = jax.eval_shape(classifier.init, jax.random.key(0))
    count = models.num_parameters(params)
    assert count >= 50_000
    # Counted by hand: 32 features in, widths 32 and 64, GroupNorm scale and bias.
    stem, first, norms = 9 * 32 * 32, 2 * 9 * 32 * 32, 2 * (2 * 32)
    second = 9 * 32 * 64 + 9 * 64 * 64 + 9 * 32 * 64
    norms += 2 * 32 + 2 * 64 + 2 * 64
    assert count == stem + first + second + norms + (2 * 64 * 2 + 2)


@pytest.mark.fast
@each_denoiser
def test_functional_apply_equals_the_module(denoiser):
    classifier = models.Classifier(SMALL, denoiser)
    images = draw(SMALL.image_shape)
    module = models.DefendedClassifier(
        SMALL, denoiser, rngs=nnx.Rngs(params=jax.random.key(0))
    )
    graph, state = nnx.split(module)
    expected = jax.jit(lambda state, x: nnx.merge(graph, state)(x))(state, images)
    actual = logits_of(classifier, initial(classifier), images)
    assert actual.shape == (3, 2)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=ATOL)


@pytest.mark.fast
@each_denoiser
def test_one_example_does_not_affect_another(denoiser):
    classifier = models.Classifier(SMALL, denoiser)
    params, images = initial(classifier), draw(SMALL.image_shape)
    neighbours = images.copy()
    neighbours[1:] = draw(SMALL.image_shape, n=2, seed=1) * 3
    for function in (logits_of, gradient_of):
        first = function(classifier, params, images)[:1]
        np.testing.assert_array_equal(
            first, function(classifier, params, neighbours)[:1]
        )
        assert np.max(np.abs(first)) > 0
    alone = logits_of(classifier, params, images[:1])
    together = logits_of(classifier, params, images)[:1]
    np.testing.assert_allclose(alone, together, rtol=0, atol=ATOL)


@pytest.mark.fast
def test_new_parameters_do_not_recompile():
    classifier = models.Classifier(SMALL, DENOISERS["learned"])
    traces = []

    @jax.jit
    def run(params, images):
        traces.append(None)
        return classifier.apply(params, images)

    images = draw(SMALL.image_shape)
    outputs = [run(initial(classifier, seed), images) for seed in range(3)]
    assert len(traces) == 1
    assert np.max(np.abs(outputs[0] - outputs[1])) > 1e-3


@pytest.mark.fast
@pytest.mark.parametrize(
    ("shape", "classes"), [((17, 23, 1), 2), ((12, 9, 3), 2), ((8, 8, 1), 5)]
)
def test_image_shapes_and_class_counts(shape, classes):
    settings = models.ModelSettings(
        image_shape=shape, num_classes=classes, widths=(8, 12)
    )
    classifier = models.Classifier(settings, DENOISERS["learned"])
    logits = logits_of(classifier, initial(classifier), draw(shape))
    assert logits.shape == (3, classes)
    assert np.all(np.isfinite(logits))
    assert np.ptp(logits, axis=0).max() > 1e-3  # Images are told apart.


@pytest.mark.fast
def test_every_parameter_has_a_say():
    classifier = models.Classifier(SMALL, DENOISERS["learned"])
    params, images = initial(classifier), draw(SMALL.image_shape)
    gradient = jax.jit(
        jax.grad(lambda p: jnp.sum(jnp.square(classifier.apply(p, images))))
    )(params)
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert np.max(np.abs(leaf)) > 0, jax.tree_util.keystr(path)


@pytest.mark.fast
def test_backward_modes_share_the_logits_and_differ_in_the_gradient():
    defended = models.Classifier(SMALL, DENOISERS["universal"])
    undefended = models.Classifier(SMALL)
    params, images = initial(defended), draw(SMALL.image_shape)
    exact, identity = (
        logits_of(defended, params, images, mode) for mode in ("exact", "identity")
    )
    np.testing.assert_allclose(identity, exact, rtol=0, atol=ATOL)
    plain = logits_of(undefended, params, images)
    assert np.max(np.abs(plain - exact)) > 1e-3

    gradients = [
        gradient_of(defended, params, images, mode) for mode in ("exact", "identity")
    ]
    gradients.append(gradient_of(undefended, params, images))
    for first, second in ((0, 1), (0, 2), (1, 2)):
        difference = np.max(np.abs(gradients[first] - gradients[second]))
        assert difference > 0.01 * np.max(np.abs(gradients[first]))
    # Straight through: the network's gradient at the denoised images.
    denoised = denoise.wavelet_denoise(images, DENOISERS["universal"])
    expected = gradient_of(undefended, params, denoised)
    scale = np.max(np.abs(expected))
    np.testing.assert_allclose(gradients[1], expected, rtol=0, atol=1e-3 * scale)


@pytest.mark.fast
def test_thresholds_of_each_kind():
    assert models.Classifier(SMALL).thresholds({}) is None
    assert models.Classifier(SMALL, DENOISERS["universal"]).thresholds({}) is None
    classifier = models.Classifier(SMALL, DENOISERS["learned"])
    thresholds = classifier.thresholds(initial(classifier))
    expected = np.full((2, 3), 0.3 * np.sqrt(2 * np.log(16 * 20)))
    np.testing.assert_allclose(thresholds, expected, rtol=1e-5)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("field", "create"),
    [
        ("model.level", lambda: models.ModelSettings(image_shape=(16, 8, 1), level=4)),
        ("model.level", lambda: models.ModelSettings(level=0)),
        (
            "denoiser.level",
            lambda: models.Classifier(SMALL, denoise.DenoiserSettings(level=5)),
        ),
    ],
)
def test_an_impossible_level_is_refused(field, create):
    with pytest.raises(ValueError, match=field) as error:
        create()
    message = str(error.value)
    deepest = {"16 x 8": 3, "64 x 64": 6, "16 x 20": 4}
    assert any(f"1 and {d} for images of {s}" in message for s, d in deepest.items())


@pytest.mark.fast
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"name": "vit"},
            r"model name must be one of \['cnn', 'lesion_map', 'resnet'\] or .* 'vit'",
        ),
        ({"downsampling": "pool"}, r"downsampling must be .*'dwt'.*got 'pool'"),
        ({"downsampling_wavelet": "db99"}, "downsampling_wavelet: .*db99"),
        ({"options": {"depth": 3}}, "options .*'cnn' takes none, got .*depth"),
        ({"widths": (8, 0)}, r"widths and blocks must be at least 1, got \(8, 0\)"),
        ({"blocks": 0}, r"at least 1, got \(32, 64\) and 0"),
        ({"num_classes": 1}, "num_classes must be at least 2, got 1"),
    ],
)
def test_errors_name_field_rule_and_value(settings, message):
    with pytest.raises(ValueError, match=message):
        models.ModelSettings(**settings)


@pytest.mark.slow
def test_same_logits_without_graph_mode(tmp_path):
    """Flax announces another default for this switch; nothing here may depend on it."""
    script = tmp_path / "logits.py"
    script.write_text(
        "import jax, numpy as np, sys\n"
        "from wbad_jax import denoise, models\n"
        "settings = models.ModelSettings(image_shape=(16, 20, 1), widths=(8, 8))\n"
        "rule = denoise.DenoiserSettings(threshold_rule='learned')\n"
        "classifier = models.Classifier(settings, rule)\n"
        "params = jax.jit(classifier.init)(jax.random.key(0))\n"
        "images = np.linspace(0, 1, 960, dtype=np.float32).reshape(3, 16, 20, 1)\n"
        "np.save(sys.argv[1], jax.jit(classifier.apply)(params, images))\n"
    )
    logits = []
    for mode in ("true", "false"):
        path = tmp_path / f"{mode}.npy"
        root = str(pathlib.Path(__file__).parents[2])
        environment = os.environ | {"NNX_GRAPH_MODE": mode, "PYTHONPATH": root}
        subprocess.run([sys.executable, script, path], env=environment, check=True)
        logits.append(np.load(path))
    np.testing.assert_array_equal(*logits)


@pytest.mark.parametrize("name", ["cnn", "resnet"])
def test_the_last_layer_of_the_features_gives_the_logits(name):
    settings = dataclasses.replace(SMALL, name=name)
    classifier = models.Classifier(settings, DENOISERS["universal"])
    params, images = initial(classifier), draw((16, 20, 1))

    @jax.jit
    def from_features(params, images):
        head = params["network"]["head"]
        features = classifier.features_fn(params, backward="smooth")(images)
        return features @ head["kernel"] + head["bias"]

    expected = logits_of(classifier, params, images)
    np.testing.assert_allclose(from_features(params, images), expected, atol=ATOL)


def test_features_of_a_network_that_tells_none():
    name = "tests.models.user_networks:Perceptron"
    own = models.Classifier(
        models.ModelSettings(name=name, image_shape=(16, 20, 1)), None
    )
    assert not own.has_features
    with pytest.raises(ValueError, match="needs a method 'penultimate'"):
        own.features_fn({})


def test_thresholds_in_pixel_units():
    """Universal: the noise level of each image times a constant of its size."""
    classifier = models.Classifier(SMALL, DENOISERS["universal"])
    images = draw((16, 20, 1))
    found = classifier.pixel_thresholds(initial(classifier), images)
    settings = classifier.denoiser
    sigma = denoise.noise_sigma(images, settings.wavelet)
    expected = np.squeeze(sigma) * np.sqrt(2 * np.log(16 * 20))
    assert [len(level) for level in found] == [3] * settings.level
    for level in found:
        for threshold in level:
            np.testing.assert_allclose(np.squeeze(threshold), expected, rtol=1e-5)
    with pytest.raises(ValueError, match="classifier with a denoiser"):
        models.Classifier(SMALL).pixel_thresholds({}, images)
