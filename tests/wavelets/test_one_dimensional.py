"""Transforms along one axis: against PyWavelets, and what is refused."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pywt

from tests.wavelets.test_pywavelets_parity import TOLERANCE, in_numpy
from wbad_jax import wavelets

WAVELETS = ["haar", "db4", "sym5", "coif1", "bior2.2", "rbio3.1", "db20", "dmey"]
pytestmark = pytest.mark.filterwarnings("ignore:.*evel.* is .*:UserWarning")


def signals(length, axis, dtype, lead=3):
    x = np.random.default_rng(length).normal(size=(lead, length)).astype(dtype)
    return np.moveaxis(np.stack([x, 2 * x]), -1, axis)


@pytest.mark.parametrize("mode", wavelets.MODES)
@pytest.mark.parametrize("wavelet", WAVELETS)
def test_agrees_with_pywavelets(wavelet, mode, monkeypatch):
    monkeypatch.setattr("wbad_jax.wavelets.one_dimensional.jnp", np)
    with in_numpy(monkeypatch):
        for length, level, axis in ((9, 1, -1), (64, 3, 0), (31, 2, 1)):
            for dtype, tolerance in TOLERANCE.items():
                x = signals(length, axis, dtype)
                ours = wavelets.wavedec(x, wavelet, mode, level, axis)
                theirs = pywt.wavedec(x, wavelet, mode, level, axis)
                scale = max(np.max(np.abs(band)) for band in theirs)
                if mode == "smooth" and dtype == "float32":
                    tolerance *= 5  # See test_pywavelets_parity.
                for a, b in zip(ours, theirs, strict=True):
                    assert a.shape == b.shape
                    assert a.dtype == dtype
                    np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * scale)
                back = wavelets.waverec(ours, wavelet, mode, axis, length)
                expected = pywt.waverec(theirs, wavelet, mode, axis)
                expected = np.moveaxis(np.moveaxis(expected, axis, 0)[:length], 0, axis)
                np.testing.assert_allclose(
                    back, expected, rtol=0, atol=tolerance * scale
                )


@pytest.mark.parametrize("mode", wavelets.MODES)
@pytest.mark.parametrize("length", [1, 2, 3, 5, 13])
def test_short_signals_and_single_vectors(length, mode, enable_x64):
    """Compiled, along the only axis and along the middle one of three."""
    if mode in ("reflect", "antireflect") and length == 1:
        return  # PyWavelets refuses both.
    rng = np.random.default_rng(length)
    for shape, axis in (((length,), 0), ((2, length, 3), -2), ((length, 1), 0)):
        x = rng.normal(size=shape)
        theirs = pywt.dwt(x, "db4", mode, axis)
        ours = wavelets.dwt(x, "db4", mode, axis)
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-11)
        # Bands of no signal, as after shrinkage.
        signs = [np.sign(band) for band in theirs]
        back = wavelets.idwt(*signs, "db4", mode, axis)
        expected = pywt.idwt(*signs, "db4", mode, axis)
        np.testing.assert_allclose(back, expected, rtol=0, atol=1e-11)


@pytest.mark.fast
@pytest.mark.parametrize("backend", ["polyphase", "matmul"])
def test_compiled_round_trip_and_numpy_input(backend):
    x = signals(33, 1, "float32")
    bands = wavelets.dwt(x, "db3", "reflect", axis=1, backend=backend)
    for ours, theirs in zip(bands, pywt.dwt(x, "db3", "reflect", axis=1), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    back = wavelets.idwt(*bands, "db3", "reflect", 1, 33, backend=backend)
    np.testing.assert_allclose(back, x, rtol=0, atol=1e-5)
    longer = wavelets.idwt(*bands, "db3", "reflect", 1, backend=backend)
    assert longer.shape == (2, 34, 3)


def test_none_stands_for_zeros():
    approx, detail = pywt.dwt(signals(16, -1, "float32"), "db2")
    for pair in ((approx, None), (None, detail)):
        expected = pywt.idwt(*pair, "db2")
        np.testing.assert_allclose(wavelets.idwt(*pair, "db2"), expected, atol=1e-6)
    zeros = np.zeros_like(detail)
    with_none = wavelets.waverec([approx, None], "db2")
    np.testing.assert_array_equal(with_none, wavelets.waverec([approx, zeros], "db2"))


@pytest.mark.parametrize("mode", wavelets.MODES)
def test_gradient_is_the_transpose(mode, enable_x64):
    rng = np.random.default_rng(0)
    x, tangent = rng.normal(size=(2, 11))

    def function(x):
        return jnp.concatenate(wavelets.wavedec(x, "db2", mode, 2))

    out, transpose = jax.vjp(jax.jit(function), x)
    cotangent = rng.normal(size=out.shape)
    assert np.vdot(out, cotangent) == pytest.approx(
        np.vdot(x, transpose(cotangent)[0]), abs=1e-11
    )
    _, forward = jax.jvp(function, (x,), (tangent,))
    np.testing.assert_allclose(forward, function(tangent), atol=1e-12)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("mode", ["symmetric", "periodization"])
def test_gradient_of_the_inverse_is_its_transpose(mode, axis, enable_x64):
    rng = np.random.default_rng(0)
    coefficients = wavelets.wavedec(rng.normal(size=(11, 9)), "db2", mode, 2, axis)
    point = [rng.normal(size=band.shape) for band in coefficients]

    @jax.jit
    def function(coefficients):
        return wavelets.waverec(coefficients, "db2", mode, axis, (11, 9)[axis])

    out, transpose = jax.vjp(function, point)
    cotangent = rng.normal(size=out.shape)
    pairs = zip(point, transpose(cotangent)[0], strict=True)
    other = sum(np.vdot(band, slope) for band, slope in pairs)
    assert np.vdot(out, cotangent) == pytest.approx(other, abs=1e-11)


def test_compiles_once_and_differentiates_in_a_loop():
    traces = []

    @jax.jit
    def descend(x):
        traces.append(None)

        def step(x, _):
            gradient = jax.grad(lambda x: jnp.sum(wavelets.dwt(x, "db2").detail ** 2))
            return x - 0.1 * gradient(x), None

        return jax.lax.scan(step, x, length=3)[0]

    x = jnp.asarray(signals(16, -1, "float32"))
    matrix = jax.jacobian(lambda x: wavelets.dwt(x, "db2").detail)(x[0, 0])
    step = np.eye(16) - 0.2 * np.asarray(matrix).T @ np.asarray(matrix)
    expected = np.asarray(x) @ np.linalg.matrix_power(step, 3)
    np.testing.assert_allclose(descend(x), expected, rtol=0, atol=1e-5)
    descend(2 * x)
    assert len(traces) == 1


def test_hessian_vector_product_and_vmap():
    x = jnp.asarray(signals(16, -1, "float32")[0])

    def energy(x):
        return sum(jnp.sum(band**2) for band in wavelets.dwt(x, "db2"))

    product = jax.jvp(jax.grad(energy), (x[0],), (x[1],))[1]
    np.testing.assert_allclose(product, jax.grad(energy)(x[1]), rtol=1e-5, atol=1e-5)
    together = wavelets.dwt(x, "db2")
    apart = jax.vmap(lambda row: wavelets.dwt(row, "db2"))(x)
    for a, b in zip(apart, together, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_half_precision_is_kept():
    x = jnp.asarray(signals(16, -1, "float32"), jnp.bfloat16)
    bands = wavelets.dwt(x, "db4")
    assert bands.approx.dtype == jnp.bfloat16
    assert wavelets.idwt(*bands, "db4").dtype == jnp.bfloat16


def test_one_dtype_for_both_bands():
    single = signals(16, -1, "float32")
    half = jnp.asarray(single, jnp.bfloat16)
    for pair in ((single, half), (half, single)):
        assert wavelets.idwt(*pair, "db2").dtype == jnp.float32
        slopes = jax.grad(lambda *p: wavelets.idwt(*p).sum(), argnums=(0, 1))(*pair)
        assert [slope.dtype for slope in slopes] == [band.dtype for band in pair]


def test_too_deep_levels_warn():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        wavelets.wavedec(np.ones(16), "db2", level=3)
    (warning,) = caught
    assert "level 3 is more than 2, the most for a size of 16" in str(warning.message)
    assert warning.filename == __file__
    assert len(wavelets.wavedec(np.ones(16), "db2")) == 3


ONES = np.ones(8, np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wavelets.dwt(ONES, axis=1), "axis must be one of"),
        (lambda: wavelets.dwt(np.ones((0,))), "must not be empty"),
        (lambda: wavelets.dwt(ONES, "db44"), "Unknown wavelet 'db44'"),
        (lambda: wavelets.dwt(ONES, mode="wrap"), "mode must be one of"),
        (lambda: wavelets.dwt(ONES, backend="jaxwt"), "for images only"),
        (lambda: wavelets.wavedec(ONES, level=-1), "must not be negative"),
        (lambda: wavelets.idwt(None, None), "At least one"),
        (lambda: wavelets.idwt(ONES, ONES[:4]), "equal shapes"),
        (lambda: wavelets.idwt(ONES, ONES, length=9), "length must be 16 or 15"),
        (lambda: wavelets.idwt(ONES[:1], None, "db4"), "too small for a wavelet of 8"),
        (lambda: wavelets.waverec([]), "at least the approximation"),
        (lambda: wavelets.waverec([ONES], length=9), "length must be 8"),
        (lambda: wavelets.waverec([ONES], "db44"), "Unknown wavelet 'db44'"),
        (lambda: wavelets.waverec([ONES], mode="wrap"), "mode must be one of"),
        (lambda: wavelets.waverec([ONES], backend="jaxwt"), "for images only"),
        (lambda: wavelets.waverec([ONES[:5], ONES]), "equal shapes"),
        (lambda: wavelets.waverec([np.ones((8, 8)), ONES], axis=0), "equal shapes"),
    ],
)
def test_errors_name_the_rule(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_integers_are_refused():
    with pytest.raises(TypeError, match="floating-point type, got int"):
        wavelets.dwt(np.arange(8))
