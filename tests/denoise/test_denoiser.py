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
    return LEARNED if rule in ("learned", "predicted") else None


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
@pytest.mark.parametrize(("shrinkage", "sigma"), [("soft", None), ("hard", 0.1)])
@pytest.mark.parametrize(("wavelet", "level"), [("db1", 3), ("db2", 3), ("sym4", 2)])
@pytest.mark.parametrize(
    ("rule", "method"), [("universal", "VisuShrink"), ("bayes", "BayesShrink")]
)
def test_estimated_thresholds_match_scikit_image(
    rule, method, wavelet, level, shrinkage, sigma, enable_x64
):
    clean = transform.resize(data.camera() / 255.0, (96, 80), anti_aliasing=True)
    noisy = clean + np.random.default_rng(0).normal(0, 0.05, clean.shape)
    expected = restoration.denoise_wavelet(
        noisy,
        sigma=sigma,
        wavelet=wavelet,
        mode=shrinkage,
        wavelet_levels=level,
        method=method,
    )
    settings = settings_of(
        rule, wavelet=wavelet, level=level, sigma=sigma, shrinkage=shrinkage
    )
    actual = np.asarray(run(noisy[None, ..., None], settings))[0, ..., 0]
    before, ours, theirs = (
        metrics.peak_signal_noise_ratio(clean, image, data_range=1)
        for image in (noisy, actual, expected)
    )
    assert abs(ours - theirs) < 0.05  # dB
    assert rule == "universal" or sigma or ours > before + 2
    # In double precision no coefficient lands on the other side of its threshold.
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5)


@pytest.mark.fast
def test_nested_fixed_thresholds_act_where_they_are_named():
    images = noise((2, 16, 20, 2))
    table = np.linspace(0.02, 0.2, 12).reshape(2, 3, 2)
    nested = tuple(tuple(tuple(map(float, o)) for o in level) for level in table)
    settings = settings_of("fixed", threshold=nested)
    actual = run(images, settings)
    for channel in range(2):
        expected = twin(
            images[..., channel : channel + 1],
            settings,
            lambda level, o, channel=channel: table[level, o, channel],
        )
        np.testing.assert_allclose(
            actual[..., channel], expected[..., 0], rtol=0, atol=ATOL
        )


@pytest.mark.fast
def test_level_noise_estimates_sigma_at_every_level():
    """Of coloured noise: the diagonal subbands hold more and more of it."""
    images = noise((1, 32, 32, 1))
    images = (images + np.roll(images, 1, 1) + np.roll(images, 1, 2)) / 3
    settings = settings_of("universal", level_noise=True)
    actual = run(images, settings)
    axes = (-3, -2)
    details = pywt.wavedec2(images.astype(np.float64), "haar", level=2, axes=axes)[1:]
    sigmas = [np.median(np.abs(bands[2])) / 0.6744897501960817 for bands in details]
    assert sigmas[0] > 1.2 * sigmas[1]
    factor = np.sqrt(2 * np.log(32 * 32))
    expected = twin(images, settings, lambda level, o: factor * sigmas[level])
    np.testing.assert_allclose(actual, expected, rtol=0, atol=ATOL)


@pytest.mark.fast
def test_sigma_is_a_constant_unless_asked_otherwise(enable_x64):
    """By default the gradient is that with sigma given as a number."""
    images = jnp.asarray(noise((1, 8, 9, 1)), jnp.float64)
    sigma = denoise.noise_sigma(images).item()

    def gradient(**changes):
        def total(images):
            settings = settings_of("universal", **changes)
            return jnp.sum(run(images, settings) ** 2)

        return jax.jit(jax.grad(total))(images)

    constant = gradient(sigma=sigma)
    np.testing.assert_allclose(gradient(), constant, rtol=1e-9)
    assert np.max(np.abs(gradient(sigma_gradient=True) - constant)) > 1e-3


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
@pytest.mark.parametrize(
    ("shrinkage", "sigma"),
    [("soft", None), ("garrote", None), ("firm", None), ("soft", 0.05)],
)
def test_learned_gradients_against_differences(shrinkage, sigma, enable_x64):
    images = jnp.asarray(noise((1, 8, 9, 1)), jnp.float64)
    settings = settings_of(
        "learned", shrinkage=shrinkage, sigma=sigma, sigma_gradient=True
    )

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
    settings = settings_of(rule, wavelet="db2", sigma_gradient=True)
    denoised = functools.partial(run, settings=settings)
    with pytest.warns(UserWarning, match="level 2 is more than"):
        check_grads(denoised, (images,), order=1, modes=("rev",), eps=1e-6, rtol=1e-5)


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
    learned = learned_of(rule)
    if learned is not None:
        learned = learned + 1  # At least sigma everywhere.
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
def test_calls_that_cannot_work_are_refused():
    images = jnp.zeros((1, 8, 8, 1))
    with pytest.raises(ValueError, match="'learned' needs the argument `learned`"):
        denoise.wavelet_denoise(images, settings_of("learned"))
    with pytest.raises(ValueError, match="backward must be .* got 'straight'"):
        denoise.wavelet_denoise(images, settings_of("fixed"), backward="straight")
