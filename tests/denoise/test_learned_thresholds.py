"""Trained thresholds: shapes of the parameters, where they start, what they learn."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from wbad_jax import denoise, models, wavelets
from wbad_jax.denoise import learned_thresholds

UNIVERSAL = denoise.DenoiserSettings(level=2)
PREDICTED = denoise.DenoiserSettings(level=2, threshold_rule="predicted")


@pytest.mark.fast
@pytest.mark.parametrize("value", [1e-3, 0.5, 4.0, 50.0])
def test_positive_and_its_inverse(value):
    raw = jax.jit(learned_thresholds.inverse_positive)(value)
    np.testing.assert_allclose(np.log1p(np.exp(np.float64(raw))), value, rtol=1e-5)
    np.testing.assert_allclose(learned_thresholds.positive(raw), value, rtol=1e-5)
    assert learned_thresholds.positive(-30.0) > 0


def draw(shape=(2, 16, 12, 2), seed=0):
    images = np.random.default_rng(seed).normal(0.5, 0.1, shape)
    return images.astype(np.float32)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("sharing", "shape"),
    [
        ("image", (1, 1, 1)),
        ("level", (2, 1, 1)),
        ("subband", (2, 3)),
        ("channel", (2, 3, 2)),
    ],
)
def test_sharing_sets_the_shape_and_starts_at_the_universal_threshold(sharing, shape):
    settings = denoise.DenoiserSettings(threshold_rule="learned", sharing=sharing)
    denoiser = denoise.Denoiser(settings, 16 * 12, num_channels=2)
    thresholds = denoiser.thresholds()
    assert thresholds is not None
    assert thresholds.shape == shape
    np.testing.assert_allclose(thresholds, np.sqrt(2 * np.log(16 * 12)), rtol=1e-6)


@pytest.mark.fast
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 1), (2, 3), (2, 3, 2)])
def test_a_table_acts_on_its_level_orientation_and_channel(shape):
    """One entry moved changes what it should, and nothing else."""
    settings = denoise.DenoiserSettings(threshold_rule="learned")

    @jax.jit
    def details_of(table):
        denoised = denoise.wavelet_denoise(draw(), settings, table)
        return wavelets.wavedec2(denoised, level=2)[1:]

    plain, moved = details_of(jnp.ones(shape)), None
    table = np.ones(shape, np.float32)
    table[(0,) * len(shape)] = 0.2
    moved = details_of(jnp.asarray(table))
    for level, o in np.ndindex(2, 3):
        for channel in range(2):
            place = (level, o, channel)[: len(shape)]
            hit = all(i == 0 or n == 1 for i, n in zip(place, shape, strict=True))
            change = np.abs(moved[level][o] - plain[level][o])[..., channel]
            assert (np.max(change) > 1e-3) == hit, (level, o, channel)
            assert hit or np.max(change) < 1e-6


@pytest.mark.fast
def test_a_table_that_does_not_fit_is_refused():
    settings = denoise.DenoiserSettings(threshold_rule="learned")
    with pytest.raises(ValueError, match=r"learned must be .* \(2, 3, 2\), got .*\(3,"):
        denoise.wavelet_denoise(draw(), settings, jnp.ones((3, 3)))
    fixed = denoise.DenoiserSettings(
        threshold_rule="fixed", threshold=(((0.1,) * 3,) * 3,) * 2
    )
    with pytest.raises(ValueError, match=r"threshold must be broadcastable"):
        denoise.wavelet_denoise(draw(), fixed)


@pytest.mark.fast
@pytest.mark.parametrize("scale", [0.4, 1.0])
def test_predicted_thresholds_start_at_the_universal_one(scale):
    settings = denoise.DenoiserSettings(threshold_rule="predicted", initial_scale=scale)
    denoiser = denoise.Denoiser(settings, num_pixels=16 * 12)
    assert denoiser.thresholds() is None
    details = wavelets.wavedec2(draw(), level=2)[1:]
    sigma = denoise.noise_sigma(draw())
    multiples = denoiser.predictor(details, [sigma] * 2)
    assert multiples.shape == (2, 2, 3, 2)
    np.testing.assert_allclose(
        multiples, scale * np.sqrt(2 * np.log(16 * 12)), rtol=1e-6
    )


@pytest.mark.fast
def test_features_are_those_of_the_subband():
    details = wavelets.wavedec2(draw(), level=2)[1:]
    sigmas = [denoise.noise_sigma(draw()), 2 * denoise.noise_sigma(draw())]
    features = jax.jit(learned_thresholds.subband_features)(details, sigmas)
    assert features.shape == (2, 2, 3, 2, 3 + 2 + 3)
    for level, o, channel in np.ndindex(2, 3, 2):
        band = np.asarray(details[level][o])[1, ..., channel].astype(np.float64)
        sigma = float(sigmas[level][1, 0, 0, channel])
        root = np.sqrt(np.mean(band**2))
        expected = [
            np.log(root / sigma),
            np.log(np.mean(np.abs(band)) / sigma),
            np.log(np.mean((band / root) ** 4)),
            *np.eye(2)[level],
            *np.eye(3)[o],
        ]
        np.testing.assert_allclose(
            features[1, level, o, channel], expected, rtol=1e-3, atol=1e-3
        )


@pytest.mark.fast
def test_features_without_noise_or_signal_are_finite():
    @jax.jit
    def value_and_gradient(images):
        def total(images):
            details = wavelets.wavedec2(images, level=2)[1:]
            sigma = denoise.noise_sigma(images, stop_gradient=False)
            features = learned_thresholds.subband_features(details, [sigma] * 2)
            return jnp.sum(features), features

        return jax.value_and_grad(total, has_aux=True)(images)

    spot = np.zeros((1, 8, 8, 1), np.float32)
    spot[0, 3, 3] = 1.0
    for images in (np.zeros_like(spot), np.full_like(spot, 1e6), spot, 1e-30 * spot):
        for array in jax.tree.leaves(value_and_gradient(images)):
            assert np.all(np.isfinite(array))


def simulated(seed, count=16, size=32):
    """Fine stripes in white noise, the level of both drawn for each image.

    Stripes fill one orientation of one or two subbands, which a threshold set by sigma
    alone wipes out.
    """
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((size, size))
    period = rng.uniform(2.5, 8, (count, 1, 1))
    along = np.where(rng.uniform(size=(count, 1, 1)) < 0.5, rows, columns)
    stripes = np.sin(2 * np.pi * along / period)
    clean = 0.5 + rng.uniform(0.05, 0.2, (count, 1, 1)) * stripes
    sigma = rng.uniform(0.02, 0.1, (count, 1, 1))
    noisy = clean + sigma * rng.normal(size=clean.shape)
    return tuple(x[..., None].astype(np.float32) for x in (noisy, clean))


def test_the_predictor_learns_to_denoise_better_than_the_universal_rule():
    denoiser = denoise.Denoiser(PREDICTED, num_pixels=32 * 32, rngs=nnx.Rngs(0))
    graph, params = nnx.split(denoiser, nnx.Param)
    optimizer = optax.adam(0.03)

    def loss(params, noisy, clean):
        denoised = nnx.merge(graph, params, copy=True)(noisy)
        return jnp.mean(jnp.square(denoised - clean))

    @jax.jit
    def step(params, state, noisy, clean):
        gradient = jax.grad(loss)(params, noisy, clean)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state, gradient

    test = simulated(seed=1)
    universal = denoise.wavelet_denoise(test[0], UNIVERSAL)
    start = np.mean(np.square(universal - test[1]))
    jitted = jax.jit(loss)
    np.testing.assert_allclose(jitted(params, *test), start, rtol=1e-5)
    state, gradient = optimizer.init(params), None
    for number in range(25):
        params, state, gradient = step(params, state, *simulated(seed=2 + number))
    # Once the last layer has left zero, gradients reach the first one too.
    for leaf in jax.tree.leaves(gradient):
        assert np.any(np.asarray(leaf) != 0)
    assert jitted(params, *test) < 0.8 * start


@pytest.mark.fast
@pytest.mark.parametrize("rule", ["learned", "predicted"])
def test_in_a_classifier_of_several_channels(rule):
    settings = denoise.DenoiserSettings(
        threshold_rule=rule, sharing="channel", initial_scale=0.3
    )
    shape = models.ModelSettings(image_shape=(16, 12, 2), widths=(4, 4))
    classifier = models.Classifier(shape, settings)
    params = jax.jit(classifier.init)(jax.random.key(0))

    @jax.jit
    def gradient(params):
        logits = functools.partial(classifier.apply, images=draw())
        return jax.grad(lambda p: jnp.sum(logits(p)[:, 0]))(params)["denoiser"]

    assert all(np.any(leaf != 0) for leaf in jax.tree.leaves(gradient(params))[-1:])
    if rule == "learned":
        assert params["denoiser"]["raw_thresholds"].shape == (2, 3, 2)
