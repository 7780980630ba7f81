"""The convolution and its gradients against the stock ones."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.test_util import check_grads

from wbad_jax.models import layers

# Float32 sums of up to some 300 products of order 1.
ATOL = 1e-4


def stock(images, kernel, stride):
    return jax.lax.conv_general_dilated(
        images,
        kernel,
        (stride, stride),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.fast
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("taps", [(1, 1), (3, 3), (5, 3)])
@pytest.mark.parametrize("size", [(7, 10), (1, 4)])
@pytest.mark.parametrize("outputs", [4, 32])  # two ways to the kernel's gradient
def test_values_and_both_gradients_match_the_stock_convolution(
    stride, taps, size, outputs
):
    images, kernel = draw(2, *size, 3), draw(*taps, 3, outputs, seed=1)
    rows, columns = (-(-n // stride) for n in size)
    cotangent = draw(2, rows, columns, outputs, seed=2)

    def value_and_gradients(convolve):
        @jax.jit
        def run(images, kernel):
            value, transpose = jax.vjp(
                lambda x, k: convolve(x, k, stride), images, kernel
            )
            return value, *transpose(cotangent)

        return run(images, kernel)

    actual, expected = map(value_and_gradients, (layers.convolve_same, stock))
    for name, got, want in zip(
        ("value", "by images", "by kernel"), actual, expected, strict=True
    ):
        np.testing.assert_allclose(got, want, rtol=0, atol=ATOL, err_msg=name)


@pytest.mark.fast
def test_gradients_inside_a_loop():
    """The place they are written for: steps along the gradient in `lax.scan`."""
    images, kernel = draw(2, 7, 7, 2), draw(3, 3, 2, 2, seed=1) / 4

    def climb(convolve):
        def step(x, _):
            gradient = jax.grad(
                lambda x: jnp.sum(jnp.sin(convolve(jnp.tanh(x), kernel, 2)))
            )
            return x + 0.1 * gradient(x), None

        return jax.jit(lambda x: jax.lax.scan(step, x, length=5)[0])(images)

    actual, expected = climb(layers.convolve_same), climb(stock)
    assert np.max(np.abs(expected - images)) > 0.05
    np.testing.assert_allclose(actual, expected, rtol=0, atol=ATOL)


@pytest.mark.fast
def test_second_derivatives(enable_x64):
    images, kernel = draw(1, 4, 5, 1), draw(3, 3, 1, 1, seed=1)
    convolve = jax.jit(lambda x, k: jnp.sin(layers.convolve_same(x, k, 2)))
    doubles = [jnp.asarray(a, jnp.float64) for a in (images, kernel)]
    check_grads(convolve, doubles, order=2, modes=("rev",), rtol=1e-4)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("padding", "options"),
    [
        ("VALID", {}),
        ("SAME", {"rhs_dilation": (2, 2)}),
        ("SAME", {"feature_group_count": 2}),
    ],
)
def test_other_convolutions_fall_back_to_the_stock_one(padding, options):
    groups = options.get("feature_group_count", 1)
    images, kernel = draw(1, 6, 7, 4), draw(3, 3, 4 // groups, 4, seed=1)
    numbers = {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}
    actual, expected = (
        jax.jit(functools.partial(f, **numbers, **options), static_argnums=(2, 3))(
            images, kernel, (2, 2), padding
        )
        for f in (layers.conv_general_dilated, jax.lax.conv_general_dilated)
    )
    np.testing.assert_allclose(actual, expected, rtol=0, atol=ATOL)


@pytest.mark.fast
@pytest.mark.parametrize("shape", [(3, 3, 5, 7), (64, 10)])
def test_he_normal_draws_the_numbers_of_jax(shape, key):
    actual = layers.he_normal(key, shape)
    expected = jax.nn.initializers.he_normal()(key, shape)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-6)


@pytest.mark.fast
@pytest.mark.parametrize("group_size", [8, 2])
def test_group_norm_matches_flax(group_size):
    maps, cotangent = 2 * draw(2, 4, 5, 8) + 1, draw(2, 4, 5, 8, seed=1)
    ours = layers.GroupNorm(8, group_size)
    stock_norm = nnx.GroupNorm(
        8, num_groups=None, group_size=group_size, rngs=nnx.Rngs(0)
    )
    for norm in (ours, stock_norm):
        norm.scale[...] = jnp.linspace(0.5, 2, 8)
        norm.bias[...] = jnp.linspace(-1, 1, 8)

    def value_and_gradient(norm):
        @jax.jit
        def run(maps):
            value, transpose = jax.vjp(norm, maps)
            return value, transpose(cotangent)[0]

        return run(maps)

    for got, want in zip(*map(value_and_gradient, (ours, stock_norm)), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5)
