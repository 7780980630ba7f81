"""The denoiser against PyWavelets and scikit-image, and what it must let through."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pywt
from flax import nnx
from jax.test_util import check_grads
from skimage import data, metrics, restoration, transform

from wbad_jax import denoise

# Float32 transforms of images of order 1, some ten roundings deep.
ATOL = 3e-6
each_rule = pytest.mark.parametrize("rule", denoise.RULES)
LEARNED = np.array([[0.5, 1.0, 2.0], [1.5, 3.0, 0.2]], np.float32)


def settings_of(rule, **changes):
    threshold = {"threshold": 0.05} if rule == "fixed" else {}
    return denoise.DenoiserSettings(threshold_rule=rule, **threshold | changes)


def learned_of(rule):
    return LEARNED if rule == "learned" else None


@functools.partial(jax.jit, static_argnames=("settings", "backward"))
def run(images, settings, learned=None, backward="exact"):
    return denoise.wavelet_denoise(images, settings, learned, backward=backward)


def noise(shape, seed=0):
    images = np.random.default_rng(seed).normal(0.5, 0.1, shape)
    return images.astype(np.float32)


def twin(images, settings, threshold_of):
    """Transform, shrink and transform back with PyWavelets, in float64."""
    axes = (-3, -2)
    approx, *details = pywt.wavedec2(
        images.astype(np.float64),
        settings.wavelet,
        settings.mode,
        settings.level,
        axes=axes,
    )
    shrunk = [
        tuple(
            pywt.threshold(band, threshold_of(level, o), settings.shrinkage)
            for o, band in enumerate(bands)
        )
        for level, bands in enumerate(details)
    ]
    full = pywt.waverec2([approx, *shrunk], settings.wavelet, settings.mode, axes=axes)
    return full[..., : images.shape[-3], : images.shape[-2], :]


@pytest.mark.fast
@pytest.mark.parametrize("mode", ["symmetric", "periodization"])
@pytest.mark.parametrize("size", [(16, 16), (13, 18)])
def test_zero_threshold_is_the_identity(mode, size):
    images = noise((2, *size, 1))
    settings = denoise.DenoiserSettings(threshold_rule="fixed", mode=mode)
    np.testing.assert_allclose(run(images, settings), images, rtol=0, atol=ATOL)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("wavelet", "mode", "level", "size", "shrinkage", "backend"),
    [
        ("haar", "symmetric", 1, (7, 12), "soft", "polyphase"),
        ("haar", "periodization", 3, (16, 24), "hard", "polyphase"),
        ("haar", "zero", 2, (9, 11), "garrote", "polyphase"),
        ("db2", "symmetric", 2, (17, 20), "soft", "polyphase"),
        ("db2", "periodization", 2, (15, 22), "garrote", "polyphase"),
        ("db4", "reflect", 1, (33, 19), "soft", "polyphase"),
        ("sym4", "periodic", 2, (32, 29), "hard", "polyphase"),
        ("db2", "symmetric", 2, (17, 20), "soft", "jaxwt"),
    ],
)
def test_fixed_threshold_matches_pywavelets(
    wavelet, mode, level, size, shrinkage, backend
):
    images = noise((2, *size, 2))
    settings = settings_of(
        "fixed",
        wavelet=wavelet,
        mode=mode,
        level=level,
        shrinkage=shrinkage,
        backend=backend,
    )
    actual = run(images, settings)
    assert actual.shape == images.shape
    assert actual.dtype == jnp.float32
    expected = twin(images, settings, lambda *_: 0.05)
    assert np.max(np.abs(expected - images)) > 0.05
    np.testing.assert_allclose(actual, expected, rtol=0, atol=ATOL)


@pytest.mark.fast
@pytest.mark.parametrize("sigma", [None, 0.1])
@pytest.mark.parametrize(
    ("rule", "method"), [("universal", "VisuShrink"), ("bayes", "BayesShrink")]
)
def test_estimated_thresholds_match_scikit_image(rule, method, sigma):
    clean = transform.resize(data.camera() / 255.0, (96, 80), anti_aliasing=True)
    clean = 0.3 + 0.4 * clean  # Far from 0 and 1, where scikit-image clips.
    noisy = clean + np.random.default_rng(0).normal(0, 0.05, clean.shape)
    expected = restoration.denoise_wavelet(
        noisy, sigma=sigma, wavelet="db2", wavelet_levels=3, method=method
    )
    settings = settings_of(rule, wavelet="db2", level=3, sigma=sigma)
    actual = run(noisy.astype(np.float32)[None, ..., None], settings)[0, ..., 0]
    before, ours, theirs = (
        metrics.peak_signal_noise_ratio(clean, np.asarray(image), data_range=1)
        for image in (noisy, actual, expected)
    )
    assert abs(ours - theirs) < 0.05  # dB
    assert rule == "universal" or ours > before + 3
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4)


@pytest.mark.fast
def test_learned_thresholds_are_sigma_times_softplus():
    """Per level, coarsest first, and per orientation h, v, d, as in PyWavelets."""
    images = noise((1, 16, 20, 1))
    raw = np.array([[-3.0, 0.0, 1.0], [0.5, -1.0, 2.0]], np.float32)
    settings = settings_of("learned")
    graph = nnx.split(denoise.Denoiser(settings))[0]

    @jax.jit
    def run_module(raw, images):
        module = nnx.merge(graph, nnx.State({"raw_thresholds": raw}), copy=True)
        return module(images), module.thresholds()

    actual, multiples = run_module(raw, images)
    sigma = denoise.noise_sigma(images).item()
    expected = np.log1p(np.exp(raw.astype(np.float64)))
    np.testing.assert_allclose(multiples, expected, rtol=1e-6)
    assert np.all(np.asarray(multiples) > 0)
    expected = twin(images, settings, lambda level, o: sigma * expected[level, o])
    np.testing.assert_allclose(actual, expected, rtol=0, atol=ATOL)


@pytest.mark.fast
@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_learned_thresholds_start_at_the_universal_one(scale):
    settings = settings_of("learned", initial_scale=scale, level=3)
    thresholds = denoise.Denoiser(settings, num_pixels=48 * 64).thresholds()
    expected = np.full((3, 3), scale * np.sqrt(2 * np.log(48 * 64)))
    np.testing.assert_allclose(thresholds, expected, rtol=1e-6)


@pytest.mark.fast
@pytest.mark.parametrize("shrinkage", ["soft", "garrote", "firm"])
@pytest.mark.parametrize("sigma", [None, 0.05])
def test_learned_gradients_against_differences(shrinkage, sigma, enable_x64):
    images = jnp.asarray(noise((1, 8, 9, 1)), jnp.float64)
    settings = settings_of("learned", shrinkage=shrinkage, sigma=sigma)

    @jax.jit
    def denoised(raw, images):
        return denoise.wavelet_denoise(images, settings, jax.nn.softplus(raw))

    # Steps too small to carry a coefficient over a break point.
    check_grads(
        denoised,
        (jnp.asarray(LEARNED, jnp.float64) - 1, images),
        order=1, modes=("rev",), eps=1e-6, rtol=1e-5,
    )  # fmt: skip


@pytest.mark.fast
@pytest.mark.parametrize("rule", ["universal", "bayes", "sure"])
def test_image_gradients_go_through_the_thresholds(rule, enable_x64):
    images = jnp.asarray(noise((1, 9, 8, 1)), jnp.float64)
    denoised = functools.partial(run, settings=settings_of(rule, wavelet="db2"))
    with pytest.warns(UserWarning, match="level 2 is more than"):
        check_grads(denoised, (images,), order=1, modes=("rev",), eps=1e-6, rtol=1e-5)


@pytest.mark.fast
def test_identity_backward_passes_gradients_straight_through():
    images, cotangent = noise((2, 8, 8, 1)), noise((2, 8, 8, 1), seed=1)
    for rule in ("universal", "learned"):
        settings, learned = settings_of(rule), learned_of(rule)

        def vjp(images, settings=settings, learned=learned):
            value, transpose = jax.vjp(
                lambda x: run(x, settings, learned, "identity"), images
            )
            return value, transpose(cotangent)[0]

        value, gradient = jax.jit(vjp)(images)
        np.testing.assert_array_equal(gradient, cotangent)
        expected = run(images, settings, learned)
        np.testing.assert_allclose(value, expected, rtol=0, atol=1e-6)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("rule", "shrinkage"),
    [(rule, "soft") for rule in denoise.RULES]
    + [("fixed", name) for name in sorted(denoise.SHRINKAGE) if name != "soft"],
)
def test_the_approximation_band_passes_unchanged(rule, shrinkage):
    """No threshold protects against an attack that is confined to low frequencies.

    Blocks of 4 x 4 equal pixels are the approximation band of two Haar levels. A
    denoiser that let less of them through would be claiming a defence it has not.
    """
    images = noise((2, 16, 24, 1))
    settings = settings_of(rule, shrinkage=shrinkage)
    rng = np.random.default_rng(1)
    blocks = rng.uniform(-0.1, 0.1, (2, 4, 6, 1)).astype(np.float32)
    perturbation = blocks.repeat(4, axis=1).repeat(4, axis=2)
    clean = run(images, settings, learned_of(rule))
    passed = run(images + perturbation, settings, learned_of(rule)) - clean
    np.testing.assert_allclose(passed, perturbation, rtol=0, atol=ATOL)
    # The denoiser is at work all the same: what it removed is no rounding.
    assert np.max(np.abs(clean - images)) > 0.01


@pytest.mark.fast
@each_rule
def test_the_finest_diagonal_does_not_pass(rule):
    """The counterpart: a faint checkerboard on a flat image is taken out."""
    rows, columns = np.indices((16, 16))
    checkerboard = 0.01 * (-1.0) ** (rows + columns)
    images = (0.5 + checkerboard).astype(np.float32)[None, ..., None]
    learned = None if rule != "learned" else LEARNED + 1  # At least sigma everywhere.
    denoised = run(images, settings_of(rule), learned)
    np.testing.assert_allclose(denoised, 0.5, rtol=0, atol=ATOL)


def stretch(settings, images, direction):
    """How much longer the difference of two images is after denoising."""
    moved = run(images + direction, settings) - run(images, settings)
    return np.linalg.norm(np.ravel(moved)) / np.linalg.norm(np.ravel(direction))


@pytest.mark.fast
@pytest.mark.parametrize("wavelet", ["haar", "db2"])
def test_soft_shrinkage_is_a_contraction(wavelet):
    """In orthogonal bases a fixed soft threshold never moves two images apart."""
    images = noise((1, 16, 16, 1))
    settings = settings_of("fixed", wavelet=wavelet, mode="periodization")
    firm = settings_of("fixed", wavelet=wavelet, mode="periodization", shrinkage="firm")
    rng = np.random.default_rng(2)
    directions = [
        (scale * rng.normal(size=images.shape)).astype(np.float32)
        for scale in (1e-2, 1e-1, 1)
        for _ in range(5)
    ]
    assert max(stretch(settings, images, d) for d in directions) <= 1 + 1e-5
    # On its ramp firm shrinkage has slope 2: the measure can tell.
    assert max(stretch(firm, images, d) for d in directions) > 1.01


@pytest.mark.fast
@each_rule
def test_constant_images_give_finite_values_and_gradients(rule):
    @jax.jit
    def value_and_gradients(images, learned):
        def total(images, learned):
            outputs = [
                denoise.wavelet_denoise(
                    images,
                    settings_of(rule, shrinkage=shrinkage, level=1),
                    learned[:1],
                )
                for shrinkage in denoise.SHRINKAGE
            ]
            return sum(jnp.sum(jnp.square(x)) for x in outputs), outputs

        return jax.value_and_grad(total, argnums=(0, 1), has_aux=True)(images, learned)

    flat = np.zeros((4, 8, 9, 1), np.float32)
    flat[1:] += np.array([0.3, 1.0, 1e-20]).reshape(3, 1, 1, 1)
    spot = flat.copy()  # Few coefficients are not 0, so the noise level is 0.
    spot[:, 4, 4] += 0.1
    for images in (flat, spot):
        (_, outputs), gradients = value_and_gradients(images, LEARNED)
        for array in jax.tree.leaves((outputs, gradients)):
            assert np.all(np.isfinite(array))
        if rule != "fixed":  # Without noise there is nothing to take out.
            for output in outputs:
                np.testing.assert_allclose(output, images, rtol=0, atol=ATOL)


@pytest.mark.fast
@each_rule
def test_images_and_channels_do_not_affect_each_other(rule):
    images = noise((2, 12, 14, 2)) * np.array([1, 0.3], np.float32)
    settings, learned = settings_of(rule), learned_of(rule)
    together = run(images, settings, learned)
    for i in range(2):
        for channel in range(2):
            one = images[i : i + 1, ..., channel : channel + 1]
            alone = run(one, settings, learned)[0, ..., 0]
            np.testing.assert_allclose(together[i, ..., channel], alone, atol=1e-6)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("mode", "mirror", "must be one of"),
        ("backend", "numpy", "must be one of"),
        ("shrinkage", "softer", "must be one of"),
        ("threshold_rule", "median", "must be one of"),
        ("level", 0, "at least 1"),
        ("threshold", -0.5, "must not be negative"),
        ("threshold", float("nan"), "must not be negative"),
        ("sigma", -0.25, "must not be negative"),
        ("initial_scale", 0.0, "must be positive"),
        ("initial_scale", float("nan"), "must be positive"),
    ],
)
def test_errors_name_field_rule_and_value(field, value, rule):
    with pytest.raises(ValueError, match=rule) as error:
        denoise.DenoiserSettings(**{field: value})
    assert field in str(error.value)
    assert str(value) in str(error.value)


@pytest.mark.fast
def test_an_unknown_wavelet_is_refused():
    with pytest.raises(ValueError, match="db99"):
        denoise.DenoiserSettings(wavelet="db99")


@pytest.mark.fast
def test_calls_that_cannot_work_are_refused():
    images = jnp.zeros((1, 8, 8, 1))
    with pytest.raises(ValueError, match="'learned' needs the argument `learned`"):
        denoise.wavelet_denoise(images, settings_of("learned"))
    with pytest.raises(ValueError, match="backward must be .* got 'straight'"):
        denoise.wavelet_denoise(images, settings_of("fixed"), backward="straight")
