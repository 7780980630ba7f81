"""The transforms agree with PyWavelets, number for number.

The grid is all orthogonal wavelets x all boundary modes x sizes x levels. The quick
suite draws one size and one level per wavelet and mode; `-m slow` runs the whole grid.
"""

import contextlib
import warnings
import zlib

import jax
import numpy as np
import pytest
import pywt

from wbad_jax import wavelets
from wbad_jax.wavelets import boundary, polyphase

WAVELETS = [
    "haar",
    *(f"db{n}" for n in range(1, 21)),
    *(f"sym{n}" for n in range(2, 21)),
    *(f"coif{n}" for n in range(1, 6)),
]
SIZES = [(7, 12), (16, 31), (33, 20), (64, 65)]
LEVELS = [1, 2, 3, 4]
# Relative to the largest coefficient.
TOLERANCE = {"float32": 1e-5, "float64": 1e-11}


@contextlib.contextmanager
def in_numpy(monkeypatch):
    """Runs the passes on NumPy arrays: compiling thousands of programs takes hours.

    The arithmetic is the one that JAX traces; that JAX compiles it faithfully is tested
    on fewer cases.
    """

    class NumpySlicing:
        @staticmethod
        def slice_in_dim(x, start, stop, stride=1, axis=0):
            index = [slice(None)] * x.ndim
            index[axis] = slice(start, stop, stride)
            return x[tuple(index)]

        @staticmethod
        def pcast(x, *_, **__):
            raise AssertionError("no mesh here")

    def bind(rule):
        return lambda *arrays, **params: rule(lambda x: x, *arrays, **params)

    with monkeypatch.context() as patch:
        for module in (boundary, polyphase):
            patch.setattr(module, "jnp", np)
            patch.setattr(module, "lax", NumpySlicing)
        patch.setattr(polyphase._split_p, "bind", bind(polyphase._split_rule))
        patch.setattr(polyphase._merge_p, "bind", bind(polyphase._merge_rule))
        patch.setattr(polyphase, "same_varying_axes", lambda *x: list(x))
        patch.setattr("wbad_jax.wavelets.dwt.jnp", np)
        yield


def compare(wavelet, mode, size, level, dtype):
    """Worst relative error of coefficients and of reconstruction in one case.

    Coefficients are compared with the largest of their level, and both libraries'
    reconstructions with each other and with the image.
    """
    seed = zlib.crc32(f"{wavelet}{mode}{size}{level}".encode())
    images = np.random.default_rng(seed).uniform(size=(2, *size, 2)).astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Levels too deep, on purpose.
        actual = wavelets.wavedec2(images, wavelet, mode, level)
        expected = pywt.wavedec2(images, wavelet, mode, level, axes=(-3, -2))
    scale = np.max(np.abs(expected[0]))
    errors = []
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert a.shape == e.shape
        assert a.dtype == dtype
        errors.append(np.max(np.abs(np.asarray(a) - e)) / scale)
    full = wavelets.waverec2(expected, wavelet, mode)
    reference = pywt.waverec2(expected, wavelet, mode, axes=(-3, -2))
    assert full.shape == reference.shape
    restored = wavelets.waverec2(actual, wavelet, mode, size)
    assert restored.shape == images.shape
    return (
        float(max(errors)),
        float(np.max(np.abs(np.asarray(full) - reference))),
        float(np.max(np.abs(np.asarray(restored) - images))),
        float(np.max(np.abs(reference[:, : size[0], : size[1]] - images))),
    )


def check(wavelet, mode, size, level, dtype):
    if mode == "reflect" and smallest_input(wavelet, size, level) < 2:
        return  # PyWavelets does not reflect a single sample.
    coefficients, against_pywavelets, restored, theirs = compare(
        wavelet, mode, size, level, dtype
    )
    assert coefficients < TOLERANCE[dtype]
    assert against_pywavelets < TOLERANCE[dtype]
    # PyWavelets' own taps reconstruct some wavelets to ten digits only.
    assert restored < max(TOLERANCE[dtype], 1.5 * theirs)


