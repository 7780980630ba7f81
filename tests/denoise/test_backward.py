"""The backward passes of the denoiser: one value, three gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wbad_jax import denoise, wavelets

LEARNED = np.array([[0.5, 1.0, 2.0], [1.5, 3.0, 0.2]], np.float32)


def draw(shape=(2, 16, 16, 1), seed=0):
    images = np.random.default_rng(seed).normal(0.5, 0.1, shape)
    return images.astype(np.float32)


def vjp(settings, images, cotangent, learned=None, backward="exact"):
    @jax.jit
    def run(images, cotangent):
        function = functools.partial(
            denoise.wavelet_denoise,
            settings=settings,
            learned=learned,
            backward=backward,
        )
        value, transpose = jax.vjp(function, images)
        return value, transpose(cotangent)[0]

    return run(images, cotangent)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("rule", "backward"),
    [("universal", "identity"), ("learned", "smooth"), ("sure", "smooth")],
)
def test_the_value_is_the_same_in_every_mode(rule, backward):
    settings = denoise.DenoiserSettings(threshold_rule=rule, smooth_width=0.5)
    images, learned = draw(), LEARNED if rule == "learned" else None
    exact = denoise.wavelet_denoise(images, settings, learned)
    value = denoise.wavelet_denoise(images, settings, learned, backward=backward)
    np.testing.assert_array_equal(value, exact)


@pytest.mark.fast
def test_identity_keeps_small_values_beside_large_ones():
    """`images + (denoised - images)` would round them to the digits of the images."""
    settings = denoise.DenoiserSettings(threshold_rule="fixed", threshold=1e9)
    images = jnp.zeros((1, 4, 4, 1)).at[0, 0, 0, 0].set(1e6).at[0, 0, 1, 0].set(-1e6)
    images = images.at[0, 2, 2, 0].set(1e-3)
    value = denoise.wavelet_denoise(images, settings, backward="identity")
    exact = denoise.wavelet_denoise(images, settings)
    np.testing.assert_array_equal(value, exact)


@pytest.mark.fast
@pytest.mark.parametrize("rule", ["universal", "learned"])
def test_identity_passes_gradients_straight_through(rule):
    settings = denoise.DenoiserSettings(threshold_rule=rule)
    cotangent = draw(seed=1)
    _, gradient = vjp(settings, draw(), cotangent, LEARNED, "identity")
    np.testing.assert_array_equal(gradient, cotangent)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("wavelet", "mode"),
    [("haar", "symmetric"), ("db2", "periodization"), ("bior2.2", "symmetric")],
)
def test_straight_through_the_shrinkage_is_straight_through_the_denoiser(wavelet, mode):
    """Synthesis after analysis is the identity, also where it is not the transpose."""
    images, cotangent = draw((2, 32, 32, 1)), draw((2, 32, 32, 1), seed=1)
    settings = denoise.DenoiserSettings(
        wavelet=wavelet, mode=mode, threshold_rule="fixed", threshold=0.1
    )

    @jax.jit
    def run(images, cotangent):
        def function(images):
            approx, *details = wavelets.wavedec2(images, wavelet, mode, 2)
            through = [
                wavelets.Details(
                    *(
                        denoise.replace_gradient(denoise.soft_threshold(b, 0.1), b)
                        for b in bands
                    )
                )
                for bands in details
            ]
            return wavelets.waverec2([approx, *through], wavelet, mode, (32, 32))

        value, transpose = jax.vjp(function, images)
        return value, transpose(cotangent)[0]

    value, gradient = run(images, cotangent)
    expected, identity = vjp(settings, images, cotangent, backward="identity")
    np.testing.assert_allclose(value, expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(gradient, identity, rtol=0, atol=1e-5)


def smooth_twin(images, settings):
    """The denoiser with its shrinkage replaced, differentiated as it stands."""
    approx, *details = wavelets.wavedec2(images, "haar", level=2)
    sigma = denoise.noise_sigma(images)
    threshold = denoise.universal_threshold(sigma, 16 * 16)
    shrink = denoise.SMOOTH_SHRINKAGE[settings.shrinkage]
    width = settings.smooth_width * threshold
    shrunk = [
        wavelets.Details(*(shrink(band, threshold, width) for band in bands))
        for bands in details
    ]
    return wavelets.waverec2([approx, *shrunk], shape=(16, 16))


@pytest.mark.fast
@pytest.mark.parametrize("shrinkage", sorted(denoise.SHRINKAGE))
def test_smooth_is_the_gradient_of_the_smooth_denoiser(shrinkage):
    settings = denoise.DenoiserSettings(shrinkage=shrinkage, smooth_width=0.3)
    images, cotangent = draw(), draw(seed=1)
    _, gradient = vjp(settings, images, cotangent, backward="smooth")
    twin = jax.jit(lambda x, ct: jax.vjp(lambda x: smooth_twin(x, settings), x)[1](ct))
    np.testing.assert_allclose(gradient, twin(images, cotangent)[0], rtol=0, atol=1e-5)
    _, exact = vjp(settings, images, cotangent)
    assert np.max(np.abs(gradient - exact)) > 1e-2


@pytest.mark.fast
@pytest.mark.parametrize("shrinkage", sorted(denoise.SHRINKAGE))
def test_smooth_reaches_what_the_dead_zone_hides(shrinkage):
    """Of a faint checkerboard the exact backward pass sees nothing at all."""
    rows, columns = np.indices((16, 16))
    checkerboard = ((-1.0) ** (rows + columns)).astype(np.float32)[None, ..., None]
    images = 0.5 + 0.01 * checkerboard
    settings = denoise.DenoiserSettings(
        threshold_rule="fixed", threshold=0.1, level=1, shrinkage=shrinkage
    )
    _, exact = vjp(settings, images, checkerboard)
    _, smooth = vjp(settings, images, checkerboard, backward="smooth")
    np.testing.assert_allclose(exact, 0, atol=1e-6)
    assert np.min(smooth * checkerboard) > 0.02


@pytest.mark.fast
def test_smooth_with_threshold_zero_is_the_identity():
    cotangent = draw(seed=1)
    for shrinkage in denoise.SHRINKAGE:
        settings = denoise.DenoiserSettings(
            threshold_rule="fixed", shrinkage=shrinkage, level=1
        )
        _, gradient = vjp(settings, draw(), cotangent, backward="smooth")
        np.testing.assert_allclose(gradient, cotangent, rtol=0, atol=1e-5)


@pytest.mark.fast
@pytest.mark.parametrize("backward", denoise.BACKWARD_MODES)
def test_every_mode_has_forward_derivatives(backward):
    settings = denoise.DenoiserSettings(level=1)
    images, tangent, cotangent = draw(), draw(seed=2), draw(seed=1)

    @jax.jit
    def push(images, tangent):
        function = functools.partial(
            denoise.wavelet_denoise, settings=settings, backward=backward
        )
        return jax.jvp(function, (images,), (tangent,))[1]

    _, gradient = vjp(settings, images, cotangent, backward=backward)
    forward = np.vdot(push(images, tangent), cotangent)
    np.testing.assert_allclose(forward, np.vdot(gradient, tangent), rtol=1e-4)


@pytest.mark.fast
def test_modes_are_listed_once():
    assert denoise.BACKWARD_MODES == ("exact", "identity", "smooth")
