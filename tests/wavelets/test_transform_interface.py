"""Types, shapes, errors and the second backend of the transforms."""

import sys
import warnings

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pywt

from wbad_jax import wavelets

EPSILON = {"float32": 1e-6, "bfloat16": 2e-2, "float16": 2e-3}


def images(shape=(2, 9, 12, 3), dtype=np.float32, seed=0):
    return np.random.default_rng(seed).uniform(size=shape).astype(dtype)


@pytest.mark.parametrize("dtype", EPSILON)
def test_dtype_is_kept(dtype):
    x = jnp.asarray(images((2, 13, 12, 3)), dtype)
    coefficients = wavelets.wavedec2(x, "db2", level=2)
    restored = wavelets.waverec2(coefficients, "db2", shape=(13, 12))
    for array in (*jax.tree.leaves(coefficients), restored):
        assert array.dtype == dtype
    error = jnp.abs(restored.astype("float32") - x.astype("float32")).max()
    assert error < EPSILON[dtype]
    gradient = jax.grad(lambda x: wavelets.dwt2(x, "db2").approx.sum())(x)
    assert gradient.dtype == dtype


def test_horizontal_is_high_pass_along_the_height():
    stripes = np.tile(np.array([1.0, -1.0])[:, None], (4, 8))[None, :, :, None]
    bands = wavelets.dwt2(stripes.astype(np.float32))
    assert np.abs(bands.horizontal).max() > 1
    for name in ("approx", "vertical", "diagonal"):
        assert np.abs(getattr(bands, name)).max() < 1e-6, name


@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
def test_any_leading_axes(lead):
    x = images((*lead, 8, 6, 2))
    bands = wavelets.dwt2(x, "db2")
    assert bands.approx.shape == (*lead, 5, 4, 2)
    restored = wavelets.idwt2(bands, "db2")
    np.testing.assert_allclose(restored, x, rtol=0, atol=1e-6)


def test_level_zero_returns_the_images():
    x = images()
    (approx,) = wavelets.wavedec2(x, level=0)
    np.testing.assert_array_equal(approx, x)
    np.testing.assert_array_equal(wavelets.waverec2([approx]), x)
    assert wavelets.wavedec2(images((1, 3, 3, 1)), "db4")[0].shape == (1, 3, 3, 1)


def test_default_level_is_the_largest_useful_one():
    assert len(wavelets.wavedec2(images((1, 32, 40, 1)), "db2")) == 1 + 3


def test_level_too_deep_warns():
    with pytest.warns(UserWarning, match="level 3 is more than 2"):
        wavelets.wavedec2(images((1, 12, 12, 1)), "db2", level=3)


def test_accepts_the_coefficients_of_pywavelets():
    x = images((1, 17, 12, 1))
    coefficients = pywt.wavedec2(x, "db2", level=2, axes=(-3, -2))
    restored = wavelets.waverec2(coefficients, "db2", shape=(17, 12))
    np.testing.assert_allclose(restored, x, rtol=0, atol=1e-6)


def test_own_filters():
    haar = wavelets.as_wavelet("haar")
    own = wavelets.Wavelet("mine", *(f for f in pywt.Wavelet("haar").filter_bank))
    assert len(own) == 2
    for a, e in zip(
        wavelets.dwt2(images(), own), wavelets.dwt2(images(), haar), strict=True
    ):
        np.testing.assert_allclose(a, e, rtol=0, atol=1e-6)