def smallest_input(wavelet, size, level):
    """Samples along the shorter axis that the last level transforms."""
    length = min(size)
    for _ in range(level - 1):
        length = pywt.dwt_coeff_len(length, pywt.Wavelet(wavelet).dec_len, "reflect")
    return length


@pytest.mark.parametrize("mode", wavelets.MODES)
@pytest.mark.parametrize("wavelet", WAVELETS)
def test_agrees_with_pywavelets(wavelet, mode, monkeypatch):
    rng = np.random.default_rng(zlib.crc32(f"{wavelet} {mode}".encode()))
    size, level = SIZES[rng.integers(4)], LEVELS[rng.integers(4)]
    with in_numpy(monkeypatch):
        for dtype in TOLERANCE:
            check(wavelet, mode, size, level, dtype)


@pytest.mark.slow
@pytest.mark.parametrize("mode", wavelets.MODES)
@pytest.mark.parametrize("wavelet", WAVELETS)
def test_agrees_with_pywavelets_on_the_whole_grid(wavelet, mode, monkeypatch):
    with in_numpy(monkeypatch):
        for size in SIZES:
            for level in LEVELS:
                for dtype in TOLERANCE:
                    check(wavelet, mode, size, level, dtype)


@pytest.mark.parametrize(
    "wavelet", sorted(set(pywt.wavelist(kind="discrete")) - set(WAVELETS))
)
def test_other_wavelets_agree_with_pywavelets(wavelet, monkeypatch):
    """Biorthogonal filters have zero taps and no common centre."""
    with in_numpy(monkeypatch):
        for mode in wavelets.MODES:
            check(wavelet, mode, (33, 20), 1, "float64")


@pytest.mark.fast
@pytest.mark.parametrize(
    ("wavelet", "mode", "size", "level"),
    [
        ("haar", "symmetric", (64, 65), 3),
        ("db2", "periodization", (33, 20), 2),
        ("db3", "constant", (7, 12), 1),
        ("db4", "reflect", (33, 20), 1),
        ("sym4", "symmetric", (16, 31), 2),
        ("coif1", "periodic", (7, 12), 2),
        ("db20", "symmetric", (7, 12), 1),
        ("bior2.2", "zero", (7, 12), 2),
    ],
)
def test_compiled_transform_agrees_with_pywavelets(wavelet, mode, size, level):
    images = np.random.default_rng(0).uniform(size=(2, *size, 3)).astype(np.float32)

    @jax.jit
    def roundtrip(x):
        coefficients = wavelets.wavedec2(x, wavelet, mode, level)
        return coefficients, wavelets.waverec2(coefficients, wavelet, mode, size)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        actual, restored = roundtrip(images)
        expected = pywt.wavedec2(images, wavelet, mode, level, axes=(-3, -2))
    scale = np.max(np.abs(expected[0]))
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, e, rtol=0, atol=1e-6 * scale)
    np.testing.assert_allclose(restored, images, rtol=0, atol=1e-5)


@pytest.mark.parametrize("mode", wavelets.MODES)
def test_double_precision_is_kept_under_jit(mode, enable_x64):
    images = np.random.default_rng(0).uniform(size=(1, 9, 14, 1))
    actual = jax.jit(lambda x: wavelets.dwt2(x, "db3", mode))(images)
    approx, details = pywt.dwt2(images, "db3", mode, axes=(-3, -2))
    for name, a, e in zip(actual._fields, actual, (approx, *details), strict=True):
        assert a.dtype == np.float64
        np.testing.assert_allclose(a, e, rtol=0, atol=1e-13, err_msg=name)


@pytest.mark.parametrize("wavelet", ["haar", "db4", "sym20", "dmey"])
@pytest.mark.parametrize("size", [1, 2, 7, 64, 1000])
def test_dwt_max_level_agrees_with_pywavelets(wavelet, size):
    expected = pywt.dwt_max_level(size, pywt.Wavelet(wavelet))
    assert wavelets.dwt_max_level(size, wavelet) == expected
    assert wavelets.dwt_max_level((size, 2000), wavelet) == expected
