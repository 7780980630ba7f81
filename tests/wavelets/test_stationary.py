"""Stationary transforms: against PyWavelets, their derivatives, what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pywt

from wbad_jax import wavelets

WAVELETS = [
    "haar",
    "db2",
    "db4",
    "sym5",
    "coif1",
    "bior2.2",
    "rbio3.1",
    "db20",
    "dmey",
]
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
    for level, trim in ((1, False), (2, False), (3, True)):
        options = {"norm": norm, "trim_approx": trim}
        theirs = pywt.swt2(x, wavelet, level, axes=(-3, -2), **options)
        ours = wavelets.swt2(x, wavelet, level, **options)
        assert_close(ours, theirs, 1e-11)
        # Coefficients of no image, as after shrinkage.
        changed = jax.tree.map(np.sign, theirs)
        back = pywt.iswt2(changed, wavelet, norm=norm, axes=(-3, -2))
        assert_close(wavelets.iswt2(changed, wavelet, norm=norm), back, 1e-11)


@pytest.mark.parametrize("wavelet", WAVELETS)
def test_agrees_with_pywavelets_in_single_precision(wavelet):
    x = images((8, 24), "float32", channels=1)
    theirs = pywt.swt2(x, wavelet, 2, axes=(-3, -2))
    assert_close(wavelets.swt2(x, wavelet, 2), theirs, 1e-5)
    back = pywt.iswt2(theirs, wavelet, axes=(-3, -2))
    assert_close(wavelets.iswt2(theirs, wavelet), back, 1e-5)


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
    for trim, norm in ((False, False), (True, False), (False, True)):
        options = {"axis": axis, "norm": norm}
        coefficients = pywt.swt(x, wavelet, 2, trim_approx=trim, **options)
        # Coefficients of no signal, as after shrinkage.
        changed = jax.tree.map(np.sign, coefficients)
        expected = pywt.iswt(changed, wavelet, **options)
        assert_close(wavelets.iswt(changed, wavelet, **options), expected, 1e-11)


@pytest.mark.parametrize("wavelet", WAVELETS)
def test_single_vectors_agree_with_pywavelets(wavelet, enable_x64):
    """Filters may be several times longer than the signal."""
    x = np.random.default_rng(0).normal(size=8)
    theirs = pywt.swt(x, wavelet, 3)
    assert_close(wavelets.swt(x, wavelet), theirs, 1e-11)
    expected = pywt.iswt(theirs, wavelet)
    assert_close(wavelets.iswt(theirs, wavelet), expected, 1e-11)


def test_energy_is_kept_with_norm(enable_x64):
    x = images()
    coefficients = wavelets.swt2(x, "db3", 3, norm=True, trim_approx=True)
    assert dot(coefficients, coefficients) == pytest.approx(np.vdot(x, x))


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


@pytest.mark.parametrize("axis", [0, 1])
def test_gradients_along_one_axis_are_transposes(axis, enable_x64):
    rng = np.random.default_rng(1)

    def forward(x):
        return wavelets.swt(x, "bior2.2", 2, axis=axis)

    def backward(coefficients):
        return wavelets.iswt(coefficients, "bior2.2", axis)

    for function, point in (
        (forward, rng.normal(size=(8, 4))),
        (backward, forward(np.ones((8, 4)))),
    ):
        point = jax.tree.map(lambda a: rng.normal(size=a.shape), point)
        outputs, transpose = jax.vjp(jax.jit(function), point)
        cotangents = jax.tree.map(lambda a: rng.normal(size=a.shape), outputs)
        one, other = dot(outputs, cotangents), dot(point, transpose(cotangents)[0])
        assert one == pytest.approx(other, abs=1e-10)
        _, tangents = jax.jvp(function, (point,), (point,))
        assert_close(tangents, function(point), 1e-12)


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

    def loss(x):
        details = wavelets.swt2(x, "db2", 1)[0][1]
        return sum(jnp.sum(band**2) for band in details)

    @jax.jit
    def descend(x):
        traces.append(None)

        def step(x, _):
            return x - 0.1 * jax.grad(loss)(x), None

        return jax.lax.scan(step, x, length=3)[0]

    x = expected = jnp.asarray(images((8, 8), "float32"))
    for _ in range(3):
        expected = expected - 0.1 * jax.grad(loss)(expected)
    np.testing.assert_allclose(descend(x), expected, rtol=0, atol=1e-5)
    assert loss(expected) < 0.5 * loss(x)
    descend(2 * x)
    assert len(traces) == 1
    # Reverse mode through the loop: the steps are linear and symmetric.
    (slope,) = jax.vjp(descend, x)[1](x)
    np.testing.assert_allclose(slope, expected, rtol=0, atol=1e-5)


def test_half_precision_is_kept():
    x = jnp.asarray(images(dtype="float32"), jnp.bfloat16)
    coefficients = wavelets.swt2(x, "db2", 2)
    assert {band.dtype for band in jax.tree.leaves(coefficients)} == {x.dtype}
    back = wavelets.iswt2(coefficients, "db2")
    assert back.dtype == x.dtype
    assert float(jnp.max(jnp.abs(back - x).astype("float32"))) < 0.05


def test_half_precision_is_summed_in_single():
    x = jnp.asarray(images(dtype="float32"), jnp.bfloat16)
    # Many taps: sums in half precision would lose more than the last rounding.
    ours = wavelets.swt2(x, "db20", 1)
    exact = wavelets.swt2(x.astype("float32"), "db20", 1)
    pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(exact), strict=True)
    for band, expected in pairs:
        np.testing.assert_array_equal(band, expected.astype(jnp.bfloat16))


def test_mixed_dtypes_are_promoted():
    half, single = jnp.ones((1, 8, 8, 1), jnp.bfloat16), jnp.ones((1, 8, 8, 1))
    for approx, band in ((half, single), (single, half)):
        coefficients = [approx, (band,) * 3]
        assert wavelets.iswt2(coefficients, "db2").dtype == jnp.float32
        slopes = jax.grad(lambda c: jnp.sum(wavelets.iswt2(c, "db2")))(coefficients)
        pairs = zip(jax.tree.leaves(slopes), jax.tree.leaves(coefficients), strict=True)
        assert all(slope.dtype == given.dtype for slope, given in pairs)
        one = wavelets.iswt([approx[0, ..., 0], band[0, ..., 0]], "db2")
        assert one.dtype == jnp.float32


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
        (lambda: wavelets.swt(np.ones(8), axis=1), "axis must be one of"),
        (lambda: wavelets.swt(np.ones((3, 0)), "haar", 1), "must not be empty"),
        (lambda: wavelets.iswt2([]), "at least one level"),
        (lambda: wavelets.iswt2([ONES, (SMALL,) * 3]), "shape of the approximation"),
        (lambda: wavelets.iswt2([ONES, (ONES,) * 2]), "got 2 arrays"),
        (lambda: wavelets.iswt([np.ones(8), np.ones(4)]), "shape of the approximation"),
        (lambda: wavelets.iswt([(np.ones(6), np.ones(6))] * 2), r"pad to \[8\]"),
        (lambda: wavelets.iswt([np.ones(8)] * 2, "haar", 1), "axis must be one of"),
        (lambda: wavelets.swt_max_level(0), "at least 1"),
    ],
)
def test_errors_name_the_rule(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_integers_are_refused():
    with pytest.raises(TypeError, match="floating-point type, got int"):
        wavelets.swt2(np.ones((1, 8, 8, 1), int), "haar", 1)
    with pytest.raises(TypeError, match="detail must be .* floating-point type"):
        wavelets.iswt([np.ones(8), np.ones(8, int)])