@hypothesis.settings(max_examples=15, deadline=None, derandomize=True)
@hypothesis.given(
    height=st.integers(2, 7),
    width=st.integers(2, 7),
    wavelet=st.sampled_from(["haar", "db2", "db3", "coif1", "bior1.3"]),
    mode=st.sampled_from(wavelets.MODES),
    seed=st.integers(0, 2**32 - 1),
)
def test_perfect_reconstruction(height, width, wavelet, mode, seed):
    x = images((1, height, width, 1), seed=seed)
    bands = wavelets.dwt2(x, wavelet, mode)
    restored = wavelets.idwt2(bands, wavelet, mode, (height, width))
    np.testing.assert_allclose(restored, x, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "mode", ["symmetric", "reflect", "zero", "constant", "periodic"]
)
def test_backends_agree(mode):
    x = images((2, 17, 12, 3))

    @jax.jit
    def transforms(x):
        results = []
        for backend in wavelets.BACKENDS:
            c = wavelets.wavedec2(x, "db2", mode, 2, backend=backend)
            back = wavelets.waverec2(c, "db2", mode, (17, 12), backend=backend)
            bands = wavelets.dwt2(x, "db2", mode, backend=backend)
            one = wavelets.idwt2(bands, "db2", mode, (17, 12), backend=backend)
            results.append((c, back, bands, one))
        return results

    ours, *others = transforms(x)
    for theirs in others:
        assert jax.tree.structure(ours) == jax.tree.structure(theirs)
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


def test_jaxwt_backend_says_what_it_lacks(monkeypatch):
    with pytest.raises(ValueError, match="'jaxwt' has no mode 'periodization'"):
        wavelets.dwt2(images(), mode="periodization", backend="jaxwt")
    monkeypatch.setitem(sys.modules, "jaxwt", None)
    with pytest.raises(ImportError, match="pip install jaxwt"):
        wavelets.dwt2(images(), backend="jaxwt")


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, bool, np.complex64])
def test_rejects_other_than_floating_point(dtype):
    with pytest.raises(TypeError, match=r"floating-point type, got .*astype"):
        wavelets.dwt2(np.ones((1, 8, 8, 1), dtype))
    with pytest.raises(TypeError, match="floating-point"):
        wavelets.waverec2([np.ones((1, 8, 8, 1), dtype)])


BANDS = [np.ones((1, 4, 4, 1), np.float32)] * 4
WIDER = np.ones((1, 4, 6, 1), np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wavelets.dwt2(np.ones((8, 8))), "batch, height, width, channels"),
        (lambda: wavelets.dwt2(np.ones((1, 0, 8, 1))), "must not be empty"),
        (lambda: wavelets.dwt2(images(), "db44"), "Unknown wavelet 'db44'.*db4"),
        (lambda: wavelets.dwt2(images(), "zzz"), "known: .*haar"),
        (lambda: wavelets.dwt2(images(), mode="wrap"), "mode must be one of"),
        (lambda: wavelets.dwt2(images(), backend="x"), "backend must be one of"),
        (lambda: wavelets.dwt2(images((1, 1, 8, 1)), mode="reflect"), "2 samples"),
        (lambda: wavelets.wavedec2(images(), level=-1), "must not be negative"),
        (lambda: wavelets.idwt2(BANDS[:3]), "got 3 arrays"),
        (lambda: wavelets.idwt2([*BANDS[:3], WIDER]), "equal shapes"),
        (lambda: wavelets.idwt2(BANDS, "db5"), "too small for a wavelet of 10"),
        (lambda: wavelets.idwt2(BANDS, shape=(9, 8)), "shape must be 8 x 8"),
        (lambda: wavelets.idwt2(BANDS, shape=(6, 8)), "shape must be 8 x 8"),
        (lambda: wavelets.waverec2([]), "at least the approximation"),
        (lambda: wavelets.waverec2([BANDS[0], BANDS[:2]]), "got 2 arrays"),
        (lambda: wavelets.waverec2([WIDER, BANDS[:3]]), "equal shapes"),
        (lambda: wavelets.waverec2([BANDS[0], BANDS[:3], BANDS[:3]]), "shape must be"),
        (lambda: wavelets.waverec2(BANDS[:1], shape=(3, 4)), "without details"),
        (lambda: wavelets.dwt_max_level(0, "haar"), "at least 1"),
        (lambda: wavelets.Wavelet("x", (1.0,), (1.0,), (1.0,), (1.0,)), "even length"),
    ],
)
def test_errors_name_the_rule(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_rejects_what_is_no_wavelet():
    with pytest.raises(TypeError, match="a name or a Wavelet"):
        wavelets.dwt2(images(), pywt.Wavelet("haar"))  # pyright: ignore


def test_wavelist_names_are_all_accepted():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in wavelets.wavelist():
            assert wavelets.as_wavelet(name).name == name
