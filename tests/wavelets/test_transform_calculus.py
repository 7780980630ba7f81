"""Derivatives, batching and compilation of the transforms."""

import functools
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wbad_jax import wavelets
from wbad_jax.wavelets import passes

SIZE = (9, 12)
LEVEL = 2
# Sums of some thousand float64 products.
ATOL = 1e-11
CASES = [
    pytest.param(wavelet, mode, id=f"{wavelet}-{mode}")
    for mode in wavelets.MODES
    for wavelet in ("haar", "db2", "sym4")
]
pytestmark = pytest.mark.filterwarnings("ignore:level .* is more than:UserWarning")


def analysis(x, wavelet="db2", mode="symmetric"):
    return wavelets.wavedec2(x, wavelet, mode, LEVEL)


def synthesis(c, wavelet="db2", mode="symmetric"):
    return wavelets.waverec2(c, wavelet, mode, SIZE)


def random_like(tree, seed):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape)), tree)


def dot(a, b):
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return sum(float(jnp.sum(u * v)) for u, v in pairs)


def images(seed=0, lead=(2,)):
    shape = jax.ShapeDtypeStruct((*lead, *SIZE, 2), jnp.float32)
    return random_like(shape, seed)


@pytest.mark.parametrize(("wavelet", "mode"), CASES)
def test_gradient_is_the_transpose(wavelet, mode, enable_x64):
    x = images()
    coefficients = analysis(x, wavelet, mode)
    for function, point in (
        (functools.partial(analysis, wavelet=wavelet, mode=mode), x),
        (functools.partial(synthesis, wavelet=wavelet, mode=mode), coefficients),
    ):
        point = random_like(point, 1)

        @jax.jit
        def forward_and_transpose(p, q, function=function):
            outputs, transpose = jax.vjp(function, p)
            return outputs, transpose(q)[0]

        cotangents = random_like(jax.eval_shape(function, point), 2)
        outputs, transposed = forward_and_transpose(point, cotangents)
        expected = dot(point, transposed)
        assert dot(outputs, cotangents) == pytest.approx(expected, abs=ATOL)


@pytest.mark.parametrize(("wavelet", "mode"), [("haar", "zero"), ("db3", "reflect")])
def test_transform_is_its_own_tangent(wavelet, mode, enable_x64):
    x, tangent = images(0), images(1)
    function = jax.jit(functools.partial(analysis, wavelet=wavelet, mode=mode))
    _, out = jax.jvp(function, (x,), (tangent,))
    for a, e in zip(
        jax.tree.leaves(out), jax.tree.leaves(function(tangent)), strict=True
    ):
        np.testing.assert_allclose(a, e, rtol=0, atol=ATOL)


def test_hessian_vector_products_of_a_quadratic(enable_x64):
    x, v = images(0), images(1)

    def energy(x):
        return 0.5 * sum(jnp.sum(c**2) for c in jax.tree.leaves(analysis(x)))

    gradient = jax.grad(energy)
    expected = jax.jit(gradient)(v)  # The gradient is linear.
    forward = jax.jit(lambda x, v: jax.jvp(gradient, (x,), (v,))[1])(x, v)
    reverse = jax.jit(lambda x, v: jax.grad(lambda y: jnp.vdot(gradient(y), v))(x))
    np.testing.assert_allclose(forward, expected, atol=ATOL)
    np.testing.assert_allclose(reverse(x, v), expected, atol=ATOL)


def test_gradient_of_one_subband_alone(enable_x64):
    """The cotangents of the other subbands are symbolic zeros."""
    x = images()
    gradient = jax.grad(lambda x: jnp.sum(wavelets.dwt2(x, "db2").diagonal ** 2))(x)
    subbands, transpose = jax.vjp(lambda x: wavelets.dwt2(x, "db2"), x)
    zeros = jax.tree.map(jnp.zeros_like, subbands)
    (expected,) = transpose(zeros._replace(diagonal=2 * subbands.diagonal))
    np.testing.assert_allclose(gradient, expected, atol=ATOL)


def test_vmap_equals_a_batch():
    x = images(lead=(3, 2))
    batched = jax.jit(analysis)(x)
    for in_axis in (0, 2, -1):
        mapped = jax.jit(jax.vmap(analysis, in_axes=in_axis))(
            jnp.moveaxis(x, 0, in_axis)
        )
        for a, e in zip(jax.tree.leaves(mapped), jax.tree.leaves(batched), strict=True):
            np.testing.assert_allclose(a, e, rtol=0, atol=1e-6)


def test_vmap_over_some_subbands_only():
    subbands = wavelets.dwt2(images(), "db2")
    stacked = jnp.stack([subbands.diagonal, 2 * subbands.diagonal])
    actual = jax.vmap(lambda d: wavelets.idwt2(subbands._replace(diagonal=d), "db2"))(
        stacked
    )
    for i, diagonal in enumerate(stacked):
        expected = wavelets.idwt2(subbands._replace(diagonal=diagonal), "db2")
        np.testing.assert_allclose(actual[i], expected, rtol=0, atol=1e-6)


def test_vmapped_gradient_equals_the_gradient():
    x = images(lead=(3,))

    def loss(x):
        approx, *details = analysis(x)
        return jnp.sum(synthesis([approx, *jax.tree.map(jnp.tanh, details)]) ** 2)

    together = jax.jit(jax.grad(loss))(x)
    apart = jax.jit(jax.vmap(jax.grad(loss)))(x)
    np.testing.assert_allclose(apart, together, rtol=1e-5, atol=1e-5)


