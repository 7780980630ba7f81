"""Networks that compute in bfloat16 with parameters kept in float32."""

import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from wbad_jax import attacks, denoise, models, training
from wbad_jax.models import layers
from wbad_jax.types import Batch

SHAPE = (16, 12, 1)
# Distance of 1 to the next number: what one rounding may cost, relative to the value.
EPSILON = float(jnp.finfo(jnp.bfloat16).eps)
NETWORKS = {
    "cnn": {"widths": (8,)},
    "resnet": {"name": "resnet", "widths": (8, 16), "downsampling": "dwt"},
    "own": {"name": "tests.models.user_networks:Perceptron"},
}
each_network = pytest.mark.parametrize("name", NETWORKS)
LEARNED = denoise.DenoiserSettings(threshold_rule="learned", initial_scale=0.3)


@functools.cache
def make(name, compute_dtype):
    settings = models.ModelSettings(
        image_shape=SHAPE, level=1, compute_dtype=compute_dtype, **NETWORKS[name]
    )
    return models.Classifier(settings, LEARNED if name == "cnn" else None)


@functools.cache
def initial(name):
    return jax.jit(make(name, "float32").init)(jax.random.key(0))


def draw(n=4, seed=0):
    images = np.random.default_rng(seed).normal(0.5, 0.1, (n, *SHAPE))
    return images.astype(np.float32)


@functools.cache
def outcome(name, compute_dtype):
    """Logits, and the gradients of a loss by parameters and images."""
    classifier = make(name, compute_dtype)

    def loss(params, images):
        logits = classifier.apply(params, images)
        losses = optax.softmax_cross_entropy_with_integer_labels(
            logits, jnp.arange(len(images)) % 2
        )
        return losses.sum(), logits

    run = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))
    gradients, logits = run(initial(name), draw())
    return logits, gradients


def assert_float32(tree):
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        assert leaf.dtype == jnp.float32, jax.tree_util.keystr(path)
        assert np.all(np.isfinite(leaf)), jax.tree_util.keystr(path)


@each_network
def test_logits_are_those_of_float32_up_to_rounding(name):
    exact, rounded = (outcome(name, dtype)[0] for dtype in models.COMPUTE_DTYPES)
    assert_float32(rounded)
    # A few layers, each of which rounds its result once.
    scale = np.max(np.abs(exact))
    difference = np.max(np.abs(rounded - exact))
    assert 1e-5 * scale < difference < 4 * EPSILON * scale
    # The last layer of the library's networks is not rounded: margins stay fine.
    fine = np.any(rounded != rounded.astype(jnp.bfloat16).astype(jnp.float32))
    assert fine == (name != "own")


@pytest.mark.fast
@pytest.mark.parametrize(("name", "count"), [("cnn", 3), ("resnet", 6)])
def test_all_convolutions_of_the_network_are_in_bfloat16(name, count):
    convolutions = r"bf16\[[0-9,]+\] = conv_general_dilated"
    for compute_dtype, expected in (("bfloat16", count), ("float32", 0)):
        classifier = make(name, compute_dtype)
        params = jax.eval_shape(classifier.init, jax.random.key(0))
        text = str(jax.make_jaxpr(classifier.apply)(params, draw()))
        assert len(re.findall(convolutions, text)) == expected
        # Neither images nor the denoiser's coefficients are ever rounded.
        assert "bf16[4,16,12" not in text


@each_network
def test_gradients_arrive_in_float32(name):
    exact, rounded = (outcome(name, dtype)[1] for dtype in models.COMPUTE_DTYPES)
    assert_float32(rounded)
    for path, leaf in jax.tree_util.tree_leaves_with_path(exact):
        other = dict(jax.tree_util.tree_leaves_with_path(rounded))[path]
        cosine = np.vdot(leaf, other) / np.linalg.norm(leaf) / np.linalg.norm(other)
        # A threshold's gradient is a difference of many, which leaves fewer digits.
        least = 0.9 if "denoiser" in str(path) else 0.97
        assert cosine > least, jax.tree_util.keystr(path)


@pytest.mark.fast
def test_the_kernel_gradient_sums_in_float32():
    """32,768 ones: a sum in bfloat16 would stay at 256."""
    images, cotangent = (jnp.ones((8, 64, 64, 1), jnp.bfloat16) for _ in range(2))
    kernel = jnp.ones((3, 3, 1, 1), jnp.bfloat16)

    @jax.jit
    def gradients(images, kernel):
        return jax.vjp(layers.convolve_same, images, kernel)[1](cotangent)

    by_images, by_kernel = gradients(images, kernel)
    assert by_images.dtype == by_kernel.dtype == jnp.bfloat16
    inside = np.array([63, 64, 63])
    expected = 8 * np.outer(inside, inside)
    found = by_kernel[..., 0, 0].astype(jnp.float32)
    np.testing.assert_allclose(found, expected, rtol=EPSILON)
    text = str(jax.make_jaxpr(gradients)(images, kernel))
    assert "preferred_element_type=float32" in text


