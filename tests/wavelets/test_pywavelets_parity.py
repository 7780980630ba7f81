"""The transforms agree with PyWavelets, number for number.

The grid is all wavelets x all boundary modes x sizes x all useful levels: 8,811 cases,
in single and in double precision. The quick suite draws 150; `-m slow` runs all.
"""

import contextlib
import functools
import warnings
import zlib

import jax
import numpy as np
import pytest
import pywt

from wbad_jax import stages, wavelets
from wbad_jax.wavelets import (
    border_terms,
    boundary,
    filter_bank,
    matmul,
    passes,
    polyphase,
)

WAVELETS = pywt.wavelist(kind="discrete")
SIZES = [(7, 7), (16, 16), (31, 31), (64, 64), (65, 65), (120, 160)]
# Relative to the largest coefficient.
TOLERANCE = {"float32": 1e-5, "float64": 1e-11}


def grid():
    """All cases: wavelet, mode, size, level."""
    for wavelet in WAVELETS:
        for mode in wavelets.MODES:
            for size in SIZES:
                most = pywt.dwt_max_level(min(size), pywt.Wavelet(wavelet))
                for level in range(1, max(most, 1) + 1):
                    yield wavelet, mode, size, level


def draw(count, seed):
    cases = list(grid())
    chosen = np.random.default_rng(seed).choice(len(cases), count, replace=False)
    return [cases[i] for i in sorted(chosen)]


def name_of(case):
    wavelet, mode, (height, width), level = case
    return f"{wavelet}-{mode}-{height}x{width}-{level}"


class NumpyLax:
    """The operations of `jax.lax` that the passes use, on NumPy arrays."""

    @staticmethod
    def slice_in_dim(x, start, stop, stride=1, axis=0):
        index = [slice(None)] * x.ndim
        index[axis] = slice(start, stop, stride)
        return x[tuple(index)]

    @staticmethod
    def dynamic_update_slice_in_dim(x, update, start, axis):
        index = [slice(None)] * x.ndim
        index[axis] = slice(start, start + update.shape[axis])
        x = x.copy()
        x[tuple(index)] = update
        return x


@contextlib.contextmanager
def in_numpy(monkeypatch):
    """Runs the passes on NumPy arrays: compiling thousands of programs takes hours.

    The arithmetic is the one that JAX traces; that JAX compiles it faithfully is tested
    on fewer cases.
    """

    def bind(rule):
        return functools.partial(rule, stages.inline, platform="cpu")

    with monkeypatch.context() as patch:
        for module in (boundary, polyphase):
            patch.setattr(module, "jnp", np)
        for module in (boundary, polyphase, border_terms, filter_bank):
            patch.setattr(module, "lax", NumpyLax)
        patch.setattr(filter_bank._split_p, "bind", bind(filter_bank._split_rule))
        patch.setattr(filter_bank._merge_p, "bind", bind(filter_bank._merge_rule))
        patch.setattr(filter_bank, "same_varying_axes", lambda *x: list(x))
        patch.setattr("wbad_jax.wavelets.two_dimensional.jnp", np)
        yield


def compare(wavelet, mode, size, level, dtype, transform=None):
    """Worst relative errors in one case.

    Returns:
        Error of the coefficients; of the reconstruction against PyWavelets'; of the
        reconstruction against the image, and the same of PyWavelets. All are relative
        to the largest coefficient: extrapolating modes make large ones.
    """
    seed = zlib.crc32(f"{wavelet}{mode}{size}{level}".encode())
    images = np.random.default_rng(seed).uniform(size=(1, *size, 2)).astype(dtype)
    transform = transform or round_trip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # One level may be too deep.
        actual, restored = transform(images, wavelet, mode, level)
        expected = pywt.wavedec2(images, wavelet, mode, level, axes=(-3, -2))
    reference = pywt.waverec2(expected, wavelet, mode, axes=(-3, -2))
    reference = reference[:, : size[0], : size[1]]
    assert restored.shape == images.shape
    pairs = list(zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True))
    scale = max(np.max(np.abs(e)) for _, e in pairs)
    for a, e in pairs:
        assert a.shape == e.shape
        assert a.dtype == dtype
    return (
        max(distance(a, e) for a, e in pairs) / scale,
        distance(restored, reference) / scale,
        distance(restored, images) / scale,
        distance(reference, images) / scale,
    )


def round_trip(images, wavelet, mode, level):
    coefficients = wavelets.wavedec2(images, wavelet, mode, level)
    size = images.shape[1:3]
    return coefficients, wavelets.waverec2(coefficients, wavelet, mode, size)


def distance(a, b):
    return float(np.max(np.abs(np.asarray(a) - b)))


