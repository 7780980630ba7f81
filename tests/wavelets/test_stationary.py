"""Stationary transforms: against PyWavelets, their derivatives, what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pywt

from wbad_jax import wavelets

WAVELETS = ["haar", "db2", "db4", "sym5", "bior2.2", "rbio3.1", "db20", "dmey"]
# `norm` with a wavelet that is not orthogonal.
pytestmark = pytest.mark.filterwarnings("ignore:norm=True, but:UserWarning")


def images(size=(8, 16), dtype="float64", channels=2):
    shape = (2, *size, channels)
    return np.random.default_rng(0).normal(size=shape).astype(dtype)


def assert_close(ours, theirs, tolerance):
    scale = max(np.max(np.abs(band)) for band in jax.tree.leaves(theirs))
    pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
    for a, b in pairs:
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("wavelet", WAVELETS)
def test_agrees_with_pywavelets(wavelet, norm, enable_x64):
    x = images()
    for level, trim in ((1, False), (3, True)):
        options = {"norm": norm, "trim_approx": trim}
        theirs = pywt.swt2(x, wavelet, level, axes=(-3, -2), **options)
        ours = wavelets.swt2(x, wavelet, level, **options)
        assert_close(ours, theirs, 1e-11)
        # Coefficients of no image, as after shrinkage.
        changed = jax.tree.map(np.sign, theirs)
        back = pywt.iswt2(changed, wavelet, norm=norm, axes=(-3, -2))
        assert_close(wavelets.iswt2(changed, wavelet, norm=norm), back, 1e-11)


@pytest.mark.fast
def test_single_precision_under_jit():
    x = images((16, 24), "float32", channels=1)

    @jax.jit
    def round_trip(x):
        coefficients = wavelets.swt2(x, "db3", 2)
        return coefficients, wavelets.iswt2(coefficients, "db3")

    coefficients, back = round_trip(x)
    assert_close(coefficients, pywt.swt2(x, "db3", 2, axes=(-3, -2)), 1e-6)
    np.testing.assert_allclose(back, x, atol=1e-5)
    assert isinstance(coefficients[0][1], wavelets.Details)


@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("wavelet", ["haar", "db4", "rbio3.1"])
def test_one_axis_agrees_with_pywavelets(wavelet, axis, enable_x64):
    x = np.random.default_rng(0).normal(size=(24, 16))
    for level, start_level, trim, norm in ((2, 0, True, False), (2, 1, False, True)):
        options = {"trim_approx": trim, "norm": norm, "axis": axis}
        theirs = pywt.swt(x, wavelet, level, start_level, **options)
        ours = wavelets.swt(x, wavelet, level, start_level, **options)
        assert_close(ours, theirs, 1e-11)
        inverse = {"norm": norm, "axis": axis, "start_level": start_level}
        back = wavelets.iswt(ours, wavelet, **inverse)
        np.testing.assert_allclose(back, x, atol=1e-10)
    coefficients = pywt.swt(x, wavelet, 2, axis=axis)
    expected = pywt.iswt(coefficients, wavelet, axis=axis)
    assert_close(wavelets.iswt(coefficients, wavelet, axis), expected, 1e-11)


def test_start_level_in_two_dimensions(enable_x64):
    x = images((16, 16))
    theirs = pywt.swt2(x, "db2", 2, 1, axes=(-3, -2))
    ours = wavelets.swt2(x, "db2", 2, 1)
    assert_close(ours, theirs, 1e-11)
    back = wavelets.iswt2(ours, "db2", start_level=1)
    np.testing.assert_allclose(back, x, atol=1e-11)


@pytest.mark.parametrize("size", [2, 6, 48, 64])
def test_max_level_agrees_with_pywavelets(size):
    expected = pywt.swt_max_level(size)
    assert wavelets.swt_max_level(size) == expected
    assert len(wavelets.swt(np.ones(size), "haar")) == expected


@pytest.mark.parametrize("wavelet", ["haar", "db4", "bior2.2"])
def test_gradients_are_transposes(wavelet, enable_x64):
    rng = np.random.default_rng(1)

    def forward(x):
        return wavelets.swt2(x, wavelet, 2, trim_approx=True)

    def backward(coefficients):
        return wavelets.iswt2(coefficients, wavelet)

    for function, point in ((forward, images()), (backward, forward(images()))):
        point = jax.tree.map(lambda a: rng.normal(size=a.shape), point)
        outputs, transpose = jax.vjp(jax.jit(function), point)
        cotangents = jax.tree.map(lambda a: rng.normal(size=a.shape), outputs)
        one, other = dot(outputs, cotangents), dot(point, transpose(cotangents)[0])
        assert one == pytest.approx(other, abs=1e-10)


def dot(a, b):
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return sum(float(np.vdot(u, v)) for u, v in pairs)


def test_forward_mode_second_order_and_vmap():
    x, tangent = images((2, 8, 8), "float32", channels=1)

    def energy(x):
        return sum(jnp.sum(b**2) for b in jax.tree.leaves(wavelets.swt2(x, "db2", 1)))

    product = jax.jvp(jax.grad(energy), (x,), (tangent,))[1]
    np.testing.assert_allclose(product, jax.grad(energy)(tangent), rtol=1e-4, atol=1e-4)
    together = wavelets.swt2(x, "db2", 1)
    apart = jax.vmap(lambda x: wavelets.swt2(x, "db2", 1))(x)
    assert_close(apart, together, 1e-6)


def test_gradient_in_a_loop_and_compiles_once():
    traces = []

    @jax.jit
    def descend(x):
        traces.append(None)

        def step(x, _):
            gradient = jax.grad(
                lambda x: jnp.sum(wavelets.swt2(x, "db2", 1)[0][0] ** 2)
            )
            return x - 0.01 * gradient(x), None

        return jax.lax.scan(step, x, length=3)[0]

    x = jnp.asarray(images((8, 8), "float32"))
    first = descend(x)
    assert bool(jnp.all(jnp.isfinite(descend(first))))
    assert len(traces) == 1


def test_half_precision_is_kept():
    x = jnp.asarray(images(dtype="float32"), jnp.bfloat16)
    coefficients = wavelets.swt2(x, "db2", 2)
    assert {band.dtype for band in jax.tree.leaves(coefficients)} == {x.dtype}
    back = wavelets.iswt2(coefficients, "db2")
    assert back.dtype == x.dtype
    assert float(jnp.max(jnp.abs(back - x).astype("float32"))) < 0.05


def test_works_under_shard_map():
    auto = (jax.sharding.AxisType.Auto,)
    mesh = jax.make_mesh((1,), ("data",), axis_types=auto)
    spec = jax.sharding.PartitionSpec("data")

    def loss(x):
        approx, details = wavelets.swt2(x, "db2", 1)[0]
        flat = wavelets.iswt2([(jnp.zeros(approx.shape), details)], "db2")
        return jnp.sum(flat**2, keepdims=True)

    mapped = jax.shard_map(loss, mesh=mesh, in_specs=spec, out_specs=spec)
    x = jnp.asarray(images(dtype="float32"))
    actual = jax.jit(jax.grad(lambda x: jnp.sum(mapped(x))))(x)
    expected = jax.jit(jax.grad(lambda x: jnp.sum(loss(x))))(x)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


ONES = np.ones((1, 8, 8, 1), np.float32)
SMALL = ONES[:, :4, :4]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wavelets.swt2(np.ones((1, 7, 8, 1)), "haar", 1), r"pad to \[8, 8\]"),
        (lambda: wavelets.swt2(ONES, "haar", 4), "multiples of 16"),
        (lambda: wavelets.swt2(ONES, "haar", 2, 2), "multiples of 16"),
        (lambda: wavelets.swt2(np.ones((1, 7, 7, 1))), "level must be at least 1"),
        (lambda: wavelets.swt2(ONES, "haar", 0), "level must be at least 1"),
        (lambda: wavelets.swt2(ONES, "haar", 1, -1), "start_level must not be"),
        (lambda: wavelets.swt2(ONES, "db44", 1), "Unknown wavelet"),
        (lambda: wavelets.swt(np.ones(8), axis=1), "axis must be an axis"),
        (lambda: wavelets.iswt2([]), "at least one level"),
        (lambda: wavelets.iswt2([ONES, (SMALL,) * 3]), "shape of the approximation"),
        (lambda: wavelets.iswt2([ONES, (ONES,) * 2]), "got 2 arrays"),
        (lambda: wavelets.swt_max_level(0), "at least 1"),
    ],
)
def test_errors_name_the_rule(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_integers_are_refused():
    with pytest.raises(TypeError, match="floating-point type, got int"):
        wavelets.swt2(np.ones((1, 8, 8, 1), int), "haar", 1)