@pytest.mark.fast
@pytest.mark.parametrize("stride", [1, 2])
def test_gradients_of_a_convolution_are_those_of_float32_up_to_rounding(stride):
    rng = np.random.default_rng(0)
    shapes = (2, 9, 8, 3), (3, 3, 3, 4), (2, -(-9 // stride), -(-8 // stride), 4)
    low = [jnp.asarray(rng.normal(size=shape), jnp.bfloat16) for shape in shapes]

    @jax.jit
    def gradients(images, kernel, cotangent):
        convolve = functools.partial(layers.convolve_same, stride=stride)
        return jax.vjp(convolve, images, kernel)[1](cotangent)

    exact = gradients(*(array.astype(jnp.float32) for array in low))
    for found, expected in zip(gradients(*low), exact, strict=True):
        assert found.dtype == jnp.bfloat16
        scale = np.max(np.abs(expected))
        found = found.astype(jnp.float32)
        np.testing.assert_allclose(found, expected, rtol=0, atol=EPSILON * scale)


@pytest.mark.fast
def test_statistics_of_a_normalisation_are_in_float32():
    """Mean 50, deviation 1: the mean of squares in bfloat16 is off by up to 16."""
    maps = 50 + np.random.default_rng(0).normal(size=(2, 16, 16, 8))
    maps = jnp.asarray(maps, jnp.bfloat16)
    norm = layers.GroupNorm(8, 4)
    expected = norm(maps.astype(jnp.float32))
    found = norm(maps)
    assert found.dtype == jnp.bfloat16
    found = found.astype(jnp.float32)
    np.testing.assert_allclose(found, expected, rtol=EPSILON, atol=EPSILON)


def test_an_attack_stays_in_its_ball(key):
    classifier, images, labels = make("own", "bfloat16"), draw(8), np.arange(8) % 2
    radii = {"linf": 0.01, "l2": 0.1}

    @jax.jit
    def run(params):
        logits_fn = classifier.logits_fn(params)
        return {
            norm: attacks.PGD(norm=norm, num_steps=5, restarts=2)(
                logits_fn, key, images, labels, epsilon=epsilon
            )
            for norm, epsilon in radii.items()
        }

    for norm, found in run(initial("own")).items():
        assert_float32((found.adversarial, found.margin))
        moved = (found.adversarial - images).reshape(8, -1)
        size = np.linalg.norm(moved, np.inf if norm == "linf" else 2, axis=1)
        assert np.all(size <= radii[norm] * (1 + 1e-6))
        assert np.all(size > 0.5 * radii[norm])


def spots(n, seed):
    """Noise, and in every second image a bright spot at a place of its own."""
    rng = np.random.default_rng(seed)
    images = rng.normal(0.5, 0.02, (n, *SHAPE)).astype(np.float32)
    labels = np.arange(n, dtype=np.int32) % 2
    for image in images[1::2]:
        row, column = rng.integers(0, 12), rng.integers(0, 8)
        image[row : row + 4, column : column + 4] += 0.1
    return Batch(images, labels, np.ones(n, np.float32))


def test_training_finds_the_spots_and_keeps_its_state_in_float32(key):
    exact = models.ModelSettings(image_shape=SHAPE, level=1, widths=(8,))
    classifier = models.Classifier(dataclasses.replace(exact, compute_dtype="bfloat16"))
    objective = training.mixture(classifier.logits_fn, {}, {"clean": 1.0})
    optimizer = training.adamw(learning_rate=1e-2, num_steps=60)
    state = training.init_state(jax.jit(classifier.init)(key), optimizer)
    before = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), state)
    step = training.make_train_step(objective, optimizer)
    for index in range(60):
        state, metrics = step(state, spots(16, index), key, {})
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), state) == before
    assert metrics["loss"].dtype == metrics["gradient_norm"].dtype == jnp.float32
    # In float32, too, all are told apart.
    images, labels, _ = spots(100, 1000)
    logits = jax.jit(models.Classifier(exact).apply)(state.params, images)
    assert np.mean(np.argmax(logits, axis=-1) == labels) >= 0.97


@pytest.mark.fast
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"compute_dtype": "float16"}, r"compute_dtype .*'bfloat16'.*got 'float16'"),
        (
            {
                "name": "tests.models.user_networks:OnlyFloat32",
                "compute_dtype": "bfloat16",
            },
            "OnlyFloat32' fails on features .* in bfloat16: TypeError: float32 only",
        ),
        (
            {"name": "tests.models.user_networks:Perceptron", "remat": True},
            "remat must be False for .*Perceptron",
        ),
    ],
)
def test_errors_name_field_rule_and_value(settings, message):
    with pytest.raises(ValueError, match=message):
        models.ModelSettings(image_shape=SHAPE, **settings)
