"""Low-pass down-sampling against PyWavelets, and the networks that use it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pywt

from wbad_jax import models
from wbad_jax.models import cnn, downsampling

ATOL = 1e-5
CONVOLUTION = {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}
each_network = pytest.mark.parametrize("name", ["cnn", "resnet"])
each_downsampling = pytest.mark.parametrize("kind", downsampling.DOWNSAMPLINGS)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def pywt_low_pass(maps, wavelet):
    approx, _ = pywt.dwt2(
        np.asarray(maps), wavelet, mode="periodization", axes=(-3, -2)
    )
    return approx / 2


@pytest.mark.fast
@pytest.mark.parametrize("wavelet", ["haar", "db2", "sym4"])
@pytest.mark.parametrize("size", [(8, 6), (7, 5), (1, 2), (1, 1)])
def test_low_pass_matches_pywavelets(wavelet, size):
    maps = draw(2, *size, 3)
    actual = jax.jit(downsampling.low_pass, static_argnums=1)(maps, wavelet)
    expected = pywt_low_pass(maps, wavelet)
    assert actual.shape == (2, -(-size[0] // 2), -(-size[1] // 2), 3)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=ATOL)
    constant = downsampling.low_pass(jnp.full((1, *size, 1), 0.7), wavelet)
    np.testing.assert_allclose(constant, 0.7, atol=ATOL)


@pytest.mark.fast
def test_haar_is_the_mean_of_four_pixels():
    maps = draw(2, 6, 4, 3)
    expected = maps.reshape(2, 3, 2, 2, 2, 3).mean(axis=(2, 4))
    actual = downsampling.low_pass(maps, "haar")
    np.testing.assert_allclose(actual, expected, rtol=0, atol=ATOL)


def reference_norm(maps, params):
    groups = maps.reshape(*maps.shape[:3], -1, min(8, maps.shape[-1]))
    mean = groups.mean(axis=(1, 2, 4), keepdims=True)
    variance = groups.var(axis=(1, 2, 4), keepdims=True)
    normalised = ((groups - mean) / np.sqrt(variance + 1e-6)).reshape(maps.shape)
    return np.maximum(normalised * params["scale"] + params["bias"], 0)


def reference_convolution(maps, params, stride):
    strides = (stride, stride)
    return np.asarray(
        jax.lax.conv_general_dilated(
            maps, params["kernel"], strides, "SAME", **CONVOLUTION
        )
    )


def reference_network(features, params, name, wavelet):
    """Forward pass by stock convolutions, NumPy and PyWavelets."""
    maps = reference_convolution(features, params["stem"], 1)
    for index, block in params["blocks"].items():
        halve = int(index) > 0  # one block a stage

        def convolve(maps, params, halve=halve):
            if not halve:
                return reference_convolution(maps, params, 1)
            if wavelet is None:
                return reference_convolution(maps, params, 2)
            return pywt_low_pass(reference_convolution(maps, params, 1), wavelet)

        activated = reference_norm(maps, block["norm1"])
        residual = convolve(activated, block["conv1"])
        residual = reference_norm(residual, block["norm2"])
        residual = reference_convolution(residual, block["conv2"], 1)
        shortcut = convolve(activated, block["shortcut"]) if halve else maps
        maps = residual + shortcut
    maps = reference_norm(maps, params["norm"])
    pooled = maps.mean(axis=(1, 2))
    if name == "cnn":
        pooled = np.concatenate([pooled, maps.max(axis=(1, 2))], axis=-1)
    return pooled @ params["head"]["kernel"] + params["head"]["bias"]


@each_network
@pytest.mark.parametrize("wavelet", [None, "haar", "db2"])
def test_networks_match_a_reference_on_odd_sizes(name, wavelet):
    settings = models.ModelSettings(
        name=name,
        image_shape=(27, 22, 1),
        widths=(8, 16, 16),
        level=1,
        downsampling="dwt" if wavelet else "stride",
        downsampling_wavelet=wavelet or "haar",
    )
    classifier = models.Classifier(settings)
    params = jax.jit(classifier.init)(jax.random.key(0))
    # Normalisations at their initial 1 and 0 would hide a swap.
    rng = np.random.default_rng(1)
    params = jax.tree.map(
        lambda leaf: (leaf + 0.3 * rng.normal(size=leaf.shape)).astype(np.float32),
        params,
    )
    images = 0.5 + 0.1 * draw(3, 27, 22, 1)
    features = np.asarray(settings.features_of(images))
    assert features.shape[1:3] == (14, 11)  # 7 x 6, then 4 x 3
    network = params["network"]
    network["blocks"] = {str(key): value for key, value in network["blocks"].items()}
    expected = reference_network(features, network, name, wavelet)
    network["blocks"] = {int(key): value for key, value in network["blocks"].items()}
    actual = jax.jit(classifier.apply)(params, images)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-3)
    assert np.ptp(actual) > 0.1


@pytest.mark.fast
@each_network
def test_kinds_of_downsampling_share_parameters_not_logits(name):
    classifiers = [
        models.Classifier(
            models.ModelSettings(
                name=name, image_shape=(16, 16, 1), widths=(8, 8), downsampling=kind
            )
        )
        for kind in downsampling.DOWNSAMPLINGS
    ]
    params = [jax.jit(c.init)(jax.random.key(0)) for c in classifiers]
    jax.tree.map(np.testing.assert_array_equal, *params)
    images = 0.5 + 0.1 * draw(2, 16, 16, 1)
    stride, dwt = (jax.jit(c.apply)(params[0], images) for c in classifiers)
    assert np.max(np.abs(stride - dwt)) > 1e-2


@pytest.mark.fast
def test_size_of_the_pre_activation_resnet_18():
    """The ResNet-18 for CIFAR-10 has 11,173,962 parameters in all implementations.

    Pre-activation moves normalisations: 4,800 channels there, 3,904 here.
    """
    abstract = models.ModelSettings(
        name="resnet",
        image_shape=(32, 32, 3),
        num_classes=10,
        widths=(64, 128, 256, 512),
        blocks=2,
        level=1,
        mirrored=False,
    )
    params = jax.eval_shape(models.Classifier(abstract).init, jax.random.key(0))
    stem = 9 * (3 * 4 - 3) * 64  # more channels of features than of images
    expected = 11_173_962 - 2 * 4_800 + 2 * 3_904 + stem
    assert models.num_parameters(params) == expected


@pytest.mark.fast
@each_network
@each_downsampling
def test_gradients_in_a_loop_and_of_every_parameter(name, kind):
    settings = models.ModelSettings(
        name=name, image_shape=(18, 14, 1), widths=(8, 8), level=1, downsampling=kind
    )
    classifier = models.Classifier(settings)
    params = jax.jit(classifier.init)(jax.random.key(0))
    images = 0.5 + 0.1 * draw(2, 18, 14, 1)

    @jax.jit
    def run(params, images):
        def loss(params, images):
            return jnp.sum(jnp.square(classifier.apply(params, images)))

        def climb(x, _):
            return x + 1e-3 * jax.grad(loss, argnums=1)(params, x), None

        return jax.lax.scan(climb, images, length=2)[0], jax.grad(loss)(params, images)

    moved, gradient = run(params, images)
    assert np.all(np.isfinite(moved))
    assert np.max(np.abs(moved - images)) > 0
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert np.max(np.abs(leaf)) > 0, jax.tree_util.keystr(path)


@pytest.mark.fast
def test_blocks_that_do_not_halve_have_no_low_pass():
    rngs = cnn.nnx.Rngs(params=jax.random.key(0))
    blocks = cnn.residual_blocks((8, 8, 16), 2, downsampling_wavelet="db2", rngs=rngs)
    wavelets = [block.downsampling_wavelet for block in blocks]
    assert wavelets == [None, None, "db2", None, "db2", None]