def check(case, dtype, transform=None):
    tolerance = TOLERANCE[dtype]
    if case[1] == "smooth" and dtype == "float32":
        # Lines drawn through two pixels reach far: coefficients of 30,000 times the
        # image. PyWavelets itself is then 2e-5 off its own result in double precision.
        tolerance *= 5
    coefficients, against_pywavelets, restored, theirs = compare(
        *case, dtype, transform
    )
    assert coefficients < tolerance, (case, dtype, coefficients)
    assert against_pywavelets < tolerance, (case, dtype, against_pywavelets)
    # PyWavelets' own taps reconstruct some wavelets to a few digits only.
    assert restored < max(tolerance, 1.5 * theirs), (case, dtype, restored, theirs)


def test_grid_is_whole():
    assert len(list(grid())) == 8811


@pytest.mark.parametrize("case", draw(150, seed=0), ids=name_of)
def test_agrees_with_pywavelets(case, monkeypatch):
    with in_numpy(monkeypatch):
        for dtype in TOLERANCE:
            check(case, dtype)


@pytest.mark.slow
@pytest.mark.parametrize("wavelet", WAVELETS)
def test_agrees_with_pywavelets_on_the_whole_grid(wavelet, monkeypatch):
    with in_numpy(monkeypatch):
        for case in grid():
            if case[0] == wavelet:
                for dtype in TOLERANCE:
                    check(case, dtype)


def compiled(images, wavelet, mode, level, backend="polyphase"):
    def transform(x):
        options = {"wavelet": wavelet, "mode": mode, "backend": backend}
        coefficients = wavelets.wavedec2(x, level=level, **options)
        size = images.shape[1:3]
        return coefficients, wavelets.waverec2(coefficients, shape=size, **options)

    return jax.jit(transform)(images)


@pytest.mark.fast
@pytest.mark.parametrize(
    "case",
    [
        *((wavelet, "symmetric", (65, 65), 2) for wavelet in ("haar", "db4", "dmey")),
        *(("db2", mode, (7, 7), 1) for mode in wavelets.MODES),
        ("haar", "periodization", (31, 31), 3),
        ("bior2.2", "smooth", (120, 160), 2),
        ("db20", "reflect", (7, 7), 1),
    ],
    ids=name_of,
)
def test_compiled_transform_agrees_with_pywavelets(case):
    check(case, "float32", compiled)


@pytest.mark.slow
@pytest.mark.parametrize("case", draw(150, seed=1), ids=name_of)
def test_more_compiled_transforms_agree_with_pywavelets(case):
    check(case, "float32", compiled)


@pytest.mark.parametrize("case", draw(20, seed=2), ids=name_of)
def test_matrix_products_agree_with_pywavelets(case):
    check(case, "float32", functools.partial(compiled, backend="matmul"))


@pytest.mark.parametrize("mode", wavelets.MODES)
@pytest.mark.parametrize("wavelet", WAVELETS)
def test_passes_are_their_matrices(wavelet, mode, monkeypatch):
    """Split and merge, hence the gradients, for all wavelets, modes and runs."""
    rng = np.random.default_rng(zlib.crc32(f"{wavelet} {mode}".encode()))
    bank = wavelets.as_wavelet(wavelet)
    with in_numpy(monkeypatch):
        for length, run in ((2, 3), (7, 1), (16, 9), (33, 3), (64, 1)):
            one = passes.analysis_pass(bank, mode, -2, length)
            matrix = matmul.pass_matrix(one).reshape(-1, length)
            x = rng.normal(size=(2, length, run))
            bands = rng.normal(size=(2, 2, one.size, run))
            stage = stages.inline
            split = np.stack(polyphase.split(stage, x, (one,)), axis=1)
            expected = np.einsum("kn,bnr->bkr", matrix, x)
            merged = polyphase.merge(stage, list(bands), (one,))
            rows = np.concatenate(list(bands), axis=1)
            transposed = np.einsum("kn,bkr->bnr", matrix, rows)
            scale = 1 + np.abs(matrix).sum()
            assert distance(split.reshape(expected.shape), expected) < 1e-13 * scale
            assert distance(merged, transposed) < 1e-13 * scale


@pytest.mark.parametrize("mode", wavelets.MODES)
@pytest.mark.parametrize("length", [1, 2, 3, 8])
def test_extension_agrees_with_pywavelets(length, mode):
    if mode == "periodization" or (mode == "reflect" and length == 1):
        return  # `pywt.pad` lacks the one, and PyWavelets does not allow the other.
    actual = boundary.extension_matrix(length, 13, 11, mode)
    columns = [pywt.pad(column, (13, 11), mode) for column in np.eye(length)]
    if mode == "smooth" and length == 1:
        # `pywt.pad` says otherwise, but the transform goes by the constant.
        columns = [np.ones(25)]
        np.testing.assert_allclose(
            pywt.dwt([3.0], "db2", mode), pywt.dwt([3.0], "db2", "constant")
        )
    np.testing.assert_allclose(actual, np.stack(columns, axis=1))


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