@pytest.mark.fast
def test_gradient_in_a_loop_equals_unrolled_steps():
    x = images()

    def loss(x):
        approx, *details = analysis(x)
        return jnp.sum(jnp.sin(synthesis([approx, *details])))

    step = jax.jit(lambda x: x + 0.1 * jnp.sign(jax.grad(loss)(x)))
    looped = jax.jit(lambda x: jax.lax.fori_loop(0, 3, lambda _, y: step(y), x))(x)
    scanned = jax.jit(
        lambda x: jax.lax.scan(lambda y, _: (step(y), None), x, length=3)[0]
    )(x)
    expected = step(step(step(x)))
    np.testing.assert_allclose(looped, expected, atol=1e-5)
    np.testing.assert_allclose(scanned, expected, atol=1e-5)


def test_gradient_through_checkpoint():
    x = images()

    def loss(x):
        return jnp.sum(jnp.sin(wavelets.dwt2(x, "db2").diagonal))

    expected = jax.jit(jax.grad(loss))(x)
    actual = jax.jit(jax.grad(jax.checkpoint(loss)))(x)
    np.testing.assert_allclose(actual, expected, atol=1e-6)


@pytest.mark.fast
def test_compiles_once():
    traces = []

    @functools.partial(jax.jit, static_argnames=("wavelet", "mode"))
    def transform(x, wavelet, mode):
        traces.append(None)
        return wavelets.dwt2(x, wavelet, mode)

    for seed in range(3):
        transform(images(seed), wavelets.as_wavelet("db2"), "symmetric")
    assert len(traces) == 1


def test_stages_are_kept_apart_on_cpu_only():
    traced = jax.jit(lambda x: wavelets.dwt2(x, "db2")).trace(images())
    for platform, apart in (("cpu", True), ("cuda", False), ("tpu", False)):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        assert ('inlineable = "false"' in text) == apart, platform


def test_auto_multiplies_matrices_on_tpu_only():
    traced = jax.jit(lambda x: wavelets.dwt2(x, "db2")).trace(images())
    for platform, dense in (("cpu", False), ("cuda", False), ("tpu", True)):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        assert ("dot_general" in text) == dense, platform
        assert ("HIGHEST" in text) == dense, platform


def test_works_under_shard_map():
    auto = (jax.sharding.AxisType.Auto,)
    mesh = jax.make_mesh((1,), ("data",), axis_types=auto)
    spec = jax.sharding.PartitionSpec("data")
    x = images()

    def loss(x):
        bands = wavelets.dwt2(x, "db2")
        # A constant subband does not vary over the mesh; the others do.
        flat = bands._replace(approx=jnp.zeros(bands.approx.shape))
        return jnp.sum(wavelets.idwt2(flat, "db2", shape=SIZE) ** 2, keepdims=True)

    mapped = jax.shard_map(loss, mesh=mesh, in_specs=spec, out_specs=spec)
    actual = jax.jit(jax.grad(lambda x: jnp.sum(mapped(x))))(x)
    expected = jax.jit(jax.grad(lambda x: jnp.sum(loss(x))))(x)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


ON_FOUR_DEVICES = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from wbad_jax import wavelets

assert jax.device_count() == 4
mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
spec = PartitionSpec("data")
for wavelet, mode, channels in (
    ("haar", "symmetric", 1),
    ("db4", "reflect", 2),
    ("db2", "smooth", 1),
    ("sym4", "periodization", 2),
):
    x = np.random.default_rng(0).normal(size=(8, 9, 12, channels)).astype("float32")

    def loss(x):
        bands = wavelets.dwt2(x, wavelet, mode)
        bands = bands._replace(diagonal=jnp.tanh(bands.diagonal))
        return jnp.sum(wavelets.idwt2(bands, wavelet, mode, x.shape[1:3]) ** 3)

    gradient = jax.grad(loss)
    expected = jax.jit(gradient)(x)
    assert np.abs(expected).max() > 1
    mapped = jax.shard_map(gradient, mesh=mesh, in_specs=spec, out_specs=spec)
    np.testing.assert_allclose(jax.jit(mapped)(x), expected, rtol=1e-5, atol=1e-5)

    sharded = jax.device_put(x, NamedSharding(mesh, spec))
    compiled = jax.jit(gradient).lower(sharded).compile()
    actual = compiled(sharded)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)
    assert actual.sharding.is_equivalent_to(sharded.sharding, x.ndim)
    # The batch stays where it is: nothing is gathered, moved or summed.
    text = compiled.as_text()
    for exchange in ("all-gather", "all-to-all", "all-reduce", "collective-permute"):
        assert exchange not in text, (wavelet, mode, exchange)

# What the search above finds when there is something to find.
together = jax.jit(lambda x: x, out_shardings=NamedSharding(mesh, PartitionSpec()))
assert "all-gather" in together.lower(sharded).compile().as_text()
"""


def test_gradient_on_four_devices_exchanges_nothing():
    flags = os.environ.get("XLA_FLAGS", "")
    environment = os.environ | {
        "XLA_FLAGS": f"{flags} --xla_force_host_platform_device_count=4",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(pathlib.Path(__file__).parents[2]),
    }
    command = [sys.executable, "-c", ON_FOUR_DEVICES]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_runs_without_jit():
    with jax.disable_jit():
        actual = wavelets.dwt2(images(), "db2")
    expected = jax.jit(lambda x: wavelets.dwt2(x, "db2"))(images())
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=0, atol=1e-6)


def test_band_and_signal_lengths_belong_together():
    for mode in wavelets.MODES:
        for length in range(1, 30):
            size = passes.band_size(length, 8, mode)
            full = passes.signal_length(size, 8, mode)
            assert full == length + length % 2
